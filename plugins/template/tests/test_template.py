"""The contract over the template, and one test of its own."""
# ruff: noqa: INP001 - a plugin stands alone; a package named "tests" would shadow the tests of whoever copies it

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from heliograph_channel_template import TemplateChannel
from heliograph_channels import ChannelProvider, Kind
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message


class TestTemplate(ChannelContract):
    kind = Kind.CUSTOM
    good_address = "anybody"
    bad_addresses = ("two words",)

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TemplateChannel()

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "messages.jsonl"), "token": "long-and-unmistakable"}


@pytest.mark.asyncio
async def test_each_message_becomes_a_line(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    sender = await TemplateChannel().open({"path": str(path)}, RecordingContext().context)
    messages = [a_message(Kind.CUSTOM, "ann"), a_message(Kind.CUSTOM, "bob")]
    await sender.send_batch(messages)
    await sender.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message_id"] for line in lines] == [message.message_id for message in messages]

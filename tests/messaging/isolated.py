"""Plugins in processes of their own, installed for the tests: the template, and one that echoes."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from heliograph_channels import Accepted, OutgoingMessage, Sender, WebhookRequest
from heliograph_channels.testing import RecordingContext
from heliograph_kit.redelivery import Backoff
from heliograph_kit.testing import eventually
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.isolation import catalogue, process
from heliograph_messaging.isolation import sender as sender_module
from heliograph_messaging.isolation.channel import IsolatedChannel
from heliograph_messaging.isolation.child import Limits

Load = Callable[..., IsolatedChannel]
ROOT = Path(__file__).parents[2]
HOSTILE = Path(__file__).parent / "hostile"
ECHO = ("ECHO_NAME", "ECHO_IMPORT_SECONDS", "ECHO_IMPORT_EXITS")
KEY = "the-key-of-the-echo"


def install(site: Path, **modules: str) -> None:
    """Write what an installer writes for plugins, by entry point name and module."""
    for name, module in modules.items():
        info = site / f"trial_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trial-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[heliograph.channels]\n{name} = {module}\n")


@pytest.fixture(scope="module")
def echo_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have the template and the echo installed, in a folder to which more can be added."""
    with pytest.MonkeyPatch.context() as patch:
        site = tmp_path_factory.mktemp("site")
        install(site, template="heliograph_channel_template", echo="heliograph_channel_echo")
        for path in (HOSTILE, ROOT / "plugins" / "template", site):
            patch.syspath_prepend(str(path))
        patch.setattr(process, "_RESTART", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50)))
        patch.setattr(sender_module, "_LISTEN_AGAIN", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50)))
        yield site


@pytest.fixture(scope="module")
def load(echo_site: Path) -> Iterator[Load]:
    """Return a function that loads a plugin into a process of its own, one for all tests that ask with the same limits."""
    opened: dict[tuple[str, Limits], IsolatedChannel] = {}

    def one(name: str, limits: Limits | None = None) -> IsolatedChannel:
        key = (name, limits or Limits(environment=ECHO))
        if key not in opened:
            found = catalogue.load([name], ["*"], key[1])[name]
            assert isinstance(found, IsolatedChannel)
            opened[key] = found
        return opened[key]

    yield one
    for found in opened.values():
        found.process.close()


def a_call(url: str) -> WebhookRequest:
    body = json.dumps({"id": "r1", "about": "m1"}).encode()
    return WebhookRequest(
        "POST", url, {"x-signature": hmac.new(KEY.encode(), url.encode() + body, "sha256").hexdigest()}, body
    )


async def opened(provider: IsolatedChannel, recording: RecordingContext | None = None) -> Sender:
    return await provider.open({"key": KEY}, (recording or RecordingContext()).context)


def running(provider: IsolatedChannel) -> psutil.Process:
    assert provider.process.pid is not None
    return psutil.Process(provider.process.pid)


async def sends_again(sender: Sender, messages: list[OutgoingMessage]) -> None:
    async def accepted() -> bool:
        try:
            results = await sender.send_batch(messages)
        except PluginFault as fault:
            # Handed over to a process that was dead already: nobody can tell it from one that died a moment later.
            if fault.fault is not Fault.DIED:
                raise
            return False
        return all(isinstance(result, Accepted) for result in results)

    await eventually(accepted)

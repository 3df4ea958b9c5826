"""kill -9 of the worker in the middle of a run: nobody is lost, nobody is written to twice (reliability P1, O1).

The simulator's journal is the independent witness: one line for each message that its provider really took, written before the
send is answered.
"""

from __future__ import annotations

import asyncio
import collections
import json
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format, struct_pb2

from heliograph.messaging.v1 import channels_pb2, channels_pb2_grpc, messages_pb2, messages_pb2_grpc
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.rpc import channel
from heliograph_kit.streams import dispatch_subject
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_messaging import main
from tests.messaging.conftest import PARENT, PROJECT, SECRET, a_batch

pytestmark = pytest.mark.integration

RECIPIENTS, PAGE, CONCURRENCY = 20_000, 500, 2


def journal(path: Path) -> collections.Counter[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    # The last line may be cut off by the kill: a message the provider did not take.
    return collections.Counter(json.loads(line)["message_id"] for line in lines if line.endswith("}"))


@pytest.mark.parametrize(
    ("idempotent", "kills"),
    [(True, (0.15, 0.5)), (False, (0.3,))],
    ids=["provider knows our ids", "provider does not"],
)
async def test_a_killed_worker_loses_nobody_and_doubles_nobody(
    migrated_database: MigratedDatabase, nats_url: str, tmp_path: Path, idempotent: bool, kills: tuple[float, ...]
) -> None:
    written = tmp_path / "journal.ndjson"
    environment = {
        "HELIOGRAPH_DATABASE_URL": migrated_database((main.PACKAGE, "messaging")),
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_MESSAGING_PLUGINS": "simulator",
        "HELIOGRAPH_MESSAGING_LEASE_SECONDS": "3",
        "HELIOGRAPH_MESSAGING_CAMPAIGN_CONCURRENCY": str(CONCURRENCY),
    }
    process = ServiceProcess(
        "heliograph_messaging.main", service="messaging", directory=tmp_path, environment=environment
    )
    with process:
        async with channel(process.address, tokens=InternalTokens(SECRET), caller="tests") as to:
            await set_up(
                to,
                {
                    "journal_path": str(written),
                    "idempotent": idempotent,
                    "delivered_share": 0,
                    "latency": 0.05 if idempotent else 0.15,
                },
            )
            await publish(nats_url)
            for share in kills:
                await eventually(lambda share=share: len(journal(written)) > share * RECIPIENTS, within=60, every=0.02)  # type: ignore[misc]
                assert len(journal(written)) < RECIPIENTS, "the run was over before the kill"
                process.kill()
                await asyncio.to_thread(process.restart)
        # A fresh channel: one that saw the server die waits before it looks again.
        async with channel(process.address, tokens=InternalTokens(SECRET), caller="tests") as to:
            status = await finished(to)
    counted = journal(written)
    assert max(counted.values()) == 1
    assert status.failed_count == status.skipped_count == 0
    if idempotent:
        assert (status.accepted_count, status.in_doubt_count) == (RECIPIENTS, 0)
        assert len(counted) == RECIPIENTS
    else:
        assert status.accepted_count + status.in_doubt_count == RECIPIENTS
        # At most one chunk (a page here) for each batch that was being worked on at each kill.
        assert status.in_doubt_count <= len(kills) * PAGE * CONCURRENCY
        assert status.accepted_count <= len(counted) <= RECIPIENTS


async def set_up(to: grpc.aio.Channel, settings: dict[str, object]) -> None:
    stub: channels_pb2_grpc.ChannelServiceAsyncStub = channels_pb2_grpc.ChannelServiceStub(to)
    await stub.UpdateChannel(
        channels_pb2.UpdateChannelRequest(
            channel=channels_pb2.Channel(
                name=f"{PARENT}/channels/EMAIL",
                provider="simulator",
                enabled=True,
                from_address="shop@example.com",
                settings=json_format.ParseDict(settings, struct_pb2.Struct()),
            )
        )
    )


async def publish(nats_url: str) -> None:
    batches = []
    for page in range(RECIPIENTS // PAGE):
        ids = [f"e{page * PAGE + index:06d}" for index in range(PAGE)]
        batches.append(
            a_batch([f"{one}@example.com" for one in ids], endpoint_ids=ids, page=page, text="Hello {{Id}}, welcome!")
        )
    async with Bus.connect(nats_url, name="tests") as bus:
        await bus.ensure_streams()
        subject = dispatch_subject("campaign", PROJECT)
        await bus.publish_many(
            [BusMessage(subject, batch.SerializeToString(), batch.batch_id, "batch", PROJECT) for batch in batches]
        )


async def finished(to: grpc.aio.Channel) -> messages_pb2.RunStatus:
    stub: messages_pb2_grpc.MessageServiceAsyncStub = messages_pb2_grpc.MessageServiceStub(to)

    async def settled() -> messages_pb2.RunStatus | None:
        status = await stub.GetRunStatus(messages_pb2.GetRunStatusRequest(parent=PARENT, run_id="run1"))
        return status if status.targeted_count == RECIPIENTS and not status.pending_count else None

    status = await eventually(settled, within=60, every=0.2)
    assert status is not None
    return status

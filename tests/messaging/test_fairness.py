"""A slow provider of one project holds up nobody else, and a batch that kills its workers is given up."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph_channels import Accepted, Rejected, RejectReason
from heliograph_kit.ids import derived_id
from heliograph_kit.testing import eventually
from tests.messaging.conftest import PARENT, Service, Started, a_batch

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus


async def test_a_slow_provider_of_one_channel_does_not_hold_up_another_project(start: Started) -> None:
    """The projects of this test share the scripted plugin; those of the slow one wait in it."""
    service = await start(campaign_concurrency=3, project_concurrency=2)
    await service.set_up("EMAIL")
    service.scripted.hang = True
    for page in range(12):
        await service.dispatch(a_batch([f"p{page}@example.com"], page=page))
    await eventually(lambda: len(service.scripted.calls) == 2)
    # The other project has no channel: its messages reach an outcome without any provider.
    other = a_batch(["q@example.com"], run_id="other")
    other.project = "projects/other"
    await service.runtime.bus.publish(
        "dispatch.campaign.other", other.SerializeToString(), id=other.batch_id, type="batch"
    )

    async def settled() -> bool:
        async with service.runtime.database.transaction() as conn:
            found = await conn.execute(text("SELECT count(*) FROM messaging.messages WHERE project = 'other'"))
            return bool(found.scalar_one())

    await eventually(settled)
    assert len(service.scripted.calls) == 2
    service.scripted.hang = False
    service.scripted.release.set()
    assert (await service.done(12)).accepted_count == 12


async def test_direct_sends_do_not_wait_for_campaigns(start: Started) -> None:
    service = await start(campaign_concurrency=1, project_concurrency=1)
    await service.set_up("EMAIL")
    service.scripted.hang = True
    await service.dispatch(a_batch(["c@example.com"]))
    await eventually(lambda: service.scripted.calls)
    service.scripted.hang = False
    await service.dispatch(
        a_batch(["d@example.com"], run_id="direct", message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL)
    )
    assert (await service.done(1, "direct")).accepted_count == 1
    assert (await service.status()).pending_count == 1
    service.scripted.release.set()
    await service.done(1)


async def test_a_batch_that_many_workers_died_with_fails_instead_of_killing_the_next(service: Service) -> None:
    await service.set_up("EMAIL")
    batch = a_batch(["a@example.com", "b@example.com"])
    async with service.runtime.database.transaction() as conn:
        # As 21 workers leave it that were killed one after the other before they wrote anything.
        await conn.execute(
            text(
                "INSERT INTO messaging.batches (project, batch_id, message_class, source_name, run_id, treatment_id, "
                "activity_id, channel, template, template_version, trace_id, create_time, lease_token, lease_until, "
                "crash_count) VALUES ('shop', CAST(:id AS uuid), 'campaign', '', 'run1', '0', '', 'EMAIL', '', 0, '', "
                "now(), 21, now(), 20)"
            ),
            {"id": derived_id("run1", "0")},
        )
    await service.dispatch(batch)
    assert (await service.done(2)).failed_count == 2
    row = (await service.rows())[0]
    assert (row.reason, row.detail) == ("FAILURE_PERMANENT", "21 workers died with this batch")
    assert not service.scripted.calls
    assert row.name.startswith(PARENT)
    assert row.status == S.MESSAGE_STATUS_FAILED


async def test_a_batch_that_is_given_back_again_and_again_is_not_taken_for_a_killer(start: Started) -> None:
    service = await start(send_attempts=8, retry_first_seconds=0.01, retry_longest_seconds=0.01)
    await service.set_up("EMAIL")
    service.scripted.answer = lambda message: (
        Rejected(RejectReason.THROTTLED, retryable=True) if len(service.scripted.calls) < 7 else Accepted("x")
    )
    await service.dispatch(a_batch(["a@example.com"]))
    assert (await service.done(1)).accepted_count == 1
    async with service.runtime.database.transaction() as conn:
        counts = (await conn.execute(text("SELECT crash_count FROM messaging.batches"))).scalars().all()
    assert list(counts) == [0]

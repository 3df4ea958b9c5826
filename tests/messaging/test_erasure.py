"""What is left of a user who was erased, and what is forgotten with time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import duration_pb2
from pydantic import ValidationError
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, suppressions_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_channels import Receipt, ReceiptKind
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.pipeline.erasing import Eraser
from heliograph_messaging.service.retention import PAGE, Retention
from heliograph_messaging.store.messages import MessageStore
from heliograph_messaging.store.suppressions import SuppressionStore
from tests.messaging.conftest import PARENT, PROJECT, Service, Values, a_batch

pytestmark = pytest.mark.integration
ANN, BOB = "ann@example.com", "bob@example.com"
CHANNEL = f"{PARENT}/channels/EMAIL"
Rows = list[tuple[Any, ...]]


async def run(service: Service, statement: str, **parameters: Any) -> Rows:
    async with service.runtime.database.transaction() as conn:
        done = await conn.execute(text(statement), parameters)
        return [tuple(row) for row in done] if done.returns_rows else []


async def send(service: Service, *recipients: messages_pb2.Recipient) -> None:
    await service.messages.SendMessages(
        messages_pb2.SendMessagesRequest(
            parent=PARENT,
            channel="EMAIL",
            content=dispatch_pb2.MessageContent(email_subject="hi", email_text="hi"),
            recipients=recipients,
            wait_for_result=duration_pb2.Duration(seconds=10),
        )
    )


async def written_to(service: Service) -> None:
    """Write to Ann (endpoint e000000, ordinal 7) and Bob (e000001, 8) in every way, and hear of both."""
    await service.set_up("EMAIL")
    batch = a_batch([ANN, BOB])
    batch.recipients.ordinals.extend([7, 8])
    await service.dispatch(batch)
    await service.done(2)
    await send(service, messages_pb2.Recipient(address=ANN), messages_pb2.Recipient(address=BOB))
    ids = await run(service, "SELECT message_id::text, address FROM messaging.messages ORDER BY message_id")
    await service.scripted.report(
        *(
            Receipt(f"r{n}", ReceiptKind.CLICKED, datetime.now(UTC), message_id=id.replace("-", ""), detail=address)
            for n, (id, address) in enumerate(ids)
        )
    )
    await eventually(lambda: applied(service, 4))
    await run(service, "UPDATE messaging.receipts SET ip_address = '192.0.2.1', user_agent = 'X', link = 'https://x'")
    for person in (ANN, BOB):
        await run(
            service,
            """INSERT INTO messaging.inbound_messages (project, provider, inbound_id, channel, origination, destination, body,
                time, media_urls, attributes) VALUES ('shop', 'scripted', :person, 'EMAIL', :person, 'us', 'hi', now(), '{}', '{}')""",
            person=person,
        )
        await run(
            service,
            """INSERT INTO messaging.conversations (project, number, person, message_id, time)
                VALUES ('shop', '+1', :person, gen_random_uuid(), now())""",
            person=person,
        )
    await service.suppressions.AddSuppressions(
        suppressions_pb2.AddSuppressionsRequest(parent=CHANNEL, addresses=[ANN, BOB], detail="said so on the phone")
    )


async def applied(service: Service, count: int) -> bool:
    return await run(service, "SELECT count(*) FROM messaging.receipts WHERE state = 'APPLIED'") == [(count,)]


async def erase(service: Service, times: int = 1) -> None:
    asked = segments_events_pb2.UserErased(
        erasure=f"{PARENT}/erasures/x1", user_id="u0", endpoint_ids=["e000000"], ordinals=[7]
    )
    for number in range(times):
        await service.runtime.bus.publish(
            changes_subject("segments", PROJECT, "user_erased"), asked.SerializeToString(), id=f"erased-{number}",
            type=asked.DESCRIPTOR.full_name, project=PROJECT,
        )  # fmt: skip

    async def answered() -> bool:
        found = await run(service, "SELECT count(*) FROM messaging.outbox WHERE type LIKE '%ErasureDone'")
        return found == [(times,)]

    await eventually(answered)


LEDGER = """SELECT address, endpoint_id, user_id, coalesce(direct_recipient, ''), detail, address_key IS NULL
    FROM messaging.messages ORDER BY batch_id, position"""


async def test_nothing_of_an_erased_user_is_left_and_nothing_of_others_is_touched(service: Service) -> None:
    await written_to(service)
    before = await run(service, LEDGER)
    receipts = (
        "SELECT detail, link, ip_address, user_agent, count(*) FROM messaging.receipts GROUP BY 1, 2, 3, 4 ORDER BY 1"
    )
    await erase(service, times=2)
    expected = [("", "", "", "", "", True) if row[0] == ANN else row for row in before]
    assert [row[0] for row in expected].count("") == 2
    assert await run(service, LEDGER) == expected
    assert await run(service, receipts) == [("", "", "", "", 2), (BOB, "https://x", "192.0.2.1", "X", 2)]
    assert await run(service, "SELECT origination FROM messaging.inbound_messages") == [(BOB,)]
    assert await run(service, "SELECT person FROM messaging.conversations") == [(BOB,)]
    # The ledger counts as before, and the address stays on the list without being told.
    status = await service.status()
    assert (status.targeted_count, status.accepted_count) == (2, 2)
    listed = await service.suppressions.ListSuppressions(suppressions_pb2.ListSuppressionsRequest(parent=CHANNEL))
    assert sorted((one.address, one.detail) for one in listed.suppressions) == [("", ""), (BOB, "said so on the phone")]
    await service.dispatch(a_batch([ANN], run_id="run2", endpoint_ids=["e9"]))
    assert (await service.done(1, "run2")).skipped_count == 1
    assert [row.reason for row in await service.rows("run2")] == ["SUPPRESSED"]


async def test_what_is_reported_of_an_erased_user_later_says_nothing_of_him(service: Service) -> None:
    await written_to(service)
    id = (await run(service, "SELECT message_id FROM messaging.messages WHERE endpoint_id = 'e000000'"))[0][0].hex
    await erase(service)
    await service.scripted.report(
        Receipt("late", ReceiptKind.BOUNCED, datetime.now(UTC), message_id=id, detail=f"no such mailbox: {ANN}")
    )
    await eventually(lambda: applied(service, 5))
    assert await run(service, "SELECT detail FROM messaging.receipts WHERE receipt_id = 'late'") == [("",)]
    told = [event for batch in await service.told() for event in batch.events if event.message_id == id]
    assert (told[-1].detail, told[-1].endpoint_id, told[-1].user_id) == ("", "", "")


async def test_what_was_written_down_while_he_was_erased_is_found_an_hour_later(service: Service) -> None:
    await written_to(service)
    await erase(service)
    late = """UPDATE messaging.messages SET endpoint_id = 'e000000', user_id = 'u0', address = :ann
        WHERE batch_id = CAST(:batch AS uuid) AND position = 0"""
    await run(service, late, ann=ANN, batch=a_batch([ANN, BOB]).batch_id)
    eraser = Eraser(MessageStore(), SuppressionStore())

    async def again() -> bool:
        async with service.runtime.database.transaction() as conn:
            return await eraser.erase_again(conn)

    assert not await again()
    await run(service, "UPDATE messaging.erasures SET again_at = clock_timestamp()")
    assert await again()
    assert not await again()
    assert ANN not in {row[0] for row in await run(service, LEDGER)}
    assert await run(service, "SELECT * FROM messaging.erasures") == []


async def test_old_messages_of_people_and_old_receipts_are_forgotten_page_by_page(service: Service) -> None:
    people = """INSERT INTO messaging.inbound_messages (project, provider, inbound_id, channel, origination, destination, body,
            time, media_urls, attributes, received_at)
        SELECT 'shop', 'scripted', :name || n, 'SMS', '+1', '+2', '', now(), '{}', '{}',
            clock_timestamp() - make_interval(secs => :age) FROM generate_series(1, :count) AS n"""
    reports = """INSERT INTO messaging.receipts (project, provider, receipt_id, kind, time, provider_message_id, detail,
            permanent, link, state, received_at)
        SELECT 'shop', 'scripted', :name || n, 'OPENED', now(), '', '', true, '', :state,
            clock_timestamp() - make_interval(secs => :age) FROM generate_series(1, :count) AS n"""
    kept, minute = timedelta(days=90), 60
    old, young = kept.total_seconds() + minute, kept.total_seconds() - minute
    await run(service, people, name="old", age=old, count=PAGE + 1)
    await run(service, people, name="young", age=young, count=3)
    for name, age, state in (
        ("old", old, "APPLIED"), ("lost", old, "UNMATCHED"), ("waits", old, "PENDING"), ("young", young, "APPLIED"),
    ):  # fmt: skip
        await run(service, reports, name=name, age=age, count=2, state=state)
    eraser = Eraser(MessageStore(), SuppressionStore())
    retention = Retention(service.runtime.database, eraser, inbound=kept, receipts=kept)
    assert [await retention.forget_page("inbound_messages") for _ in range(3)] == [PAGE, 1, 0]
    assert await run(service, "SELECT count(*) FROM messaging.inbound_messages") == [(3,)]
    assert [await retention.forget_page("receipts") for _ in range(2)] == [4, 0]
    left = await run(service, "SELECT receipt_id FROM messaging.receipts ORDER BY 1")
    assert [id for (id,) in left] == ["waits1", "waits2", "young1", "young2"]


@pytest.mark.parametrize("name", ["inbound_retention_days", "receipt_retention_days"])
def test_nothing_is_forgotten_that_a_provider_may_still_repeat(values: Values, name: str) -> None:
    days: Values = {**values, name: 7}
    assert getattr(MessagingSettings(**days), name) == 7
    with pytest.raises(ValidationError, match=name):
        MessagingSettings(**{**days, name: 6})


async def test_an_endpoint_that_is_called_as_his_address_is_somebody_elses(service: Service) -> None:
    await written_to(service)
    called = "UPDATE messaging.messages SET endpoint_id = :ann, direct_recipient = :ann WHERE direct_recipient = :bob"
    await run(service, called, ann=ANN, bob=BOB)
    await erase(service)
    kept = await run(
        service, "SELECT address, endpoint_id FROM messaging.messages WHERE direct_recipient = :ann", ann=ANN
    )
    assert kept == [(BOB, ANN)]

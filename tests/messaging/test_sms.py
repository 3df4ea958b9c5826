"""SMS through the pipeline on a real database and bus: which number, through which route, at what cost, and simulator numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, contents_pb2, dispatch_pb2, events_pb2, messages_pb2, origination_pb2
from heliograph_channels import (
    SIMULATOR_NUMBERS,
    Accepted,
    OutgoingMessage,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    SendResult,
    SmsContent,
    Unknown,
)
from heliograph_kit.testing import eventually
from tests.messaging.conftest import PARENT, Service, Started, a_batch
from tests.messaging.numbers import CODE, FREE, FRENCH, PROMOTIONAL, TEN, announce, make_pool, set_number, set_sms
from tests.messaging.test_opt_outs import phones

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus
TRANSACTIONAL = dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
PARIS = "+33600000001"


async def send(service: Service, addresses: list[str], run_id: str, **content: Any) -> list[messages_pb2.Message]:
    batch = a_batch(addresses, run_id=run_id, channel="SMS")
    batch.content.MergeFrom(dispatch_pb2.MessageContent(**content))
    await service.dispatch(batch)
    await service.done(len(addresses), run_id)
    return await service.rows(run_id)


async def spending(service: Service) -> tuple[int, int]:
    """Return what the month costs, and what its messages cost together."""
    settings = await service.numbers.GetSmsSettings(origination_pb2.GetSmsSettingsRequest(name=f"{PARENT}/smsSettings"))
    async with service.runtime.database.transaction() as conn:
        costs = (await conn.execute(text("SELECT coalesce(sum(cost), 0) FROM messaging.messages"))).scalar_one()
    return settings.month_spend_micros, int(costs)


# -- who sends ------------------------------------------------------------------------------------------------------


async def test_numbers_pools_sender_ids_and_shared_routes_are_chosen_as_the_rules_say(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN, FREE)
    await set_sms(service, default_sender_id="Brand")
    pool = await make_pool(service, "main", FREE)
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("+12065550123", {}, TEN, ""),
        ("+12065550123", {"origination_pool": pool.name}, FREE, ""),
        ("+12065550123", {"origination_pool": pool.name, "origination_number": TEN}, TEN, ""),
        ("+12065550123", {"origination_number": "+12065550777"}, "", "ORIGINATION_IDENTITY_DOES_NOT_EXIST"),
        ("+12065550123", {"origination_pool": f"{PARENT}/pools/gone"}, "", "INVALID_POOL_ID"),
        ("+12065550123", {"origination_pool": "projects/other/pools/main"}, "", "INVALID_POOL_ID"),
        ("+12065550123", {"origination_pool": "main"}, "", "INVALID_POOL_ID"),
        (PARIS, {}, "Brand", ""),
        (PARIS, {"from_address": "Shop"}, "Shop", ""),
        (PARIS, {"from_address": "Shop", "origination_number": TEN}, "", "sends to the US only"),
        (PARIS, {"origination_pool": pool.name}, "", "no member of the pool main may send SMS to FR"),
        ("+14165550123", {}, "", ""),
        ("not a number", {}, "", "the address is not a telephone number"),
    ]
    for index, (address, content, origination, words) in enumerate(cases):
        row = (await send(service, [address], f"run{index}", **content))[0]
        assert row.origination == origination, (address, content, row.detail)
        assert words in row.detail
        assert row.status == (S.MESSAGE_STATUS_FAILED if words else S.MESSAGE_STATUS_ACCEPTED)
    await set_sms(service, shared_routes_off=True)
    row = (await send(service, ["+14165550123"], "off"))[0]
    assert "SENDER_ID_NOT_SUPPORTED_FOR_DESTINATION" in row.detail


async def test_a_message_carries_the_type_of_its_number_and_its_use_case(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_number(service, TEN, message_type=PROMOTIONAL)
    row = (await send(service, ["+12065550123"], "run1", origination_number=TEN))[0]
    assert row.origination == TEN
    content = service.scripted.sent[-1].content
    assert isinstance(content, SmsContent)
    assert content.message_type == "PROMOTIONAL"
    transactional = contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL
    row = (await send(service, ["+12065550124"], "run2", origination_number=TEN, sms_message_type=transactional))[0]
    assert "MESSAGE_TYPE_MISMATCH" in row.detail
    told = await service.events(1)
    assert told[0].ten_dlc_registration_id.endswith("/useCases/u")


async def test_a_number_that_belongs_to_a_route_is_sent_through_it_only(start: Started) -> None:
    service = await start(breaker_threshold=1, breaker_pause_seconds=0.5)
    await service.set_up("SMS")
    route = await service.add_route("SMS", "backup")
    await announce(service, TEN, FREE, CODE)
    await set_number(service, TEN, route=route.name)
    await set_number(service, FREE, route=f"{PARENT}/channels/SMS")
    people = phones(4)
    for number, plugin in ((TEN, service.second), (FREE, service.scripted)):
        await send(service, people, f"run {number}", origination_number=number)
        assert {(m.origination, m.address) for m in plugin.sent} == {(number, person) for person in people}
    # One that belongs to none takes the first there is.
    await send(service, people, "free", origination_number=CODE)
    assert {message.origination for message in service.scripted.sent} == {FREE, CODE}
    assert {message.origination for message in service.second.sent} == {TEN}
    # While its route is away a named number waits for it, and an unnamed choice takes another.
    service.second.answer = lambda message: Rejected(RejectReason.UNAVAILABLE, retryable=True)
    await set_number(service, CODE, route=route.name)
    await service.dispatch(
        a_batch(["+13125559999"], run_id="named", channel="SMS", sms_body="x", origination_number=TEN)
    )
    await eventually(lambda: len(service.second.sent) > 4)
    rows = await send(service, people, "unnamed")
    assert {row.origination for row in rows} == {FREE}
    service.second.answer = lambda message: Accepted("x")
    assert (await service.done(1, "named")).accepted_count == 1
    assert (await service.rows("named"))[0].origination == TEN
    # Once the route is switched off, its number is no choice any more.
    await service.channels.DeleteRoute(channels_pb2.DeleteRouteRequest(name=route.name))
    row = (await send(service, people[:1], "gone", origination_number=TEN))[0]
    assert "belongs to the route 'backup'" in row.detail


async def test_a_message_that_comes_again_is_in_the_ledger_with_the_number_it_left_from(start: Started) -> None:
    service = await start(retry_first_seconds=0.5)
    await service.set_up("SMS")
    await announce(service, TEN)
    tries: Counter[str] = Counter()

    def answer(message: OutgoingMessage) -> SendResult:
        tries[message.origination] += 1
        return Rejected(RejectReason.THROTTLED, retryable=True) if message.origination == TEN else Accepted("x")

    service.scripted.answer = answer
    await service.dispatch(a_batch(["+12065550123"], channel="SMS"))
    await eventually(lambda: tries[TEN])
    await announce(service, CODE)
    await service.done(1)
    assert [row.origination for row in await service.rows()] == [CODE]


# -- what it costs --------------------------------------------------------------------------------------------------


async def test_a_message_costs_its_parts_when_it_is_handed_over_and_nothing_when_it_is_refused(
    service: Service,
) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 7_500, "FR": 70_000})

    def answer(message: OutgoingMessage) -> SendResult:
        match message.address[-1]:
            case "1":
                return Rejected(RejectReason.INVALID_ADDRESS, retryable=False)
            case "2":
                return Unknown("lost")
            case _:
                return Accepted("x")

    service.scripted.answer = answer
    batch = a_batch([*phones(4), PARIS, "+33600000007"], channel="SMS", text="x" * 161)
    batch.recipients.inactive[3] = True
    await service.dispatch(batch)
    status = await service.done(6)
    rows = await service.rows()
    # Accepted, refused, in doubt (it may have been taken), skipped; a French one refused, and one accepted.
    assert [row.cost_micros for row in rows] == [15_000, 0, 15_000, 0, 0, 140_000]
    assert status.cost_micros == 170_000
    assert await spending(service) == (170_000, 170_000)
    events = {event.endpoint_id: event for event in await service.events(6)}
    assert [events[row.endpoint_id].cost_micros for row in rows] == [15_000, 0, 0, 0, 0, 140_000]
    story = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=rows[0].name))
    assert (story.cost_micros, story.events[0].cost_micros) == (15_000, 15_000)
    assert events[rows[0].endpoint_id].type == events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED


async def test_a_message_that_is_tried_again_is_paid_for_once(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 100})
    tries: Counter[str] = Counter()

    def answer(message: OutgoingMessage) -> SendResult:
        tries[message.address] += 1
        return Accepted("x") if tries[message.address] == 3 else Rejected(RejectReason.THROTTLED, retryable=True)

    service.scripted.answer = answer
    await service.dispatch(a_batch(phones(5), channel="SMS"))
    await service.done(5)
    assert await spending(service) == (500, 500)


@pytest.mark.parametrize(("idempotent", "cost"), [(False, 200), (True, 100)])
async def test_a_message_that_may_have_been_taken_twice_is_paid_for_twice(
    service: Service, idempotent: bool, cost: int
) -> None:
    await service.set_up("SMS", idempotent=idempotent)
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 100})
    service.scripted.answer = lambda _: Unknown("lost") if len(service.scripted.calls) == 1 else Accepted("x")
    await service.dispatch(a_batch(["+12065550123"], channel="SMS", message_class=TRANSACTIONAL))
    assert (await service.done(1)).accepted_count == 1
    assert await spending(service) == (cost, cost)


async def test_a_crash_between_the_call_and_its_outcome_loses_no_cost(start: Started) -> None:
    """A crash is played by an intent without an outcome, as a killed worker leaves it."""
    service = await start()
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 100})
    service.scripted.hang = True
    await service.dispatch(a_batch(phones(12), channel="SMS"))
    await eventually(lambda: len(service.scripted.calls) == 2)
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.hang = False
    service.scripted.release.set()
    assert (await service.done(12, within=20)).in_doubt_count == 12
    assert await spending(service) == (1_200, 1_200)


async def test_what_would_pass_the_limit_is_skipped_and_free_messages_go(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 100}, monthly_spend_limit_micros=300)
    rows = await send(service, [*phones(4), PARIS], "run1")
    assert [(row.status, row.reason) for row in rows] == [
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_SKIPPED, "SPEND_LIMIT"),
        (S.MESSAGE_STATUS_ACCEPTED, ""),
    ]
    assert rows[3].detail.startswith("NO_QUOTA_LEFT_ON_ACCOUNT: ")
    assert (rows[3].cost_micros, rows[3].part_count) == (0, 0)
    # Somebody who is refused for another reason costs nothing.
    await set_sms(service, monthly_spend_limit_micros=400)
    batch = a_batch(phones(2), run_id="run2", channel="SMS")
    batch.recipients.opted_out[0] = True
    await service.dispatch(batch)
    assert (await service.done(2, "run2")).accepted_count == 1
    assert await spending(service) == (400, 400)
    # Direct sends keep to it too, and a limit of nothing lets only free ones out.
    await set_sms(service, monthly_spend_limit_micros=0)
    direct = a_batch([*phones(1), PARIS], run_id="run3", channel="SMS", message_class=TRANSACTIONAL)
    await service.dispatch(direct)
    await service.done(2, "run3")
    assert [row.reason for row in await service.rows("run3")] == ["SPEND_LIMIT", ""]


async def test_a_month_begins_with_nothing_spent(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    await set_sms(service, prices_micros={"US": 100}, monthly_spend_limit_micros=100)
    assert [row.reason for row in await send(service, phones(2), "run1")] == ["", "SPEND_LIMIT"]
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text("UPDATE messaging.spending SET month = month - interval '1 month'"))
    assert [row.reason for row in await send(service, phones(2), "run2")] == ["", "SPEND_LIMIT"]
    async with service.runtime.database.transaction() as conn:
        months = (await conn.execute(text("SELECT month, spent FROM messaging.spending ORDER BY month"))).all()
    assert [row.spent for row in months] == [100, 100]
    assert months[1].month == datetime.now(UTC).date().replace(day=1)


async def test_the_limit_is_never_passed_while_eight_workers_send_at_the_same_time(start: Started) -> None:
    service = await start(campaign_concurrency=4)
    await start(campaign_concurrency=4)
    await service.set_up("SMS")
    await announce(service, TEN)
    limit, price, people, batches = 27_000, 100, 45, 12
    await set_sms(service, prices_micros={"US": price}, monthly_spend_limit_micros=limit)

    def answer(message: OutgoingMessage) -> SendResult:
        refused = int(message.address[-1]) % 3 == 0
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False) if refused else Accepted("x")

    service.scripted.answer = answer
    for number in range(batches):
        await service.dispatch(a_batch(phones(people), run_id=f"run{number}", channel="SMS"))
    statuses = [await service.done(people, f"run{number}", within=60) for number in range(batches)]
    spent, costs = await spending(service)
    assert spent == costs <= limit
    assert sum(status.accepted_count for status in statuses) * price == spent
    # At the most what is under way at the end is missing from the limit: chunks of ten, two calls a worker.
    assert spent > limit - 2 * 2 * 10 * price
    # What was refused gave its money back, and others were sent for it.
    assert sum(status.failed_count for status in statuses) > 0
    assert {
        count.reason for status in statuses for count in status.counts if count.status == S.MESSAGE_STATUS_SKIPPED
    } == {"SPEND_LIMIT"}


# -- whose use case it is -------------------------------------------------------------------------------------------


async def test_every_event_of_an_sms_tells_the_use_case_it_left_under(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    use_case = f"{PARENT}/useCases/u"

    def answer(message: OutgoingMessage) -> SendResult:
        match message.address[-1]:
            case "1":
                return Rejected(RejectReason.INVALID_ADDRESS, retryable=False)
            case "2":
                return Unknown("lost")
            case _:
                return Accepted(f"p{message.address[-1]}")

    service.scripted.answer = answer
    people = [f"+1206666000{n}" for n in range(6)]
    await service.dispatch(a_batch(people, channel="SMS"))
    await service.done(6)
    kinds = [ReceiptKind.DELIVERED, ReceiptKind.FAILED, ReceiptKind.OPTED_OUT]
    told = [
        Receipt(
            f"r{place}", kind, datetime.now(UTC), provider_message_id=f"p{place}", detail="CARRIER_BLOCKED: too many",
            attributes={"carrier": "Tele"},
        )
        for place, kind in zip((3, 4, 5), kinds, strict=True)
    ]  # fmt: skip
    await service.scripted.report(*told)
    events = await service.events(9)
    assert sorted(events_pb2.MessageEventType.Name(event.type)[19:] for event in events) == [
        "ACCEPTED", "ACCEPTED", "ACCEPTED", "ACCEPTED", "BOUNCED", "DELIVERED", "FAILED", "IN_DOUBT", "OPTED_OUT",
    ]  # fmt: skip
    assert {event.ten_dlc_registration_id for event in events} == {use_case}
    assert {event.carrier for event in events} == {"", "Tele"}
    # What could not be sent under it is told as well: too long a text, a wrong address, a number that is suspended.
    await send(service, ["+12066660007"], "long", sms_body="x" * 1601)
    await send(service, ["+1206"], "bad", origination_number=TEN)
    await announce(service, TEN, state="SUSPENDED")
    await send(service, ["+12066660007"], "named", origination_number=TEN)
    assert {event.ten_dlc_registration_id for event in await service.events(12)} == {use_case}


async def test_messages_in_doubt_keep_the_use_case_they_were_handed_over_under(start: Started) -> None:
    service = await start()
    await service.set_up("SMS")
    await announce(service, TEN)
    service.scripted.hang = True
    await service.dispatch(a_batch(phones(3), channel="SMS"))
    await eventually(lambda: service.scripted.calls)
    # The worker dies, and the number is gone when the batch comes again.
    await announce(service, TEN, state="RELEASED")
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.hang = False
    service.scripted.release.set()
    assert (await service.done(3, within=20)).in_doubt_count == 3
    events = await service.events(3)
    assert {(event.origination, event.part_count) for event in events} == {(TEN, 1)}
    assert {event.ten_dlc_registration_id for event in events} == {f"{PARENT}/useCases/u"}


# -- simulator numbers ----------------------------------------------------------------------------------------------


async def test_simulator_numbers_never_reach_a_provider_and_report_as_they_are(service: Service) -> None:
    await service.set_up("SMS")
    await set_sms(service, prices_micros={"US": 100})
    everyone = sorted(SIMULATOR_NUMBERS)
    # Without any number of ours: nothing leaves, so nothing is needed to leave from. A real one beside them still needs it.
    await service.dispatch(a_batch([*everyone, "+12065550123"], channel="SMS"))
    await service.done(51)

    async def reported() -> messages_pb2.RunStatus | None:
        status = await service.status()
        return status if status.delivered_count == 25 and status.bounced_count == 25 else None

    status = await eventually(reported)
    assert status is not None
    assert status.accepted_count == 50
    assert not service.scripted.calls
    rows = {row.address: row for row in await service.rows()}
    assert rows["+14254147755"].status == S.MESSAGE_STATUS_DELIVERED
    assert rows["+14254147167"].status == S.MESSAGE_STATUS_FAILED
    assert "INVALID" in rows["+14254147167"].detail
    assert rows["+14254147755"].provider == "simulated"
    assert "NO_ORIGINATION_IDENTITY" in rows["+12065550123"].detail
    # They are paid for like others.
    assert await spending(service) == (200, 200)
    story = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=rows["+14254147167"].name))
    kinds = [events_pb2.MessageEventType.Name(event.type).removeprefix("MESSAGE_EVENT_TYPE_") for event in story.events]
    assert kinds == ["ACCEPTED", "BOUNCED"]


async def test_what_a_carrier_refuses_fails_after_it_was_accepted(service: Service) -> None:
    caps = [{"brand": "acme", "use_case": "news", "parts_per_day": {"T_MOBILE": 1}}]
    areas = [{"prefix": "+1206", "carrier": "T_MOBILE"}, {"prefix": "+1303", "carrier": "VERIZON"}]
    await service.set_up("SMS", "simulator", carrier_caps=caps, carrier_prefixes=areas)
    await announce(service, TEN)
    await service.dispatch(a_batch(["+12065550121", "+12065550122", "+13035550123"], channel="SMS"))
    await service.done(3)

    async def reported() -> list[messages_pb2.Message] | None:
        rows = await service.rows()
        ended = (S.MESSAGE_STATUS_DELIVERED, S.MESSAGE_STATUS_FAILED)
        return rows if all(row.status in ended for row in rows) else None

    rows = await eventually(reported)
    assert rows is not None
    assert [row.status == S.MESSAGE_STATUS_FAILED for row in rows] == [False, True, False]
    assert rows[1].detail == "failed: CARRIER_BLOCKED (simulated): T_MOBILE takes 1 parts a day of the brand acme"
    story = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=rows[1].name))
    kinds = [events_pb2.MessageEventType.Name(event.type).removeprefix("MESSAGE_EVENT_TYPE_") for event in story.events]
    assert kinds[0] == "ACCEPTED"
    assert story.events[-1].detail.startswith("CARRIER_BLOCKED")  # the record status of the event


async def test_the_simulator_answers_its_numbers_itself_whatever_it_is_told_to_do(service: Service) -> None:
    await service.set_up("SMS", "simulator", reject_share=1.0)
    await announce(service, TEN)
    await service.dispatch(a_batch(["+14254147755", "+14254147167", "+12065550123"], channel="SMS"))
    await service.done(3)

    async def reported() -> list[messages_pb2.Message] | None:
        rows = await service.rows()
        ended = (S.MESSAGE_STATUS_DELIVERED, S.MESSAGE_STATUS_FAILED)
        return rows if all(row.status in ended for row in rows) else None

    rows = await eventually(reported)
    assert rows is not None
    assert [row.provider for row in rows] == ["simulator"] * 3
    assert [row.detail for row in rows[:2]] == ["", "failed: INVALID (simulated)"]
    assert rows[2].reason == "FAILURE_PERMANENT"


async def test_simulated_messages_in_doubt_after_a_crash_are_asked_for_again_and_counted_once(service: Service) -> None:
    await service.set_up("SMS")
    service.scripted.hang = True
    await announce(service, TEN)
    await service.dispatch(a_batch(["+14254147755", "+12065550123"], channel="SMS"))
    await eventually(lambda: service.scripted.calls)
    async with service.runtime.database.transaction() as conn:
        # As if the worker had died before it wrote down what the simulated provider said.
        await conn.execute(text("UPDATE messaging.messages SET status = 'CLAIMED', accept_time = NULL"))
        await conn.execute(text("UPDATE messaging.chunks SET state = 'DISPATCHING', end_time = NULL"))
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.hang = False
    service.scripted.release.set()
    status = await service.done(2, within=20)
    assert (status.accepted_count, status.in_doubt_count) == (1, 1)
    rows = {row.address: row.status for row in await service.rows()}
    assert rows["+12065550123"] == S.MESSAGE_STATUS_IN_DOUBT


async def test_a_foreign_number_serves_its_country(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN, FRENCH)
    rows = await send(service, ["+12065550123", PARIS, "+4915112345678"], "run1")
    assert [row.origination for row in rows] == [TEN, FRENCH, FRENCH]

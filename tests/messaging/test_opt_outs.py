"""Opt-out lists: the API, and that nothing is sent to who is on one, however much happens at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, opt_outs_pb2, origination_pb2
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.service.opt_outs import MAX_LISTS, MAX_NUMBERS
from heliograph_messaging.store.opt_outs import OptOutStore
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch
from tests.messaging.numbers import FREE, TEN, announce, list_of, make_list, make_pool, opt_out, set_number
from tests.messaging.test_numbers import refused

pytestmark = pytest.mark.integration
Code, L, S = grpc.StatusCode, opt_outs_pb2, messages_pb2.MessageStatus
CLASSES = [
    dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
    dispatch_pb2.MESSAGE_CLASS_CAMPAIGN,
    dispatch_pb2.MESSAGE_CLASS_JOURNEY,
]


def phones(count: int) -> list[str]:
    return [f"+1312555{index:04d}" for index in range(count)]


async def send(
    service: Service, addresses: list[str], run_id: str, *, pool: str = "", number: str = "", **how: Any
) -> messages_pb2.RunStatus:
    batch = a_batch(addresses, run_id=run_id, channel="SMS", **how)
    batch.content.origination_pool, batch.content.origination_number = pool, number
    await service.dispatch(batch)
    return await service.done(len(addresses), run_id)


def number_name(number: str, list_id: str = "Default") -> str:
    return f"{list_of(list_id)}/optedOutNumbers/{number}"


# -- the API --------------------------------------------------------------------------------------------------------


async def test_lists_are_made_listed_and_deleted_and_default_is_always_there(service: Service) -> None:
    async def ids() -> list[str]:
        found = await service.opt_outs.ListOptOutLists(L.ListOptOutListsRequest(parent=PARENT))
        return [one.name.rpartition("/")[2] for one in found.opt_out_lists]

    assert await ids() == ["Default"]
    made = await make_list(service, "Ads", request_id="r1")
    assert (await make_list(service, "Ads", request_id="r1")) == made
    assert await ids() == ["Ads", "Default"]
    assert await opt_out(service, "+13125550001", list_id="Ads") == 1
    await service.opt_outs.DeleteOptOutList(L.DeleteOptOutListRequest(name=list_of("Ads")))
    assert await ids() == ["Default"]
    # Nobody is on a new list of an old name.
    await make_list(service, "Ads")
    gone = service.opt_outs.GetOptedOutNumber(L.GetOptedOutNumberRequest(name=number_name("+13125550001", "Ads")))
    await refused(gone, Code.NOT_FOUND, "OPTED_OUT_NUMBER_NOT_FOUND")


async def test_what_a_list_cannot_be_is_refused(service: Service) -> None:
    await announce(service, TEN)
    await make_list(service, "Ads", request_id="r1")
    await set_number(service, TEN, opt_out_list=list_of("Ads"))
    stub = service.opt_outs
    cases: list[tuple[Callable[[], Awaitable[Any]], grpc.StatusCode, str]] = [
        (lambda: make_list(service, "Ads"), Code.ALREADY_EXISTS, "OPT_OUT_LIST_ALREADY_EXISTS"),
        (lambda: make_list(service, "Default"), Code.ALREADY_EXISTS, "OPT_OUT_LIST_ALREADY_EXISTS"),
        (lambda: make_list(service, "Other", request_id="r1"), Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (lambda: make_list(service, ""), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: make_list(service, "no blanks"), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: make_list(service, "x" * 65), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: stub.DeleteOptOutList(L.DeleteOptOutListRequest(name=list_of("Default"))), Code.FAILED_PRECONDITION,
         "OPT_OUT_LIST_FIXED"),
        (lambda: stub.DeleteOptOutList(L.DeleteOptOutListRequest(name=list_of("Ads"))), Code.FAILED_PRECONDITION,
         "OPT_OUT_LIST_IN_USE"),
        (lambda: stub.DeleteOptOutList(L.DeleteOptOutListRequest(name=list_of("Gone"))), Code.NOT_FOUND,
         "OPT_OUT_LIST_NOT_FOUND"),
        (lambda: opt_out(service, "+13125550001", list_id="Gone"), Code.NOT_FOUND, "OPT_OUT_LIST_NOT_FOUND"),
        (lambda: stub.ListOptedOutNumbers(L.ListOptedOutNumbersRequest(parent=list_of("Gone"))), Code.NOT_FOUND,
         "OPT_OUT_LIST_NOT_FOUND"),
        (lambda: opt_out(service), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (lambda: opt_out(service, *phones(MAX_NUMBERS), "+13125551234"), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ]  # fmt: skip
    for call, code, reason in cases:
        await refused(call(), code, reason)
    error = await refused(opt_out(service, "+13125550001", "12345", ""), Code.INVALID_ARGUMENT, "ADDRESS_INVALID")
    assert [field for field, _ in violations_of(error)] == ["numbers[1]", "numbers[2]"]
    await make_list(service, "x" * 64)


async def test_the_last_list_fits_and_the_next_does_not(service: Service) -> None:
    for index in range(MAX_LISTS - 1):
        await make_list(service, f"L{index}")
    await refused(make_list(service, "More"), Code.FAILED_PRECONDITION, "TOO_MANY_OPT_OUT_LISTS")
    assert await opt_out(service, *phones(MAX_NUMBERS)) == MAX_NUMBERS


async def test_a_number_comes_off_a_list_once_in_thirty_days(service: Service) -> None:
    stub, person = service.opt_outs, "+13125550001"
    assert await opt_out(service, person, person) == 1
    assert await opt_out(service, person, "+13125550002") == 1
    found = await stub.GetOptedOutNumber(L.GetOptedOutNumberRequest(name=number_name(person)))
    assert (found.number, found.end_user_opted_out, bool(found.added_by)) == (person, False, True)
    await stub.RemoveOptedOutNumber(L.RemoveOptedOutNumberRequest(name=number_name(person)))
    again = stub.RemoveOptedOutNumber(L.RemoveOptedOutNumberRequest(name=number_name(person)))
    await refused(again, Code.NOT_FOUND, "OPTED_OUT_NUMBER_NOT_FOUND")
    assert await opt_out(service, person) == 1
    too_soon = stub.RemoveOptedOutNumber(L.RemoveOptedOutNumberRequest(name=number_name(person)))
    await refused(too_soon, Code.FAILED_PRECONDITION, "OPT_OUT_REMOVED_RECENTLY")
    for days, allowed in ((29, False), (30, True)):
        async with service.runtime.database.transaction() as conn:
            statement = "UPDATE messaging.opted_out_numbers SET removed_at = :then WHERE number = :person"
            then = datetime.now(UTC) - timedelta(days=days)
            await conn.execute(text(statement), {"then": then, "person": person})
        remove = stub.RemoveOptedOutNumber(L.RemoveOptedOutNumberRequest(name=number_name(person)))
        if allowed:
            await remove
        else:
            await refused(remove, Code.FAILED_PRECONDITION, "OPT_OUT_REMOVED_RECENTLY")


async def test_a_list_is_shown_in_pages_without_who_came_off(service: Service) -> None:
    people = phones(5)
    await opt_out(service, *people)
    await service.opt_outs.RemoveOptedOutNumber(L.RemoveOptedOutNumberRequest(name=number_name(people[1])))
    shown, token = [], ""
    while True:
        page = await service.opt_outs.ListOptedOutNumbers(
            L.ListOptedOutNumbersRequest(parent=list_of("Default"), page_size=2, page_token=token)
        )
        shown += [one.number for one in page.opted_out_numbers]
        token = page.next_page_token
        if not token:
            break
    assert shown == [people[0], *people[2:]]


# -- at the door ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message_class", CLASSES)
async def test_who_is_on_the_list_of_the_number_gets_nothing_of_any_class(
    service: Service, message_class: dispatch_pb2.MessageClass.ValueType
) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    people = phones(3)
    await opt_out(service, people[1])
    await send(service, people, "run1", message_class=message_class)
    rows = await service.rows("run1")
    assert [(row.status, row.reason) for row in rows] == [
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_SKIPPED, "ENDPOINT_OPT_OUT"),
        (S.MESSAGE_STATUS_ACCEPTED, ""),
    ]
    assert rows[1].detail.startswith("OPT_OUT: ")
    assert {message.address for message in service.scripted.sent} == {people[0], people[2]}


async def test_each_number_and_pool_keeps_to_its_own_list(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN, FREE)
    await make_list(service, "Ads")
    await set_number(service, FREE, opt_out_list=list_of("Ads"))
    person = "+13125550001"
    await opt_out(service, person, list_id="Ads")
    assert (await send(service, [person], "ten", number=TEN)).accepted_count == 1
    assert (await send(service, [person], "free", number=FREE)).skipped_count == 1
    pool = await make_pool(service, "main", FREE, shared_routes=True)
    assert (await send(service, [person], "pooled", pool=pool.name)).skipped_count == 1
    # Its shared routes keep to the pool's list too, those of the project to Default.
    french = "+33600000001"
    await opt_out(service, french, list_id="Ads")
    assert (await send(service, [french], "shared", pool=pool.name)).skipped_count == 1
    assert (await send(service, [french], "plain")).accepted_count == 1
    await opt_out(service, french)
    assert (await send(service, [french], "default")).skipped_count == 1
    assert [row.detail for row in await service.rows("shared")] == ["OPT_OUT: the number is on the opt-out list Ads"]


async def test_a_number_whose_owner_looks_after_opt_outs_is_not_filtered(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN, FREE)
    await set_number(service, TEN, two_way=True, self_managed_opt_outs=True)
    person = "+13125550001"
    await opt_out(service, person)
    assert (await send(service, [person], "own", number=TEN)).accepted_count == 1
    assert (await send(service, [person], "ours", number=FREE)).skipped_count == 1


async def test_an_endpoint_that_opted_out_gets_direct_sms_unless_the_project_honours_it(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    batch = a_batch(["+13125550001"], channel="SMS", message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL)
    batch.recipients.opted_out[0] = True
    await service.dispatch(batch)
    assert (await service.done(1)).accepted_count == 1
    await service.numbers.UpdateSmsSettings(
        origination_pb2.UpdateSmsSettingsRequest(
            sms_settings=origination_pb2.SmsSettings(name=f"{PARENT}/smsSettings", honour_endpoint_opt_out=True),
            update_mask=field_mask_pb2.FieldMask(paths=["honour_endpoint_opt_out"]),
        )
    )
    batch.batch_id, batch.source.run_id = "ab" * 16, "run2"
    await service.dispatch(batch)
    assert (await service.done(1, "run2")).skipped_count == 1


async def test_an_opt_out_between_two_chunks_is_obeyed(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, TEN)
    service.scripted.hang = True
    people = phones(30)
    await service.dispatch(a_batch(people, channel="SMS"))
    # Three chunks, two of which may be under way: the third waits for its turn.
    await eventually(lambda: len(service.scripted.calls) == 2)
    waiting = set(people) - {message.address for message in service.scripted.sent}
    await opt_out(service, *waiting)
    service.scripted.hang = False
    service.scripted.release.set()
    status = await service.done(30)
    assert (status.accepted_count, status.skipped_count) == (20, 10)
    assert not waiting & {message.address for message in service.scripted.sent}


async def test_an_opt_out_waits_for_who_has_looked_and_is_seen_by_who_looks_then(service: Service) -> None:
    """Without the wait it could return after a worker had looked and before that worker's intent is committed."""
    store, database = OptOutStore(), service.runtime.database
    person = "+13125550001"
    async with database.transaction() as conn:
        assert await store.among(conn, PROJECT, {0: ("Default", person)}) == set()
        adding = asyncio.create_task(opt_out(service, person))
        other = asyncio.create_task(make_list(service, "Ads"))
        await other
        assert await opt_out(service, person, list_id="Ads") == 1  # other lists do not wait
        done, _ = await asyncio.wait([adding], timeout=0.3)
        assert not done
    assert await adding == 1
    async with database.transaction() as conn:
        assert await store.among(conn, PROJECT, {0: ("Default", person), 1: ("Default", "+13125550002")}) == {0}


async def test_an_opt_out_that_has_returned_is_obeyed_by_every_send_that_begins_after_it(start: Started) -> None:
    """Twelve batches race with opt-outs of the same people; afterwards order is read from the times of the database."""
    service = await start(transactional_concurrency=4)
    await start(transactional_concurrency=4)
    await service.set_up("SMS")
    await announce(service, TEN)
    people = phones(40)
    returned: dict[str, datetime] = {}

    async def database_now() -> datetime:
        async with service.runtime.database.transaction() as conn:
            now: datetime = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
            return now

    async def leave() -> None:
        for place in range(0, 40, 4):
            some = people[place : place + 4]
            await opt_out(service, *some)
            now = await database_now()
            returned.update(dict.fromkeys(some, now))

    async def write() -> None:
        for number in range(12):
            await service.dispatch(
                a_batch(
                    people, run_id=f"run{number}", channel="SMS", message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
                )
            )

    async with service.runtime.database.transaction() as conn:
        # Who commits an intent notes when, by the clock of the database.
        await conn.execute(
            text("CREATE TABLE messaging.intents (project text, batch_id uuid, chunk integer, time timestamptz)")
        )
        await conn.execute(
            text(
                """CREATE FUNCTION messaging.note_intent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO messaging.intents VALUES (NEW.project, NEW.batch_id, NEW.chunk, clock_timestamp()); RETURN NULL;
                END $$"""
            )
        )
        await conn.execute(
            text(
                """CREATE CONSTRAINT TRIGGER note AFTER INSERT ON messaging.chunks INITIALLY DEFERRED FOR EACH ROW
                EXECUTE FUNCTION messaging.note_intent()"""
            )
        )
    await asyncio.gather(write(), leave())
    for number in range(12):
        await service.done(40, f"run{number}", within=60)
    async with service.runtime.database.transaction() as conn:
        sent = (
            await conn.execute(
                text(
                    """SELECT m.address, i.time FROM messaging.messages m
                    JOIN messaging.intents i ON i.batch_id = m.batch_id AND i.chunk = m.chunk WHERE m.status = 'ACCEPTED'"""
                )
            )
        ).all()
    assert [row.address for row in sent if row.time > returned[row.address]] == []
    assert len(returned) == 40
    # The race was one: some were sent, and some were not.
    assert 0 < len(sent) < 12 * 40


@pytest.mark.parametrize("order", [1, -1])
async def test_batches_and_opt_outs_of_many_lists_do_not_wait_in_a_circle(service: Service, order: int) -> None:
    await service.set_up("SMS")
    numbers = [f"+1206555{index:04d}" for index in range(4)]
    await announce(service, *numbers)
    for index, number in enumerate(numbers):
        await make_list(service, f"L{index}")
        await set_number(service, number, opt_out_list=list_of(f"L{index}"))
    people = phones(60)

    async def leave(index: int) -> None:
        for person in people[:30]:
            await opt_out(service, person, list_id=f"L{index}")

    async def write() -> None:
        for run in range(4):
            await service.dispatch(a_batch(people[::order], run_id=f"run{run}", channel="SMS"))

    await asyncio.gather(write(), *(leave(index) for index in range(4)))
    for run in range(4):
        await service.done(60, f"run{run}", within=60)
    assert (await send(service, people, "after")).skipped_count == 30
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await opt_out(service, "nobody")
    assert reason_of(caught.value) == "ADDRESS_INVALID"

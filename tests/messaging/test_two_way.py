"""What people write to our numbers: keywords opt out and in and are answered once, and two-way numbers tell what came in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, events_pb2, messages_pb2, opt_outs_pb2, origination_pb2, two_way_pb2
from heliograph_kit.clock import ManualClock
from heliograph_kit.rpc import reason_of
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.keywords import REQUIRED
from heliograph_messaging.pipeline.two_way import TwoWay
from heliograph_messaging.store.conversations import ConversationStore
from heliograph_messaging.store.keywords import KeywordStore
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore
from heliograph_messaging.store.receipts import ReceiptStore
from tests.messaging.conftest import PARENT, PROJECT, Service, a_batch
from tests.messaging.numbers import (
    CODE,
    FREE,
    TEN,
    announce,
    list_of,
    make_list,
    make_pool,
    opt_out,
    put_keyword,
    set_number,
)

pytestmark = pytest.mark.integration
A, S = origination_pb2, messages_pb2.MessageStatus
ANN, BO = "+12065550123", "+12065550124"


@dataclass(frozen=True)
class Inbound:
    """A message as the store of inbound ones gives it."""

    inbound_id: str
    body: str
    destination: str = TEN
    origination: str = ANN
    time: datetime = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    channel: str = "SMS"


@dataclass
class Line:
    """The numbers of a running service, with people who write to them."""

    service: Service
    two_way: TwoWay
    clock: ManualClock

    async def hear(self, *messages: Inbound, project: str = PROJECT) -> None:
        async with self.service.runtime.database.transaction() as conn:
            await self.two_way.handle_inbound(conn, project, "scripted", messages)

    async def replies(self, count: int) -> list[tuple[str, str, str]]:
        """Wait for so many automatic replies and return (from, to, text) of all there are."""
        await eventually(lambda: len(self.service.scripted.sent) >= count)
        return [
            (message.origination, message.address, message.content.body)  # type: ignore[union-attr]
            for message in self.service.scripted.sent
        ]

    async def queued(self) -> list[dispatch_pb2.DispatchBatch]:
        """Return the replies that were put into the outbox."""
        async with self.service.runtime.database.transaction() as conn:
            statement = "SELECT payload FROM messaging.outbox WHERE type LIKE '%DispatchBatch' ORDER BY seq"
            return [
                dispatch_pb2.DispatchBatch.FromString(bytes(payload))
                for payload in (await conn.execute(text(statement))).scalars()
            ]

    async def told(self) -> list[two_way_pb2.TwoWayMessage]:
        async with self.service.runtime.database.transaction() as conn:
            statement = "SELECT payload, subject FROM messaging.outbox WHERE type LIKE '%TwoWayReceived' ORDER BY seq"
            rows = (await conn.execute(text(statement))).all()
        assert {row.subject for row in rows} <= {f"changes.messaging.{PROJECT}.two_way_received"}
        return [one for row in rows for one in two_way_pb2.TwoWayReceived.FromString(bytes(row.payload)).messages]

    async def is_out(self, person: str = ANN, list_id: str = "Default") -> bool | None:
        """Tell whether a person is on a list by their own word; None when they are not on it."""
        name = f"{list_of(list_id)}/optedOutNumbers/{person}"
        try:
            found = await self.service.opt_outs.GetOptedOutNumber(opt_outs_pb2.GetOptedOutNumberRequest(name=name))
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == "OPTED_OUT_NUMBER_NOT_FOUND":
                return None
            raise
        return bool(found.end_user_opted_out)


@pytest.fixture
async def line(service: Service) -> Line:
    """Two numbers, a toll-free one among them, and a channel."""
    await service.set_up("SMS")
    await announce(service, TEN, FREE)
    clock = ManualClock(datetime.now(UTC))
    two_way = TwoWay(
        OriginationStore(),
        KeywordStore(),
        OptOutStore(),
        ConversationStore(),
        ReceiptStore(),
        service.runtime.outbox,
        clock,
    )
    return Line(service, two_way, clock)


async def test_stop_opts_out_is_confirmed_and_nothing_more_is_sent(line: Line) -> None:
    await line.hear(Inbound("i1", "Stop it, please!"))
    assert await line.is_out() is True
    assert await line.replies(1) == [(TEN, ANN, REQUIRED["STOP"].reply)]
    await line.service.dispatch(a_batch([ANN, BO], channel="SMS"))
    status = await line.service.done(2)
    assert (status.accepted_count, status.skipped_count) == (1, 1)
    # Asking for help is answered all the same, and the answer is in the ledger as a direct send.
    await line.hear(Inbound("i2", "help"))
    assert (await line.replies(3))[2] == (TEN, ANN, REQUIRED["HELP"].reply)
    run_id = (await line.queued())[-1].source.run_id
    row = (await line.service.rows(run_id))[0]
    assert (row.message_class, row.origination) == (dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL, TEN)


async def test_own_keywords_opt_out_and_in_and_answer(line: Line) -> None:
    owner = f"originations/{TEN}"
    await put_keyword(line.service, owner, "STOP", "Bye {{User.UserId}} & {{#if x}}")
    await put_keyword(line.service, owner, "JOIN", "Welcome back", A.KEYWORD_ACTION_OPT_IN)
    await put_keyword(line.service, owner, "LEAVE", "Gone", A.KEYWORD_ACTION_OPT_OUT)
    await put_keyword(line.service, owner, "HOURS", "9 to 5")
    await line.hear(
        Inbound("i1", "ARRÊT"), Inbound("i2", "leave", origination=BO), Inbound("i3", "hours?", origination=BO)
    )
    assert (await line.is_out(), await line.is_out(BO)) == (True, True)
    # A reply is text, whatever stands in it.
    assert sorted(await line.replies(3)) == [
        (TEN, ANN, "Bye {{User.UserId}} & {{#if x}}"),
        (TEN, BO, "9 to 5"),
        (TEN, BO, "Gone"),
    ]
    await line.hear(Inbound("i4", "join!", time=Inbound("", "").time + timedelta(seconds=1)))
    assert await line.is_out() is None
    assert (await line.replies(4))[3] == (TEN, ANN, "Welcome back")


async def test_a_person_comes_back_at_any_time_and_also_after_somebody_else_opted_him_out(line: Line) -> None:
    await put_keyword(line.service, f"originations/{TEN}", "JOIN", "Welcome", A.KEYWORD_ACTION_OPT_IN)
    start = Inbound("", "").time
    for number in range(3):
        await line.hear(Inbound(f"out{number}", "STOP", time=start + timedelta(seconds=2 * number)))
        assert await line.is_out() is True
        await line.hear(Inbound(f"in{number}", "JOIN", time=start + timedelta(seconds=2 * number + 1)))
        assert await line.is_out() is None
    await opt_out(line.service, ANN)
    assert await line.is_out() is False
    await line.hear(Inbound("in9", "JOIN"))
    assert await line.is_out() is None


async def test_a_word_that_comes_in_late_does_not_undo_a_later_opt_out(line: Line) -> None:
    await put_keyword(line.service, f"originations/{TEN}", "JOIN", "Welcome", A.KEYWORD_ACTION_OPT_IN)
    noon = Inbound("", "").time

    def at(id: str, body: str, second: int) -> Inbound:
        return Inbound(id, body, time=noon + timedelta(seconds=second))

    await line.hear(at("i1", "STOP", 10))
    await line.hear(at("i2", "STOP", 30))
    await line.hear(at("i3", "JOIN", 20))
    assert await line.is_out() is True
    # Several in one call are taken in the order in which they were written.
    await line.hear(at("i5", "STOP", 50), at("i4", "JOIN", 40))
    assert await line.is_out() is True
    await line.hear(at("i7", "JOIN", 70), at("i6", "STOP", 60))
    assert await line.is_out() is None


async def test_a_toll_free_number_knows_stop_unstop_and_start_and_answers_none_of_them(line: Line) -> None:
    noon = Inbound("", "").time
    steps = [("QUIT", None), ("STOP", True), ("UNSTOP", None), ("stop.", True), ("start", None), ("ARRET", None)]
    for number, (body, out) in enumerate(steps):
        message = Inbound(f"i{number}", body, destination=FREE, time=noon + timedelta(seconds=number))
        await line.hear(message)
        assert await line.is_out() is out, body
    assert await line.queued() == []
    await line.hear(Inbound("i9", "HELP", destination=FREE))
    assert await line.replies(1) == [(FREE, ANN, REQUIRED["HELP"].reply)]


async def test_where_somebody_else_looks_after_opt_outs_only_his_own_words_are_answered(line: Line) -> None:
    await set_number(line.service, TEN, two_way=True, self_managed_opt_outs=True)
    await put_keyword(line.service, f"originations/{TEN}", "HELP", "Call us")
    await line.hear(Inbound("i1", "STOP"), Inbound("i2", "HELP"))
    assert await line.is_out() is None
    assert await line.replies(1) == [(TEN, ANN, "Call us")]
    assert [(one.message_body, one.message_keyword) for one in await line.told()] == [("STOP", ""), ("HELP", "HELP")]


async def test_a_number_in_a_pool_has_its_words_and_its_list(line: Line) -> None:
    await make_list(line.service, "Ads")
    await set_number(line.service, TEN, opt_out_list=list_of("Ads"))
    await make_pool(line.service, "main", TEN)
    await put_keyword(line.service, "pools/main", "STOP", "Out of the pool")
    await line.hear(Inbound("i1", "stop"))
    assert (await line.is_out(list_id="Ads"), await line.is_out()) == (True, None)
    assert await line.replies(1) == [(TEN, ANN, "Out of the pool")]


async def test_the_use_case_answers_help_and_stop_until_an_editor_does(line: Line) -> None:
    service, mine = line.service, f"originations/{TEN}"

    async def shown(owner: str = mine) -> list[tuple[str, str]]:
        listed = await service.numbers.ListKeywords(A.ListKeywordsRequest(parent=f"{PARENT}/{owner}"))
        return [
            (one.reply, A.KeywordSource.Name(one.source).removeprefix("KEYWORD_SOURCE_")) for one in listed.keywords
        ]

    own = [(REQUIRED[word].reply, "BUILT_IN") for word in ("HELP", "STOP")]
    assert await shown() == own
    await announce(service, TEN, help_reply="Shop: call +1 206 555 0199", stop_reply="Shop: no more messages")
    assert await shown() == [("Shop: call +1 206 555 0199", "USE_CASE"), ("Shop: no more messages", "USE_CASE")]
    await line.hear(Inbound("i1", "help"))
    assert await line.replies(1) == [(TEN, ANN, "Shop: call +1 206 555 0199")]
    # An amendment is followed, an editor's word stays.
    await put_keyword(service, mine, "STOP", "Bye")
    await announce(service, TEN, help_reply="Shop: help@shop.example", stop_reply="Shop: out")
    assert await shown() == [("Shop: help@shop.example", "USE_CASE"), ("Bye", "NUMBER")]
    await line.hear(Inbound("i2", "HELP", origination=BO), Inbound("i3", "stop", origination=BO))
    assert sorted((await line.replies(3))[1:]) == [(TEN, BO, "Bye"), (TEN, BO, "Shop: help@shop.example")]
    # A pool has its first number's words; the use case of a number fills in what no editor wrote.
    await make_pool(service, "main", TEN)
    assert await shown() == [("Shop: help@shop.example", "USE_CASE"), ("Bye", "POOL")]
    assert await shown("pools/main") == [own[0], ("Bye", "POOL")]
    await service.numbers.DeleteKeyword(A.DeleteKeywordRequest(name=f"{PARENT}/pools/main/keywords/STOP"))
    assert (await shown())[1] == ("Shop: out", "USE_CASE")
    await line.hear(Inbound("i4", "stop", origination="+12065550125"))
    assert (await line.replies(4))[3] == (TEN, "+12065550125", "Shop: out")
    assert await shown(f"originations/{FREE}") == [own[0], (own[1][0], "CARRIER")]


async def test_a_10dlc_number_is_two_way_and_tells_its_use_case(line: Line) -> None:
    await set_number(line.service, TEN, two_way=True)
    await line.hear(Inbound("i1", "What are your hours?"))
    assert [one.ten_dlc_registration_id for one in await line.told()] == [f"{PARENT}/useCases/u"]


async def test_an_answer_names_the_message_that_it_answers(line: Line) -> None:
    service = line.service
    await set_number(service, TEN, two_way=True)
    for run in ("run1", "run2"):
        await service.dispatch(a_batch([ANN, BO], run_id=run, channel="SMS", sms_body="x", origination_number=TEN))
        await service.done(2, run)
    await service.dispatch(a_batch([ANN], run_id="run3", channel="SMS", sms_body="x", origination_number=FREE))
    await service.done(1, "run3")
    last = {row.address: row.name.rpartition("/")[2] for row in await service.rows("run2")}
    noon = Inbound("", "").time
    await line.hear(
        Inbound("i1", "Yes please"),
        Inbound("i2", "JOIN", origination=BO),
        Inbound("i3", "no", origination="+12065550199"),
        Inbound("i4", "to the other one", destination=FREE),
    )
    assert [
        (one.inbound_message_id, one.origination_number, one.destination_number, one.message_body)
        for one in await line.told()
    ] == [("i1", ANN, TEN, "Yes please"), ("i2", BO, TEN, "JOIN"), ("i3", "+12065550199", TEN, "no")]
    assert [one.previous_published_message_id for one in await line.told()] == [last[ANN], last[BO], ""]
    assert (await line.told())[0].time.ToDatetime(UTC) == noon
    # What an automatic reply says is not what people answer.
    await line.hear(Inbound("i5", "HELP"))
    await line.replies(6)
    line.clock.advance(timedelta(hours=71))
    await line.hear(Inbound("i6", "still"))
    line.clock.advance(timedelta(hours=2))
    await line.hear(Inbound("i7", "too late"))
    assert [one.previous_published_message_id for one in (await line.told())[3:]] == [last[ANN], last[ANN], ""]
    async with service.runtime.database.transaction() as conn:
        assert await ConversationStore().forget(conn, line.clock.now()) == 4


async def test_the_campaign_whose_message_is_answered_by_stop_learns_of_it(line: Line) -> None:
    service = line.service
    await service.dispatch(a_batch([ANN, BO], channel="SMS"))
    await service.done(2)
    for _ in range(2):
        await line.hear(Inbound("i1", "STOP"))
    events = await service.events(4)
    left = [event for event in events if event.type == events_pb2.MESSAGE_EVENT_TYPE_OPTED_OUT]
    assert len(left) == 1
    row = next(row for row in await service.rows() if row.address == ANN)
    assert row.name.endswith(left[0].message_id)
    assert row.status == S.MESSAGE_STATUS_ACCEPTED
    told = [batch for batch in await service.told() if left[0] in batch.events]
    assert told[0].source.run_id == "run1"


async def test_a_storm_of_one_message_is_one_effect(line: Line) -> None:
    await set_number(line.service, TEN, two_way=True)
    await asyncio.gather(*(line.hear(Inbound("i1", "STOP")) for _ in range(20)))
    await line.hear(*[Inbound("i1", "STOP")] * 80)
    assert await line.replies(1) == [(TEN, ANN, REQUIRED["STOP"].reply)]
    assert len(await line.queued()) == 1
    found = await line.service.opt_outs.ListOptedOutNumbers(
        opt_outs_pb2.ListOptedOutNumbersRequest(parent=list_of("Default"))
    )
    assert [one.number for one in found.opted_out_numbers] == [ANN]


async def test_a_keyword_of_a_person_is_answered_once_a_minute(line: Line) -> None:
    for number in range(100):
        await line.hear(Inbound(f"i{number}", "help"))
    assert len(await line.queued()) == 1
    # Another word, another person and another number are answered.
    await line.hear(
        Inbound("j1", "STOP"), Inbound("j2", "help", origination=BO), Inbound("j3", "help", destination=FREE)
    )
    assert len(await line.queued()) == 4
    for seconds, count in ((59, 4), (1, 5), (30, 5), (30, 6)):
        line.clock.advance(timedelta(seconds=seconds))
        await line.hear(Inbound(f"k{seconds}{count}", "help"))
        assert len(await line.queued()) == count


@pytest.mark.parametrize("sender", ["22000", "VERIFY", "", FREE, TEN, "+49151", "anonymous@example.com"])
async def test_short_numbers_words_and_our_own_numbers_are_never_answered(line: Line, sender: str) -> None:
    await line.hear(Inbound("i1", "HELP", origination=sender))
    assert await line.queued() == []


async def test_a_number_of_another_project_is_ours_too(line: Line) -> None:
    await announce(line.service, "+12065550777", project="other")
    await line.hear(Inbound("i1", "HELP", origination="+12065550777"))
    assert await line.queued() == []


async def test_what_is_not_for_a_number_of_the_project_means_nothing(line: Line) -> None:
    await set_number(line.service, TEN, two_way=True)
    ignored: Sequence[Inbound] = [
        Inbound("i1", "STOP", destination="+12065550777"),
        Inbound("i2", "STOP", channel="EMAIL"),
        Inbound("i3", "STOP", destination=CODE),
    ]
    await line.hear(*ignored)
    await line.hear(Inbound("i4", "STOP"), project="other")
    await line.hear()
    assert (await line.is_out(), await line.queued(), await line.told()) == (None, [], [])


async def test_a_page_of_five_hundred_people_is_heard_at_once(line: Line) -> None:
    await set_number(line.service, TEN, two_way=True)
    people = [f"+1312555{index:04d}" for index in range(500)]
    await line.hear(*(Inbound(f"i{index}", "STOP", origination=person) for index, person in enumerate(people)))
    assert [sorted(batch.recipients.addresses) for batch in await line.queued()] == [people]
    assert len(await line.told()) == 500
    page = await line.service.opt_outs.ListOptedOutNumbers(
        opt_outs_pb2.ListOptedOutNumbersRequest(parent=list_of("Default"), page_size=500)
    )
    assert len(page.opted_out_numbers) == 500
    assert len(await line.replies(500)) == 500


async def test_a_reply_keeps_to_what_the_month_may_cost(line: Line) -> None:
    settings = A.UpdateSmsSettingsRequest(
        sms_settings=A.SmsSettings(
            name=f"{PARENT}/smsSettings", prices_micros={"US": 100}, monthly_spend_limit_micros=100
        )
    )
    settings.update_mask.paths.extend(["prices_micros", "monthly_spend_limit_micros"])
    await line.service.numbers.UpdateSmsSettings(settings)
    await line.hear(Inbound("i1", "HELP"))
    await line.replies(1)
    await line.hear(Inbound("i2", "STOP"))
    run_id = (await line.queued())[-1].source.run_id
    assert (await line.service.done(1, run_id)).skipped_count == 1
    assert await line.is_out() is True

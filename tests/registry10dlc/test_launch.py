"""The launch plan: its schedule against one that sends every message, its carriers, its alternatives, its words."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_channels.us_carriers import Carrier, day_bucket, next_pacific_midnight, pacific_day
from heliograph_messaging.domain.pacing import SLICE
from heliograph_registry10dlc.allowance import BUNDLED, Allowance, load_allowances
from heliograph_registry10dlc.launch import (
    MOST_DAYS,
    TURN,
    Launch,
    alternatives,
    among_first,
    last_of,
    lay_out,
    pace_of,
    plan,
    remarks_of,
    shared_out,
)

START = datetime(2026, 11, 27, 16, 0, tzinfo=UTC)  # 08:00 in Los Angeles
SECOND = timedelta(seconds=1)


def a_launch(
    audience: Mapping[str, int] | None = None,
    *,
    parts: int = 1,
    use_case: str = "CUSTOMER_CARE",
    score: int = 40,
    start: datetime = START,
    used_today: int = 0,
    platform: float = 0.0,
    account: float = 0.0,
) -> Launch:
    return Launch(audience or {"UNKNOWN": 1000}, parts, use_case, score, start, used_today, platform, account)


# -- the schedule -----------------------------------------------------------------------------------------------------


def test_a_turn_is_that_of_messaging() -> None:
    assert TURN == SLICE


@pytest.mark.parametrize(
    ("rate", "parts", "messages", "seconds"),
    [
        pytest.param(4, 1, 8, 2, id="two seconds' worth"),
        pytest.param(4, 3, 2, 2, id="a message is never cut, the rest of the turn is lost"),
        pytest.param(4, 10, 1, 2.5, id="one message where that is more"),
        pytest.param(0.2, 1, 1, 5, id="low volume"),
        pytest.param(0.2, 3, 1, 15, id="low volume, long texts"),
        pytest.param(1.25, 1, 2, 1.6, id="half a part goes into no turn"),
        pytest.param(75, 1, 150, 2, id="fast"),
    ],
)
def test_the_pace_is_that_of_messagings_turns(rate: float, parts: int, messages: int, seconds: float) -> None:
    pace = pace_of(rate, parts)
    assert (pace.messages, pace.turn) == (messages, seconds * SECOND)


@pytest.mark.parametrize(
    ("messages", "bucket", "left", "start", "finish", "days"),
    [
        pytest.param(8, 100, 100, START, START, [(8, None)], id="one turn goes at once"),
        pytest.param(9, 100, 100, START, START + 2 * SECOND, [(9, None)], id="one more waits for the next turn"),
        pytest.param(100, 100, 100, START, START + 24 * SECOND, [(100, None)], id="a day's cap that is just enough"),
        pytest.param(
            101, 100, 100, START, datetime(2026, 11, 28, 8, tzinfo=UTC), [(100, START + 24 * SECOND), (1, None)],
            id="one more waits for midnight",
        ),
        pytest.param(
            10, 100, 0, START, datetime(2026, 11, 28, 8, 0, 2, tzinfo=UTC), [(10, None)], id="nothing is left of the first day",
        ),
        pytest.param(
            60, 25, 5, datetime(2026, 3, 8, 20, tzinfo=UTC), datetime(2026, 3, 11, 7, 0, tzinfo=UTC),
            [(5, datetime(2026, 3, 8, 20, tzinfo=UTC)), (25, datetime(2026, 3, 9, 7, 0, 6, tzinfo=UTC)),
             (25, datetime(2026, 3, 10, 7, 0, 6, tzinfo=UTC)), (5, None)],
            id="midnights after the clocks went forward",
        ),
        pytest.param(
            16, 100, 100, datetime(2026, 11, 28, 7, 59, 59, tzinfo=UTC), datetime(2026, 11, 28, 8, 0, 1, tzinfo=UTC),
            [(8, None), (8, None)], id="turns go on over midnight",
        ),
    ],
)  # fmt: skip
def test_a_queue_is_laid_out(
    messages: int, bucket: int, left: int, start: datetime, finish: datetime, days: list[tuple[int, datetime | None]]
) -> None:
    laid = lay_out(messages, parts=1, parts_per_second=4, day_bucket=bucket, left_today=left, start=start)
    assert laid.finish == finish
    assert [(stretch.messages, laid.cap_time(stretch)) for stretch in laid.stretches] == days


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 3, 7), 24), (date(2026, 11, 1), 25)])
def test_a_day_of_low_volume_is_as_long_as_it_is(day: date, hours: int) -> None:
    begins = next_pacific_midnight(datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=12))
    laid = lay_out(50_000, parts=1, parts_per_second=0.2, day_bucket=20_000, left_today=20_000, start=begins)
    assert (laid.stretches[0].day, laid.stretches[0].messages) == (day, hours * 720)
    assert not laid.stretches[0].capped


def test_a_message_larger_than_a_day_never_goes() -> None:
    laid = lay_out(1, parts=4, parts_per_second=4, day_bucket=3, left_today=3, start=START)
    assert (laid.finish, list(laid.stretches), laid.instant_of(0)) == (None, [], None)


@pytest.mark.parametrize("bucket", [10, 10**9], ids=["stopped every day", "never stopped"])
def test_a_send_of_years_has_its_finish_but_not_all_its_days(bucket: int) -> None:
    days = 5 * 365
    messages = 10 * days if bucket == 10 else days * 86_400 * 4
    laid = lay_out(messages, parts=1, parts_per_second=4, day_bucket=bucket, left_today=bucket, start=START)
    assert len(laid.stretches) == MOST_DAYS
    assert laid.finish is not None
    assert laid.finish == laid.instant_of(messages - 1)
    assert abs(laid.finish - START - timedelta(days=days)) < timedelta(days=2)
    edge = laid.stretches[-1].first + laid.stretches[-1].messages
    before, after = laid.instant_of(edge - 1), laid.instant_of(edge)
    assert before is not None
    assert after is not None
    assert before <= after < before + timedelta(days=1, hours=1)


def test_more_than_a_hundred_years_are_never() -> None:
    for bucket in (10, 10**12):
        laid = lay_out(10**12, parts=1, parts_per_second=4, day_bucket=bucket, left_today=bucket, start=START)
        assert laid.finish is None


INSTANTS = st.one_of(
    st.sampled_from([
        datetime(2026, 3, 8, 7, 59, 50, tzinfo=UTC), datetime(2026, 3, 9, 6, 59, 55, tzinfo=UTC),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC), datetime(2026, 11, 2, 7, 59, 59, 999_999, tzinfo=UTC),
    ]),
    st.integers(0, 86_400 * 10**6).map(lambda microseconds: START + timedelta(microseconds=microseconds)),
)  # fmt: skip
RATES = st.sampled_from([0.001, 0.01, 0.2, 1, 1.25, 4, 7.3, 40, 75])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.integers(1, 10), RATES, st.integers(10, 400), st.integers(0, 400), INSTANTS)
def test_the_schedule_is_that_of_sending_every_message(
    messages: int, parts: int, rate: float, bucket: int, left: int, start: datetime
) -> None:
    laid = lay_out(messages, parts=parts, parts_per_second=rate, day_bucket=bucket, left_today=left, start=start)
    sent = every_message(messages, parts, rate, bucket, left, start)
    assert [laid.instant_of(index) for index in range(messages)] == sent
    assert laid.finish == (sent[-1] if sent else start)
    assert {stretch.day: stretch.messages for stretch in laid.stretches} == Counter(map(pacific_day, sent))


def every_message(messages: int, parts: int, rate: float, bucket: int, left: int, start: datetime) -> list[datetime]:
    """Send one message after the other: the obvious and slow way."""
    used: Counter[date] = Counter({pacific_day(start): bucket - left})
    sent: list[datetime] = []
    turn_parts = max(parts, int(2 * rate), 1)
    now = start
    while len(sent) < messages:
        in_turn = 0
        held_back = False
        while len(sent) < messages and in_turn + parts <= turn_parts:
            if used[pacific_day(now)] + parts > bucket:
                held_back = True
                break
            used[pacific_day(now)] += parts
            in_turn += parts
            sent.append(now)
        next_turn = now + timedelta(seconds=turn_parts / rate) if in_turn else now
        # When the day is used up, looking again before midnight brings nothing.
        full = used[pacific_day(next_turn)] + parts > bucket
        now = max(next_turn, next_pacific_midnight(now)) if held_back or full else next_turn
    return sent


# -- the audience -----------------------------------------------------------------------------------------------------


def test_the_unknown_are_shared_out_and_nobody_gets_lost() -> None:
    assert shared_out({"UNKNOWN": 1000, "ATT": 7}, BUNDLED.shares) == {
        "ATT": 287,
        "T_MOBILE": 300,
        "VERIZON": 360,
        "OTHER": 60,
    }
    assert shared_out({"UNKNOWN": 1}, BUNDLED.shares) == {"ATT": 0, "T_MOBILE": 0, "VERIZON": 1, "OTHER": 0}


@given(st.dictionaries(st.sampled_from([*Carrier, "UNKNOWN"]), st.integers(0, 10**9)))
def test_sharing_out_keeps_the_sum_and_what_is_known(counts: dict[str, int]) -> None:
    given_out = shared_out(counts, BUNDLED.shares)
    assert sum(given_out.values()) == sum(counts.values())
    assert all(given_out[carrier] >= counts.get(carrier, 0) for carrier in Carrier)


@given(st.integers(1, 500).flatmap(lambda whole: st.tuples(st.integers(1, whole), st.just(whole))))
def test_a_carriers_recipients_are_evenly_mixed(case: tuple[int, int]) -> None:
    count, whole = case
    among = [among_first(first, count, whole) for first in range(whole + 1)]
    assert (among[0], among[-1]) == (0, count)
    assert all(0 <= after - before <= 1 for before, after in itertools.pairwise(among))
    assert all(abs(have - first * count / whole) <= 0.5 for first, have in enumerate(among))
    assert last_of(count, whole) == among.index(count)


# -- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "share", "bucket"),
    [(2_000, 0.3, 6_666), (10_000, 0.3, 33_333), (3_000, 0.3, 10_000), (5, 1, 5), (0, 0.3, 0)],
)
def test_the_bucket_of_a_day_is_the_cap_over_the_share(cap: int, share: float, bucket: int) -> None:
    assert day_bucket(cap, share) == bucket


@pytest.mark.parametrize(
    ("launch", "seconds", "bound_by"),
    [
        (a_launch(), 248, "CARRIER"),  # 1,000 in turns of 8
        (a_launch(platform=1), 998, "PLATFORM"),
        (a_launch(platform=4), 248, "CARRIER"),
        (a_launch(score=100), 12, "CARRIER"),  # turns of 150
        (a_launch(score=100, account=20), 48, "ACCOUNT"),  # turns of 40
        (a_launch(score=100, account=20, platform=10), 98, "PLATFORM"),
        (a_launch(score=100, account=20, parts=3), 50, "ACCOUNT"),  # turns of 40 messages, 120 parts
        (a_launch(use_case="LOW_VOLUME"), 4995, "CARRIER"),
        (a_launch({"ATT": 1}), 0, "CARRIER"),
    ],
)
def test_a_send_takes_as_long_as_the_least_rate_lets_it(launch: Launch, seconds: int, bound_by: str) -> None:
    made = plan(launch)
    assert made.limits.bound_by == bound_by
    if launch.parts == 1:
        assert made.duration == seconds * SECOND
    assert made.parts == launch.recipients * launch.parts


def test_each_carrier_has_its_limits_and_its_finish() -> None:
    made = plan(a_launch({"ATT": 6000, "T_MOBILE": 3999, "VERIZON": 1}))
    att, t_mobile, verizon, other = made.carriers
    assert (att.parts, att.parts_per_second, att.parts_per_day) == (6000, 4, 0)
    assert (t_mobile.parts, t_mobile.parts_per_second, t_mobile.parts_per_day) == (3999, 0, 10_000)
    assert att.finish == t_mobile.finish == made.finish == START + 2498 * SECOND
    assert verizon.finish == START + 1248 * SECOND  # the only one, in the middle
    assert (other.parts, other.finish) == (0, None)
    assert made.refused_parts == 0


def test_the_days_of_a_plan_stop_at_what_messaging_lets_pass() -> None:
    made = plan(a_launch({"UNKNOWN": 60_000}, score=0, platform=0))
    assert [(day.day.isoformat(), day.parts) for day in made.days[:2]] == [("2026-11-27", 6_666), ("2026-11-28", 6_666)]
    assert sum(day.parts for day in made.days) == 60_000
    # 0.2 a second brings 17,280 a day, so every day but the last is cut short.
    assert [day.cap_time is None for day in made.days] == [False] * 9 + [True]
    assert made.days[0].cap_time == START + 6_665 * 5 * SECOND


def test_what_is_used_counts_for_the_first_day_only() -> None:
    made = plan(a_launch({"UNKNOWN": 60_000}, used_today=9_997))
    assert [day.parts for day in made.days] == [10, 33_333, 26_657]
    assert plan(a_launch(used_today=10_001)).days[0].day == date(2026, 11, 28)


@pytest.mark.parametrize(
    ("audience", "used_today", "parts", "refused"),
    [
        pytest.param({"T_MOBILE": 10_000}, 0, 1, 0, id="the cap"),
        pytest.param({"T_MOBILE": 10_001}, 0, 1, 1, id="one more"),
        pytest.param({"T_MOBILE": 20_000, "ATT": 20_000}, 0, 1, 6_667, id="half of a day's bucket"),
        pytest.param({"T_MOBILE": 3_334}, 0, 3, 3, id="a message is refused whole"),
        pytest.param({"T_MOBILE": 100}, 9_950, 1, 50, id="what was used counts"),
        pytest.param({"ATT": 30_000}, 0, 1, 0, id="nobody of T-Mobile's"),
    ],
)
def test_more_customers_of_t_mobiles_than_reckoned_with_are_refused(
    audience: dict[str, int], used_today: int, parts: int, refused: int
) -> None:
    made = plan(a_launch(audience, used_today=used_today, parts=parts))
    assert made.refused_parts == refused
    assert any("will refuse" in words for words in remarks_of(made, [])) == bool(refused)


# -- what if ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launch", "changes"),
    [
        pytest.param(a_launch(), ["a vetting score of 76", "a vetting score of 51"], id="scores"),
        pytest.param(a_launch(score=76), [], id="the best already"),
        pytest.param(
            a_launch({"UNKNOWN": 5000}, use_case="MARKETING", score=60),
            ["a vetting score of 86", "a vetting score of 66", "a use case of the class STANDARD"],
            id="another class is enough, so no score beside it",
        ),
        pytest.param(
            a_launch(platform=1),
            ["a vetting score of 76 and numbers that send 75 parts a second",
             "a vetting score of 51 and numbers that send 40 parts a second", "numbers that send 4 parts a second"],
            id="a score brings nothing to slow numbers",
        ),
        pytest.param(
            a_launch(use_case="LOW_VOLUME", score=80),
            ["a use case of the class STANDARD", "a use case of the class MIXED_OR_MARKETING"],
            id="low volume",
        ),
        pytest.param(a_launch({"UNKNOWN": 1}), [], id="nothing to gain"),
        pytest.param(
            a_launch(score=76, account=20), ["an account rate of 75 messages a second"], id="the account's rate",
        ),
    ],
)  # fmt: skip
def test_what_would_finish_earlier_is_told_best_first(launch: Launch, changes: list[str]) -> None:
    made = plan(launch)
    better = alternatives(made)
    assert [one.change for one in better] == changes
    assert made.finish is not None
    assert all(one.saved == made.finish - one.finish for one in better)
    assert [one.finish for one in better] == sorted(one.finish for one in better)


def test_what_never_finishes_has_alternatives_without_a_figure() -> None:
    table = load_allowances().table
    tiny = plan(a_launch(parts=8, score=0), granted=Allowance(0.2, 2))
    assert tiny.finish is None
    assert remarks_of(tiny, [])[0] == "It never finishes: a message has 8 parts and no more than 6 go a day."
    better = alternatives(tiny)
    assert table.version == tiny.table.version
    assert better
    assert better[0].saved is None


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (a_launch(), "AT&T lets a CUSTOMER_CARE use case with a vetting score of 40 send 4 parts a second"),
        (a_launch(score=0), "without a vetting score send 0.2 parts a second"),
        (a_launch(platform=1), "The numbers send 1 part a second on this platform"),
        (a_launch(score=90, account=20), "The account's limit of 20 messages a second sets the pace"),
        (a_launch(parts=3), "Messages of 3 parts do not fill a turn: 3 of 4 parts a second are used."),
        (a_launch({"UNKNOWN": 60_000}), "33,333 parts a day go in all"),
        (a_launch({"UNKNOWN": 60_000}), "(1 day is cut short)"),
        (a_launch({"UNKNOWN": 60_000}), "T-Mobile may still refuse some 168 parts"),
        (a_launch(used_today=10), "has used 10 parts of the first day's cap at T-Mobile; 9,990 are left"),
        (a_launch({"VERIZON": 1}), "Verizon publishes no limit"),
        (a_launch({"UNKNOWN": 10**7}, score=0), "Only the first 366 days are listed."),
        (a_launch(), "counts only for use cases that are created after it"),
        (a_launch({"ATT": 0}), "Nobody gets a message."),
        (a_launch({"UNKNOWN": 10**9}, score=0), "It takes more than a hundred years."),
    ],
)
def test_a_plan_says_why(launch: Launch, words: str) -> None:
    made = plan(launch)
    assert words in " ".join(remarks_of(made, alternatives(made)))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*map(str, Carrier), "UNKNOWN"]), st.integers(0, 10**9), min_size=1),
    st.integers(1, 10), st.sampled_from(["MIXED", "CUSTOMER_CARE", "LOW_VOLUME"]), st.integers(0, 100), INSTANTS,
    st.integers(0, 10**6), st.sampled_from([0, 0.001, 1, 1000]),
)  # fmt: skip
def test_every_plan_adds_up(
    audience: dict[str, int], parts: int, use_case: str, score: int, start: datetime, used: int, platform: float
) -> None:
    launch = Launch(audience, parts, use_case, score, start, used, platform)
    made = plan(launch)
    assert sum(carrier.parts for carrier in made.carriers) == made.parts
    assert sum(day.parts for day in made.days) == made.parts or made.is_cut or made.finish is None
    assert all(day.parts <= made.limits.day_bucket for day in made.days)
    assert 0 <= made.refused_parts <= made.parts
    if made.finish is not None:
        assert made.finish >= start
        finishes = [carrier.finish for carrier in made.carriers if carrier.parts]
        assert all(finish is not None and finish <= made.finish for finish in finishes)
    assert remarks_of(made, alternatives(made))

"""Sets of participants going through a table of steps, against walking one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_journeys.domain.checking import review
from heliograph_journeys.domain.journey import (
    EVENT_BITS,
    Branch,
    ConditionalSplit,
    Doing,
    Draft,
    Holdout,
    Message,
    MessageEvent,
    RandomSplit,
    Wait,
    in_order,
)
from heliograph_journeys.domain.moving import Moved, Person, advance, draws
from heliograph_journeys.domain.table import StepTable, compile_journey
from tests.journeys.builders import a_draft, a_message, a_random, a_split, a_wait
from tests.journeys.one_by_one import OneByOne

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN = "run"


def compiled(draft: Draft) -> StepTable:
    return compile_journey(draft, implicit_window=HOUR)


@dataclass
class InSets:
    """Keeps what `advance` returns the way the tables do."""

    table: StepTable
    where: dict[str, tuple[int, datetime, datetime | None]] = field(default_factory=dict)
    gone: dict[str, tuple[int, str]] = field(default_factory=dict)
    ordinals: dict[str, int] = field(default_factory=dict)
    happened: dict[int, dict[int, int]] = field(default_factory=dict)
    arrived: Counter[int] = field(default_factory=Counter)
    left: Counter[tuple[int, str]] = field(default_factory=Counter)
    entered: int = 0

    def apply(self, moved: Moved) -> None:
        """Write one pass down."""
        for rest in moved.rests:
            for person in rest.people:
                self.where[person.endpoint_id] = (rest.step, rest.arrived_at, rest.wake_at)
        for leave in moved.leaves:
            for person in leave.people:
                self.where.pop(person.endpoint_id, None)
                assert person.endpoint_id not in self.gone
                self.gone[person.endpoint_id] = (leave.step, leave.exit_reason)
        for move in moved.moves:
            if move.from_step is None:
                self.entered += len(move.people)
            else:
                self.left[move.from_step, move.branch] += len(move.people)
            if move.to_step is not None:
                self.arrived[move.to_step] += len(move.people)
        self.check()

    def check(self) -> None:
        """Conservation, at this instant: of the journey, and of each step."""
        assert self.entered == len(self.where) + len(self.gone)
        here = Counter(step for step, _, _ in self.where.values())
        for position in range(len(self.table.steps)):
            left = sum(count for (step, _), count in self.left.items() if step == position)
            assert self.arrived[position] == here[position] + left

    def enter(self, ids: list[str], now: datetime) -> None:
        people = [Person(id_, self.ordinals.setdefault(id_, len(self.ordinals)), now) for id_ in ids]
        self.apply(advance(self.table, RUN, entering=people, happened={}, now=now))

    def go_on(self, ids: list[str], now: datetime) -> None:
        due: dict[int, list[Person]] = {}
        for id_ in ids:
            step, arrived_at, _ = self.where[id_]
            due.setdefault(step, []).append(Person(id_, self.ordinals[id_], arrived_at))
        self.apply(advance(self.table, RUN, leaving=due, happened=self.happened, now=now))

    def due(self, now: datetime) -> list[str]:
        return [id_ for id_, (_, _, wake_at) in self.where.items() if wake_at is not None and wake_at <= now]

    def unsent(self) -> list[str]:
        return [id_ for id_, (_, _, wake_at) in self.where.items() if wake_at is None]


@st.composite
def journeys(draw: st.DrawFn) -> Draft:
    """Random journeys that pass the review: activities a0, a1, ... each leading only to later ones."""
    count = draw(st.integers(1, 8))
    doings: dict[str, Doing] = {}
    messages: list[str] = []

    def later(i: int) -> str:
        return draw(st.sampled_from(["", *(f"a{j}" for j in range(i + 1, count))]))

    for i in range(count):
        kinds = ["message", "wait", "until", "random", "holdout", *(["split"] if messages else [])]
        id_, kind = f"a{i}", draw(st.sampled_from(kinds))
        match kind:
            case "message":
                doings[id_] = a_message(later(i))
                messages.append(id_)
            case "wait":
                doings[id_] = Wait(wait_for=draw(st.sampled_from([1, 3, 24])) * HOUR, next=later(i))
            case "until":
                doings[id_] = Wait(wait_until=NOON + draw(st.integers(-2, 30)) * HOUR, next=later(i))
            case "random":
                share = draw(st.integers(1, 99))
                doings[id_] = RandomSplit((Branch(share, later(i)), Branch(100 - share, later(i))))
            case "holdout":
                doings[id_] = Holdout(draw(st.sampled_from([0, 20, 50, 100])), later(i))
            case "split":
                asked = st.builds(MessageEvent, st.sampled_from(messages), st.sampled_from(["OPENED", "CLICKED"]))
                doings[id_] = ConditionalSplit(
                    conditions=tuple(draw(st.lists(asked, min_size=1, max_size=3))),
                    any_of=draw(st.booleans()),
                    evaluation_wait_for=draw(st.sampled_from([None, timedelta(), 2 * HOUR, 10 * HOUR])),
                    yes=later(i),
                    no=later(i),
                )
    return a_draft(doings)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), draft=journeys())
def test_sets_move_as_one_by_one_and_nobody_is_lost_at_any_instant(data: st.DataObject, draft: Draft) -> None:
    """Random journeys, entries, sends, receipts and claims of parts of who is due, on a simulated clock."""
    blocking = {f.reason for f in review(draft, "shop") if f.error}
    assert blocking <= {"UNREACHABLE", "NO_WAY_OUT", "MESSAGE_NOT_BEFORE_SPLIT"}
    table, now = compiled(draft), NOON
    sets, slow = InSets(table), OneByOne(draft, RUN, HOUR)
    messages = [id_ for id_, activity in draft.activities.items() if isinstance(activity.does, Message)]
    for turn in range(data.draw(st.integers(1, 8))):
        fresh = [f"e{turn}-{i}" for i in range(data.draw(st.integers(0, 12)))]
        if fresh:
            sets.enter(fresh, now)
            for id_ in fresh:
                slow.enter(id_, now)
        waiting = sets.unsent()
        sends = data.draw(st.booleans())
        if waiting and sends:
            part = waiting[: data.draw(st.integers(1, len(waiting)))]
            sets.go_on(part, now)
            for id_ in part:
                slow.send(id_, now)
        if messages and slow.walkers:
            for id_ in data.draw(st.lists(st.sampled_from(sorted(slow.walkers)), max_size=4)):
                message, event = data.draw(st.sampled_from(messages)), data.draw(st.sampled_from(["OPENED", "CLICKED"]))
                slow.walkers[id_].happened.add((message, event))
                bits = sets.happened.setdefault(sets.ordinals[id_], {})
                position = table.positions[message]
                bits[position] = bits.get(position, 0) | EVENT_BITS[event]
                if id_ in sets.where:
                    step, arrived_at, wake_at = sets.where[id_]
                    if wake_at is not None and step in table.splits_on(position, EVENT_BITS[event]):
                        sets.where[id_] = (step, arrived_at, min(wake_at, now))
        # Whoever is due goes, in sets of any size; the slow walk looks at everybody.
        while due := sets.due(now):
            size = data.draw(st.integers(1, len(due)))
            sets.go_on(due[:size], now)
        for walker in slow.walkers.values():
            slow.walk(walker, now)
        assert {id_: table.steps[step].activity_id for id_, (step, _, _) in sets.where.items()} == {
            w.id: w.at for w in slow.walkers.values() if w.state == "ACTIVE"
        }
        assert {id_: (table.steps[step].activity_id, reason) for id_, (step, reason) in sets.gone.items()} == {
            w.id: (w.at, w.reason) for w in slow.walkers.values() if w.state != "ACTIVE"
        }
        assert {(table.steps[step].activity_id, branch): n for (step, branch), n in sets.left.items()} == slow.left
        now += data.draw(st.sampled_from([timedelta(), HOUR, 5 * HOUR, 30 * HOUR]))


def test_steps_are_numbered_so_that_every_way_leads_on() -> None:
    draft = a_draft({"a": a_random(z=50, b=50), "z": a_wait("b"), "b": a_wait()})
    assert in_order(draft) == ["a", "z", "b"]
    assert [step.activity_id for step in compiled(draft).steps] == ["a", "z", "b"]


def test_a_journey_in_a_circle_cannot_be_compiled() -> None:
    with pytest.raises(ValueError, match="reviewed"):
        compiled(a_draft({"a": a_wait("a")}))


def test_the_same_person_always_draws_the_same_number() -> None:
    ids = [f"e{i}" for i in range(1000)]
    assert draws(("run", "split"), ids) == draws(("run", "split"), ids)
    assert draws(("run", "split"), ids) != draws(("run", "other"), ids)
    assert draws(("ab", "c"), ids) != draws(("a", "bc"), ids)


def test_draws_are_even_within_four_sigma() -> None:
    count = 100_000
    numbers = Counter(draws(("run", "split"), (f"endpoint-{i}" for i in range(count))))
    assert set(numbers) == set(range(100))
    for share in (1, 10, 50):
        below = sum(n for number, n in numbers.items() if number < share)
        expected, sigma = count * share / 100, (count * share / 100 * (1 - share / 100)) ** 0.5
        assert abs(below - expected) < 4 * sigma


@pytest.mark.parametrize(
    ("hours", "event", "branch"),
    [
        pytest.param(0, None, None, id="undecided before its time"),
        pytest.param(23.99, None, None, id="undecided a moment before"),
        pytest.param(24, None, "NO", id="the evaluation time itself decides"),
        pytest.param(30, None, "NO", id="late is no"),
        pytest.param(0, "OPENED", "YES", id="an event decides at once"),
        pytest.param(24, "OPENED", "YES", id="an event wins at the evaluation time"),
        pytest.param(5, "CLICKED", None, id="another event decides nothing"),
    ],
)
def test_a_split_is_decided(hours: float, event: str | None, branch: str | None) -> None:
    table = compiled(
        a_draft({"hello": a_message("asks"), "asks": a_split("yes", "no"), "yes": a_wait(), "no": a_wait()})
    )
    position = table.positions["asks"]
    happened = {1: {table.positions["hello"]: EVENT_BITS[event]}} if event else {}
    person = Person("e", 1, NOON)
    moved = advance(table, RUN, leaving={position: [person]}, happened=happened, now=NOON + hours * HOUR)
    assert [move.branch for move in moved.moves] == ([branch] if branch else [])
    if branch is None:
        assert [(rest.arrived_at, rest.wake_at) for rest in moved.rests] == [(NOON, NOON + 24 * HOUR)]


def test_a_wait_whose_instant_has_passed_holds_nobody() -> None:
    table = compiled(a_draft({"until": Wait(wait_until=NOON, next="day"), "day": a_wait()}))
    moved = advance(table, RUN, entering=[Person("e", 1, NOON)], happened={}, now=NOON)
    assert [(rest.step, rest.wake_at) for rest in moved.rests] == [(table.positions["day"], NOON + 24 * HOUR)]


def test_a_whole_holdout_leaves_nobody_inside() -> None:
    table = compiled(a_draft({"keep": Holdout(100, "day"), "day": a_wait()}))
    moved = advance(table, RUN, entering=[Person(f"e{i}", i, NOON) for i in range(50)], happened={}, now=NOON)
    assert not moved.rests
    assert [(leave.exit_reason, len(leave.people)) for leave in moved.leaves] == [("HOLDOUT", 50)]

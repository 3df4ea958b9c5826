"""What another vetting, another kind of use case or faster numbers would change, best first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heliograph_registry10dlc.allowance import Allowance, AllowanceTable
from heliograph_registry10dlc.launch.plan import Launch, Plan, plan

_MOST = 10


@dataclass(frozen=True)
class Alternative:
    """What is different, when it would finish then, and how much earlier; None: as it is, it never finishes."""

    change: str
    finish: datetime
    saved: timedelta | None


@dataclass(frozen=True)
class _Change:
    """Something else: what is different, by kind, in words, and what holds then."""

    words: Mapping[str, str]
    granted: Allowance
    launch: Launch


@dataclass(frozen=True)
class _Outcome:
    change: _Change
    finish: datetime

    def is_beside(self, others: Iterable[_Outcome]) -> bool:
        """Tell whether fewer changes, or one like it that comes before it, do as well."""
        kinds = self.change.words.keys()
        for other in others:
            theirs = other.change.words.keys()
            if (other.finish <= self.finish and theirs < kinds) or (other.finish == self.finish and theirs == kinds):
                return True
        return False


def alternatives(made: Plan) -> list[Alternative]:
    """Return what would finish earlier than a plan, at most 10, the earliest first; equals: the fewest changes first.

    No score higher than needed is told, and no second change beside one that is enough.
    """
    better: list[_Outcome] = []
    for change in _changes(made):
        finish = plan(change.launch, made.table, made.shares, granted=change.granted).finish
        if finish is not None and (made.finish is None or finish < made.finish):
            better.append(_Outcome(change, finish))
    better.sort(key=lambda one: (one.finish, len(one.change.words)))
    told = [one for place, one in enumerate(better) if not one.is_beside(better[:place])]
    return [
        Alternative(
            " and ".join(one.change.words.values()), one.finish, made.finish - one.finish if made.finish else None
        )
        for one in told[:_MOST]
    ]


def _changes(made: Plan) -> Iterator[_Change]:
    for words, granted in _grants(made.launch, made.table):
        yield _Change(words, granted, made.launch)
        faster, launch = _faster(made.launch, granted)
        if faster:
            yield _Change({**words, **faster}, granted, launch)


def _grants(launch: Launch, table: AllowanceTable) -> Iterator[tuple[dict[str, str], Allowance]]:
    """Yield what other scores and classes grant, lower scores first, and in which words."""
    mine = table.class_of(launch.use_case)
    for one in [mine, *(other for other in table.classes if other is not mine)]:
        words = {} if one is mine else {"class": f"a use case of the class {one.name}"}
        yield words, one.allowance(launch.score) or table.unvetted
        for band in reversed(one.bands):
            if band.least_score > launch.score:
                yield {**words, "score": f"a vetting score of {band.least_score}"}, band.allowance


def _faster(launch: Launch, granted: Allowance) -> tuple[dict[str, str], Launch]:
    """Take away what holds a launch below the carriers' pace."""
    words: dict[str, str] = {}
    pace = granted.parts_per_second
    if 0 < launch.platform_parts_per_second < pace:
        words["platform"] = f"numbers that send {pace:g} {'part' if pace == 1 else 'parts'} a second"
        launch = replace(launch, platform_parts_per_second=0.0)
    if 0 < launch.account_messages_per_second * launch.parts < pace:
        words["account"] = f"an account rate of {pace / launch.parts:g} messages a second"
        launch = replace(launch, account_messages_per_second=0.0)
    return words, launch

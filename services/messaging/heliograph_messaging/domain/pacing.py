"""Whose turn it is at a number: how many message parts a batch may hand over now, and when it comes again. Pure.

A number keeps one figure: the instant from which it is free. A batch that wants to send takes a slice of a few seconds'
worth from there on, which moves the instant behind the slice; the next batch takes the next one. So batches take turns, all
workers together never pass the rate, and nobody has to look more often than its turn comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SLICE = timedelta(seconds=2)
"""How much of a number's time one turn takes: the longest burst, and the shortest time between two turns of a batch."""


@dataclass(frozen=True, slots=True)
class Turn:
    """So many parts may be handed over from an instant on."""

    start: datetime
    parts: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking turns led to: the parts that may go now, a turn that lies ahead, and when the number is free again."""

    parts: int
    ahead: Turn | None
    free_at: datetime


def take(*, wanted: int, largest: int, held: Turn | None, free_at: datetime, rate: float, now: datetime) -> Taken:
    """Take turns until `wanted` parts may go or the next turn lies ahead.

    `largest` is the largest message in parts: no turn is smaller, as a message cannot be cut. `held` is a turn that was
    taken before. `rate` is in parts per second, above 0.
    """
    parts = 0
    if held is not None:
        if held.start > now:
            return Taken(0, held, free_at)
        parts = held.parts
    slice_parts = max(largest, int(rate * SLICE.total_seconds()), 1)
    while parts < wanted:
        # What is left of a turn that a message does not fit into is lost, so a rest smaller than a message may still be a message:
        # with a turn for the rest alone it would never go.
        turn = Turn(max(free_at, now), max(largest, min(slice_parts, wanted - parts)))
        free_at = turn.start + timedelta(seconds=turn.parts / rate)
        if turn.start > now:
            return Taken(parts, turn, free_at)
        parts += turn.parts
    return Taken(parts, None, free_at)


def fitting(sizes: Sequence[int], parts: int) -> int:
    """Return how many of the messages, from the first, go into so many parts."""
    for count, size in enumerate(sizes):
        parts -= size
        if parts < 0:
            return count
    return len(sizes)

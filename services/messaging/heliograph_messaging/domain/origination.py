"""Which number an SMS leaves from (pinpoint-2 3.1), and why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

US_ORDER = ("SHORT_CODE", "TEN_DLC", "TOLL_FREE")
PARTS_PER_SECOND = {"SHORT_CODE": 100.0, "TEN_DLC": 1.0, "TOLL_FREE": 3.0, "LONG_CODE": 10.0, "SIMULATOR": 100.0}
"""What a number may send when the registry tells nothing else (pinpoint-2 3.2)."""
ELSEWHERE_ORDER = ("SHORT_CODE", "LONG_CODE")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the 10DLC registry announced it last. `use_case` is its name; empty when it belongs to none."""

    number: str
    kind: str
    state: str
    sms_capable: bool
    use_case: str = ""
    parts_per_second: float = 0.0

    @property
    def throughput(self) -> Throughput:
        """What it may send. All numbers of one use case share what the use case may (pinpoint-2 3.2)."""
        rate = self.parts_per_second or PARTS_PER_SECOND.get(self.kind, 10.0)
        return Throughput(self.use_case or self.number, rate)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Message parts per second, and who shares them: the name of a use case, or a number."""

    key: str
    parts_per_second: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The number to send from (empty: the provider's default), its use case, or why there is none."""

    origination: str = ""
    use_case: str = ""
    problem: str = ""


class Originations:
    """The numbers of one project, sorted out once for a batch and asked for each destination."""

    def __init__(self, numbers: Sequence[Number], *, named: str = "", sender_id: str = "") -> None:
        """Take all numbers of the project, the number the message names (E.164; may be empty) and the sender id."""
        self._numbers = numbers
        self._named = named
        self._sender_id = sender_id
        self._throughputs = {number.number: number.throughput for number in numbers}
        self._us = _best(numbers, US_ORDER)
        self._elsewhere = _best(numbers, ELSEWHERE_ORDER)

    def choose(self, destination: str, *, us: bool) -> Choice:
        """Return the number for a destination (E.164). The same destination gets the same number as long as it can."""
        if self._named:
            return self._check_named(us=us)
        candidates = self._us if us else self._elsewhere
        if candidates:
            best = candidates[0] if len(candidates) == 1 else max(candidates, key=lambda n: _weight(n, destination))
            return Choice(best.number, best.use_case)
        if us:
            return Choice(problem=f"no number of this project may send SMS to the US{self._why()}")
        # Elsewhere sender ids and the provider's shared routes may serve; in the US never.
        return Choice(self._sender_id)

    def throughput(self, origination: str) -> Throughput | None:
        """Return what a number may send; None for a sender id and for the provider's own numbers."""
        return self._throughputs.get(origination)

    def _check_named(self, *, us: bool) -> Choice:
        number = next((n for n in self._numbers if n.number == self._named), None)
        if number is None or number.state == "RELEASED":
            return Choice(problem=f"{self._named} does not belong to this project")
        if not number.sms_capable:
            return Choice(problem=f"{self._named} cannot send SMS")
        if number.state != "READY":
            return Choice(problem=f"{self._named} is {number.state}; it sends once it is READY")
        if us and number.kind not in US_ORDER:
            return Choice(problem=f"{self._named} is a {number.kind}, which may not send SMS to the US")
        if not us and number.kind in ("TEN_DLC", "TOLL_FREE"):
            return Choice(problem=f"{self._named} is a {number.kind}, which sends to the US only")
        return Choice(number.number, number.use_case)

    def _why(self) -> str:
        told = [f"{n.number} ({n.kind}) is {n.state}" for n in self._numbers if n.state != "RELEASED"]
        if not told:
            return ": it has none"
        rest = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return f": {', '.join(told[:_SHOWN])}{rest}"


def _best(numbers: Sequence[Number], order: Sequence[str]) -> list[Number]:
    for kind in order:
        found = [n for n in numbers if n.kind == kind and n.state == "READY" and n.sms_capable]
        if found:
            return found
    return []


def _weight(number: Number, destination: str) -> bytes:
    """Weigh a number for a destination (rendezvous hashing): one more number moves only its own share."""
    return hashlib.blake2b(f"{number.number} {destination}".encode(), digest_size=8).digest()

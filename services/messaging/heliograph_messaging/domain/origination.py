"""Which number an SMS leaves from (pinpoint-2 3.1), and why there is none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from heliograph_messaging.domain.countries import CountryRules
from heliograph_messaging.domain.numbers import UNKNOWN, US, US_ORDER, Number, Throughput, serves, unfit

TRANSACTIONAL = "TRANSACTIONAL"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}")
_SHOWN = 3
_NONE = "NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND"


@dataclass(frozen=True, slots=True)
class Pool:
    """Numbers and sender ids that stand for each other; the numbers say themselves that they are in it."""

    id: str
    message_type: str = ""
    shared_routes: bool = False
    sender_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a message asks for; empty: nothing. A number wins over a pool, both win over a sender id."""

    number: str = ""
    pool: str = ""
    sender_id: str = ""
    message_type: str = ""


@dataclass(frozen=True)
class Ways:
    """The routes of the channel that are switched on, and those that can be called now. None: all are."""

    known: frozenset[str] | None = None
    open: frozenset[str] | None = None


@dataclass(frozen=True)
class SenderRules:
    """What a project lets serve where no number can, and what its messages are that say nothing (empty: either)."""

    rules: CountryRules = field(default_factory=CountryRules)
    registered: frozenset[tuple[str, str]] = frozenset()
    shared_routes: bool = True
    message_type: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The number to send from (empty: the provider's default), its use case and way, or why there is none."""

    origination: str = ""
    use_case: str = ""
    problem: str = ""
    message_type: str = TRANSACTIONAL
    route: str | None = None


@dataclass
class Originations:
    """The numbers of one project, sorted out once for each country and asked for each destination."""

    numbers: Sequence[Number]
    wanted: Wanted = Wanted()
    pools: Sequence[Pool] = ()
    senders: SenderRules = field(default_factory=SenderRules)
    ways: Ways = field(default_factory=Ways)

    def __post_init__(self) -> None:
        """Begin with no country."""
        self._decided: dict[tuple[str, bool], list[Choice]] = {}
        self._by_name = {number.number: number for number in self.numbers}
        self._throughputs = {number.number: number.throughput for number in self.numbers}

    def choose(self, destination: str, *, country: str, simulated: bool = False) -> Choice:
        """Return what to send from to a destination (E.164) in a country (ISO 3166, `US` for its territories too).

        The same destination gets the same number as long as it can. `simulated`: the destination is a simulator number,
        which is reached from anything and from nothing.
        """
        key = (country, simulated)
        choices = self._decided.get(key)
        if choices is None:
            decided = self._decide(country, simulated=simulated)
            choices = [decided] if isinstance(decided, Choice) else [self._of(number) for number in decided]
            self._decided[key] = choices
        if len(choices) == 1:
            return choices[0]
        return max(choices, key=lambda choice: _weight(choice.origination, destination))

    def throughput(self, origination: str) -> Throughput | None:
        """Return what a number may send; None for a sender id and for the provider's own numbers."""
        return self._throughputs.get(origination)

    def number(self, origination: str) -> Number | None:
        """Return a number; None for a sender id and for the provider's own numbers."""
        return self._by_name.get(origination)

    def _decide(self, country: str, *, simulated: bool) -> Choice | list[Number]:
        if self.wanted.number:
            return self._named(country, simulated=simulated)
        decided = self._of_pool(country) if self.wanted.pool else self._of_all(country)
        if simulated and isinstance(decided, Choice) and decided.problem.startswith(_NONE):
            made_for_it = [n for n in self.numbers if n.kind == "SIMULATOR" and self._usable(n)]
            return made_for_it or Choice(message_type=self._type)
        return decided

    # -- a number the message names ---------------------------------------------------------------------------------

    def _named(self, country: str, *, simulated: bool) -> Choice:
        name = self.wanted.number
        number = self._by_name.get(name)
        if number is None or number.state == "RELEASED":
            return Choice(problem=f"{UNKNOWN}: {name} does not belong to this project")
        wanted, has_way = self.wanted.message_type, self._has_way(number)
        found = unfit(number, country, wanted, has_way=has_way, simulated=simulated)
        return Choice(problem=found.of(name), use_case=number.use_case) if found else self._of(number)

    # -- one of a pool, one of all ----------------------------------------------------------------------------------

    def _of_pool(self, country: str) -> Choice | list[Number]:
        pool = next((pool for pool in self.pools if pool.id == self.wanted.pool), None)
        if pool is None:
            return Choice(problem=f"INVALID_POOL_ID: there is no pool {self.wanted.pool}")
        wanted = self.wanted.message_type
        if wanted and pool.message_type not in ("", wanted):
            return Choice(problem=f"MESSAGE_TYPE_MISMATCH: {pool.id} carries {pool.message_type} messages only")
        members = [n for n in self.numbers if n.pool == pool.id]
        found = self._best(members, country, wanted or pool.message_type)
        if found:
            return found
        if country != US:
            fitting = [one for one in pool.sender_ids if self._fits(one, country)]
            if fitting:
                return Choice(min(fitting), message_type=self._type)
            if pool.shared_routes:
                return Choice(message_type=self._type)
        where = "the US" if country == US else country or "this country"
        why = self._why(members, country, wanted or pool.message_type)
        return Choice(problem=f"{_NONE}: no member of the pool {pool.id} may send SMS to {where}{why}")

    def _of_all(self, country: str) -> Choice | list[Number]:
        if country == US:
            us = [n for n in self.numbers if self._usable(n) and serves(n, US)]
            if len(us) == 1:
                # The only one there is carries everything, whatever it is for (S102).
                return us
        message_type = self.wanted.message_type or self.senders.message_type
        found = self._best(self.numbers, country, message_type)
        if found:
            return found
        if country == US:
            # Sender ids and shared routes never serve the US.
            why = self._why(self.numbers, country, message_type) or ": it has none"
            return Choice(problem=f"{_NONE}: no number of this project may send SMS to the US{why}")
        sender_id = self.wanted.sender_id
        if sender_id and self._fits(sender_id, country):
            return Choice(sender_id, message_type=self._type)
        if self.senders.shared_routes:
            return Choice(message_type=self._type)
        if sender_id:
            told = f"SENDER_ID_NOT_SUPPORTED_FOR_DESTINATION: {sender_id} cannot be used in {country or 'this country'}"
            return Choice(problem=told)
        why = self._why(self.numbers, country, message_type)
        return Choice(problem=f"{_NONE}: nothing of this project sends SMS to {country or 'this country'}{why}")

    def _best(self, numbers: Sequence[Number], country: str, message_type: str) -> list[Number]:
        """Return the numbers that are equally the best, empty when none will do.

        Those whose way can be called now come before all others: as a route that is away is passed over, so are its numbers.
        """
        usable = [n for n in numbers if self._usable(n) and serves(n, country)]
        open_now = self.ways.open
        reachable = [n for n in usable if n.route is None or open_now is None or n.route in open_now]
        for among in (reachable, usable):
            for rank in range(3):
                found = _typed([n for n in among if _rank(n, country) == rank], message_type)
                if found:
                    return found
        return []

    # -- small questions --------------------------------------------------------------------------------------------

    @property
    def _type(self) -> str:
        return self.wanted.message_type or self.senders.message_type or TRANSACTIONAL

    def _of(self, number: Number) -> Choice:
        return Choice(
            number.number, number.use_case, message_type=number.message_type or self._type, route=number.route
        )

    def _usable(self, number: Number) -> bool:
        return number.state == "READY" and number.sms_capable and self._has_way(number)

    def _has_way(self, number: Number) -> bool:
        return number.route is None or self.ways.known is None or number.route in self.ways.known

    def _fits(self, sender_id: str, country: str) -> bool:
        return self.senders.rules.sender_id_fits(sender_id, country, self.senders.registered)

    def _why(self, numbers: Sequence[Number], country: str, message_type: str) -> str:
        """Say of a few of the numbers why they cannot serve."""
        told = []
        for n in numbers:
            found = unfit(n, country, message_type, has_way=self._has_way(n)) if n.state != "RELEASED" else None
            if found is not None:
                told.append(f"{n.number} ({n.kind}) {found.words}")
        rest = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return f": {'; '.join(told[:_SHOWN])}{rest}" if told else ""


def number_problem(number: str) -> str | None:
    """Say why SMS can leave from no number that is written so, or None: E.164, or a short code of 3 to 8 digits."""
    if _NUMBER.fullmatch(number):
        return None
    return "must be a number in E.164 form (+12065550100) or a short code of 3 to 8 digits"


def _rank(number: Number, country: str) -> int:
    """Return how good a number is for a country that it serves; 0 is best."""
    if country == US:
        return US_ORDER.index(number.kind)
    if number.kind == "SHORT_CODE":
        return 0
    return 1 if number.country == country else 2


def _typed(numbers: Sequence[Number], message_type: str) -> list[Number]:
    """Return the numbers for a type of message: those made for it before those that carry both.

    Without a type all will do, those for transactional messages first and those for promotional ones last.
    """
    order = (message_type, "") if message_type else (TRANSACTIONAL, "", "PROMOTIONAL")
    for wanted in order:
        found = [number for number in numbers if number.message_type == wanted]
        if found:
            return found
    return []


def _weight(number: str, destination: str) -> bytes:
    """Weigh a number for a destination (rendezvous hashing): one more number moves only its own share."""
    return hashlib.blake2b(f"{number} {destination}".encode(), digest_size=8).digest()

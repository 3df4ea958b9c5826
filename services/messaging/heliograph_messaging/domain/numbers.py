"""Numbers as the registry announces them: what they may send, with whom they share it, and why one cannot serve. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

US = "US"
US_ORDER = ("SHORT_CODE", "TEN_DLC", "TOLL_FREE")
PARTS_PER_SECOND = {"SHORT_CODE": 100.0, "TEN_DLC": 1.0, "TOLL_FREE": 3.0, "LONG_CODE": 10.0, "SIMULATOR": 100.0}
"""What a number may send when the registry tells nothing else (pinpoint-2 3.2)."""
STATES: Mapping[str, str] = {
    "ORDERED": "is ORDERED and not there yet",
    "UNASSOCIATED": "is UNASSOCIATED: it belongs to no approved use case",
    "PENDING": "is PENDING: to associate it with its use case takes about 14 days",
    "CONVERTING": "is CONVERTING to a 10DLC number, which takes days; until then it makes calls only",
    "SUSPENDED": "is SUSPENDED by a carrier",
    "DISASSOCIATING": "is DISASSOCIATING: it is being taken off its use case",
    "RELEASED": "is RELEASED",
    "FAILED": "is FAILED: its order or association did not succeed",
}
"""States other than READY, in words for whoever wanted to send from such a number (pinpoint-2 4.9)."""
INVALID = "INVALID_ORIGINATION_IDENTITY"
UNKNOWN = "ORIGINATION_IDENTITY_DOES_NOT_EXIST"
_ONLY_US = ("TEN_DLC", "TOLL_FREE")
_NOT_THERE = ("ORDERED", "RELEASED", "FAILED")


@dataclass(frozen=True, slots=True)
class Registration:
    """What the registry says of the brand, the use case and the loan of a number; what an older one does not say is empty.

    `brand` and `lent_by` are names. `parts_per_day` 0: unknown. `message_type` empty: both. Empty replies: none are registered.
    """

    brand: str = ""
    parts_per_day: int = 0
    message_type: str = ""
    help_reply: str = ""
    stop_reply: str = ""
    lent_by: str = ""
    toll_free: bool = False
    """Whether it is a toll-free number whose use is registered and approved."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the 10DLC registry announced it last, and what messaging was told about it.

    `use_case` is its name; empty when it belongs to none. `country` is where it belongs. `message_type` empty: it carries both.
    `route` is the way it belongs to, None: any. `pool` is the id of its pool; empty: none.
    """

    number: str
    kind: str
    state: str
    sms_capable: bool
    use_case: str = ""
    parts_per_second: float = 0.0
    country: str = US
    message_type: str = ""
    route: str | None = None
    pool: str = ""
    voice_capable: bool = False
    registration: Registration = field(default_factory=Registration)

    @property
    def throughput(self) -> Throughput:
        """What it may send. All numbers of one use case share what the use case may, whoever borrows them (pinpoint-2 3.2)."""
        rate = self.parts_per_second or PARTS_PER_SECOND.get(self.kind, 10.0)
        return Throughput(self.use_case or self.number, rate, self.owner)

    @property
    def owner(self) -> str:
        """The project whose use case it belongs to, or that lends it; empty: the one that sends from it."""
        return project_of(self.use_case or self.registration.lent_by)

    @property
    def is_unregistered(self) -> bool:
        """Whether it is a US long code, which is for calls only (S92)."""
        return self.kind == "LONG_CODE" and self.country == US and self.state in ("READY", "UNASSOCIATED")


@dataclass(frozen=True, slots=True)
class Throughput:
    """Message parts per second, and who shares them: the name of a use case, or a number, of a project (empty: the sender's)."""

    key: str
    parts_per_second: float
    project: str = ""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a number cannot serve: the word of the original, and what comes after the number in a sentence."""

    code: str
    words: str

    def of(self, number: str) -> str:
        """Return the detail of a message that named the number."""
        return f"{self.code}: {number} {self.words}"


def project_of(name: str) -> str:
    """Return the project of a resource's name; empty when it names none."""
    collection, _, rest = name.partition("/")
    return rest.partition("/")[0] if collection == "projects" else ""


def unfit(number: Number, country: str, message_type: str, *, has_way: bool, simulated: bool = False) -> Unfit | None:
    """Say why a number cannot send an SMS of a type (empty: any) to a country; None: it can.

    `has_way`: its route is switched on. `simulated`: to a simulator number, which has no country.
    """
    if number.is_unregistered:
        return Unfit(
            INVALID,
            "is an unregistered US LONG_CODE, which makes calls only and may not send SMS to the US or elsewhere",
        )
    if number.state != "READY":
        return Unfit(INVALID, STATES.get(number.state, f"is {number.state}; it sends once it is READY"))
    if not number.sms_capable:
        return Unfit(INVALID, "cannot send SMS")
    if message_type and number.message_type not in ("", message_type):
        return Unfit("MESSAGE_TYPE_MISMATCH", f"carries {number.message_type} messages only")
    if not has_way:
        return Unfit(INVALID, f"belongs to the route {number.route!r}, which is not there or switched off")
    return None if simulated else _out_of_reach(number, country)


def _out_of_reach(number: Number, country: str) -> Unfit | None:
    if number.kind == "SIMULATOR":
        return Unfit(INVALID, "is a SIMULATOR, which reaches simulator numbers only")
    if country == US and number.kind not in US_ORDER:
        return Unfit(INVALID, f"is a {number.kind}, which may not send SMS to the US")
    if country != US and number.kind in _ONLY_US:
        return Unfit(INVALID, f"is a {number.kind}, which sends to the US only")
    if number.kind == "SHORT_CODE" and number.country != country:
        return Unfit(INVALID, f"is a SHORT_CODE of {number.country}, which reaches nobody in another country")
    return None


def serves(number: Number, country: str) -> bool:
    """Tell whether numbers of this kind reach a country at all (S92, S93, S114)."""
    return not number.is_unregistered and _out_of_reach(number, country) is None


def caller_problem(numbers: Sequence[Number], named: str) -> str:
    """Say why calls cannot come from the number they name; empty: they can. A project without numbers may name any.

    Whatever number is there and makes calls will do, unregistered long codes and converting ones among them (S92, S95, S115).
    """
    known = [number for number in numbers if number.state != "RELEASED"]
    if not known:
        return ""
    number = next((number for number in known if number.number == named), None)
    if number is None:
        return f"{UNKNOWN}: {named} does not belong to this project"
    if not number.voice_capable:
        return f"{INVALID}: {named} cannot make calls"
    return Unfit(INVALID, STATES[number.state]).of(named) if number.state in _NOT_THERE else ""

"""What people send: their text out of a deliver_sm, and long texts put together again (pinpoint-2 2.4). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph_channel_smpp.alphabets import Alphabet, alphabet_of, decode, fill_bits
from heliograph_channel_smpp.numbers import as_number
from heliograph_channel_smpp.pdu import ShortMessage, Tlv

__all__ = ["Fragment", "Place", "Reassembly", "Whole", "digest_of", "read_inbound"]

_UDHI = 0x40


class Place(NamedTuple):
    """Where a fragment belongs: the reference of its message, its number from 1, and how many there are."""

    reference: int
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A message, or a part of one when it has a `place`. `origination` and `destination` are E.164 where they are numbers."""

    origination: str
    destination: str
    body: str
    place: Place | None
    digest: str
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Whole:
    """A message with all its parts, or without some of them (`missing`) because they never came."""

    origination: str
    destination: str
    body: str
    digest: str
    attributes: dict[str, str]
    missing: tuple[int, ...] = ()


def read_inbound(message: ShortMessage, default: Alphabet) -> Fragment:
    """Read a deliver_sm that is no receipt. Nothing in it makes this raise; what is no text comes as hexadecimal digits."""
    octets, place, header = message.content, _sar(message), 0
    if message.esm_class & _UDHI and octets and octets[0] < len(octets):
        header = octets[0] + 1
        place = _concatenation(octets[1:header]) or place
        octets = octets[header:]
    alphabet = alphabet_of(message.data_coding, default)
    attributes = {"encoding": str(alphabet)}
    return Fragment(
        as_number(message.source),
        as_number(message.destination),
        decode(octets, alphabet, fill_bits(header) if header else 0),
        place,
        digest_of(message),
        attributes,
    )


def digest_of(message: ShortMessage) -> str:
    """Return a digest of everything the message says: the same when the SMSC delivers it again."""
    return hashlib.blake2b(repr(message).encode(), digest_size=16).hexdigest()


class Reassembly:
    """Parts that wait for the others of their message, at most `most` messages for `seconds` each.

    The parts of one message share sender, recipient, reference and total. A part that comes twice counts once.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        """Begin with nothing."""
        self._most = most
        self._seconds = seconds
        self._waiting: dict[tuple[object, ...], tuple[float, dict[int, Fragment]]] = {}
        self._complete: set[tuple[object, ...]] = set()

    def __len__(self) -> int:
        """Count the messages that are not complete."""
        return len(self._waiting)

    def add(self, fragment: Fragment, now: float) -> Whole | None:
        """Take a fragment at `now` (seconds of any clock); return the message when it completes one.

        Its parts are kept until `done`, as they come again when the message is `refused`.
        """
        place = fragment.place
        if place is None:
            return _whole((fragment,), ())
        key = _key(fragment)
        _, parts = self._waiting.setdefault(key, (now, {}))
        parts[place.number] = fragment
        if len(parts) < place.total:
            return None
        self._complete.add(key)
        return _whole([parts[number] for number in sorted(parts)], ())

    def done(self, fragment: Fragment) -> None:
        """Forget the message this fragment belongs to."""
        if fragment.place is not None:
            self._waiting.pop(_key(fragment), None)
            self._complete.discard(_key(fragment))

    def refused(self, fragment: Fragment) -> None:
        """Wait for the last part of this message to come again."""
        self._complete.discard(_key(fragment))

    def overdue(self, now: float, *, everything: bool = False) -> list[Whole]:
        """Give up messages that waited too long, and the oldest while there are too many; return what there is of them."""
        given_up = []
        for key, (since, parts) in list(self._waiting.items()):
            if not everything and len(self._waiting) <= self._most and now - since < self._seconds:
                break  # in order of arrival: the others are younger
            if key in self._complete:
                continue  # it is being handed over
            del self._waiting[key]
            place = next(iter(parts.values())).place
            total = place.total if place else 1
            missing = tuple(number for number in range(1, total + 1) if number not in parts)
            given_up.append(_whole([parts[number] for number in sorted(parts)], missing))
        return given_up


def _key(fragment: Fragment) -> tuple[object, ...]:
    place = fragment.place
    return (fragment.origination, fragment.destination, *((place.reference, place.total) if place else ()))


def _whole(parts: Sequence[Fragment], missing: tuple[int, ...]) -> Whole:
    first = parts[0]
    digest = first.digest
    if first.place is not None:
        digest = hashlib.blake2b("".join(part.digest for part in parts).encode(), digest_size=16).hexdigest()
    attributes = dict(first.attributes)
    if missing:
        attributes["missing_parts"] = ",".join(map(str, missing))
    return Whole(first.origination, first.destination, "".join(p.body for p in parts), digest, attributes, missing)


def _sar(message: ShortMessage) -> Place | None:
    values = [message.tlv(tag) for tag in (Tlv.SAR_MSG_REF_NUM, Tlv.SAR_SEGMENT_SEQNUM, Tlv.SAR_TOTAL_SEGMENTS)]
    if any(value is None for value in values):
        return None
    return _place(*(int.from_bytes(value or b"") for value in values))


def _concatenation(header: bytes) -> Place | None:
    """Find the concatenation among the elements of a user data header (3GPP 23.040, 9.2.3.24.1 and .8)."""
    at = 0
    while at + 2 <= len(header):
        kind, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        if kind == 0x00 and len(value) == length == 3:
            return _place(value[0], value[2], value[1])
        if kind == 0x08 and len(value) == length == 4:
            return _place(int.from_bytes(value[:2]), value[3], value[2])
        at += 2 + length
    return None


def _place(reference: int, number: int, total: int) -> Place | None:
    return Place(reference, number, total) if 1 <= number <= total <= 255 and total > 1 else None

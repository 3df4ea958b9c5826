"""SMPP 3.4 as octets: the header, the stream of PDUs, and the bodies this channel sends and reads. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "MOST_OCTETS",
    "RESPONSE",
    "Address",
    "Bind",
    "Command",
    "Malformed",
    "Pdu",
    "ShortMessage",
    "Splitter",
    "Tlv",
    "encode",
    "encode_text",
    "read_text",
]

RESPONSE = 0x80000000
"""This bit of a command makes it the answer to that command."""
MOST_OCTETS = 70_000
"""No PDU is longer: a message_payload of 65,535 octets, and everything around it."""
_HEADER = struct.Struct("!IIII")
_TLV = struct.Struct("!HH")
# SMPP 3.4, 4.4.1: the most octets of each text, its final NUL included.
_SERVICE_TYPE, _ADDRESS, _TIME, _SHORT_MESSAGE = 6, 21, 17, 254
_SYSTEM_ID, _PASSWORD, _SYSTEM_TYPE, _RANGE = 16, 9, 13, 41
_MESSAGE_ID = 256  # 65 by the book; some SMSCs answer longer ones, and an id is worth more than the rule


class Command(IntEnum):
    """The requests (SMPP 3.4, 5.1.2.1); an answer is the same with the bit `RESPONSE`."""

    GENERIC_NACK = 0x00
    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    BIND_TRANSCEIVER = 0x09
    OUTBIND = 0x0B
    ENQUIRE_LINK = 0x15
    ALERT_NOTIFICATION = 0x102
    DATA_SM = 0x103


class Tlv(IntEnum):
    """The optional parameters this channel knows (SMPP 3.4, 5.3.2)."""

    RECEIPTED_MESSAGE_ID = 0x001E
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210


class Malformed(Exception):
    """Octets that are no SMPP 3.4; the text says where."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One unit of the protocol: header without its length, and the octets behind it."""

    command: int
    status: int
    sequence: int
    body: bytes = b""


def encode(pdu: Pdu) -> bytes:
    """Return the octets of a PDU."""
    return _HEADER.pack(16 + len(pdu.body), pdu.command, pdu.status, pdu.sequence) + pdu.body


class Splitter:
    """Cuts a stream into PDUs and keeps the unfinished one, which `MOST_OCTETS` bound."""

    def __init__(self) -> None:
        """Start at the border of a PDU."""
        self._unread = b""

    def feed(self, data: bytes) -> Iterator[Pdu]:
        """Yield the PDUs that are complete.

        Raises:
            Malformed: a length that cannot be; nothing behind it can be read any more.
        """
        unread = self._unread + data if self._unread else data
        at, end = 0, len(unread)
        self._unread = b""
        while end - at >= 16:
            length, command, status, sequence = _HEADER.unpack_from(unread, at)
            if not 16 <= length <= MOST_OCTETS:
                raise Malformed(f"a PDU of {length} octets")
            if end - at < length:
                break
            yield Pdu(command, status, sequence, unread[at + 16 : at + length])
            at += length
        self._unread = unread[at:]


@dataclass(frozen=True, slots=True)
class Address:
    """Type of number, numbering plan, digits or letters (SMPP 3.4, 5.2.5 to 5.2.9)."""

    ton: int
    npi: int
    text: str


@dataclass(frozen=True, slots=True)
class Bind:
    """The body of the three binds."""

    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = 0x34
    range: Address = Address(0, 0, "")

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"<Bind as {self.system_id!r}>"

    def encode(self) -> bytes:
        """Return the octets.

        Raises:
            ValueError: a text is too long or not ASCII.
        """
        return b"".join(
            (
                encode_text(self.system_id, _SYSTEM_ID),
                encode_text(self.password, _PASSWORD),
                encode_text(self.system_type, _SYSTEM_TYPE),
                bytes((self.interface_version, self.range.ton, self.range.npi)),
                encode_text(self.range.text, _RANGE),
            )
        )

    @classmethod
    def decode(cls, body: bytes) -> Bind:
        """Read the octets.

        Raises:
            Malformed: they end early, or a text is too long.
        """
        system_id, at = _text(body, 0, _SYSTEM_ID)
        password, at = _text(body, at, _PASSWORD)
        system_type, at = _text(body, at, _SYSTEM_TYPE)
        version, ton, npi = _octets(body, at, 3)
        text, at = _text(body, at + 3, _RANGE)
        return cls(system_id, password, system_type, version, Address(ton, npi, text))


@dataclass(frozen=True, slots=True)
class ShortMessage:
    """The body of submit_sm and deliver_sm, which are the same, and what data_sm has of it."""

    source: Address
    destination: Address
    short_message: bytes = b""
    esm_class: int = 0
    data_coding: int = 0
    registered_delivery: int = 0
    priority: int = 0
    validity: str = ""
    service_type: str = ""
    protocol_id: int = 0
    schedule: str = ""
    replace: int = 0
    default_message: int = 0
    tlvs: tuple[tuple[int, bytes], ...] = ()

    def tlv(self, tag: int) -> bytes | None:
        """Return the value of an optional parameter, None where it is missing."""
        for known, value in self.tlvs:
            if known == tag:
                return value
        return None

    @property
    def content(self) -> bytes:
        """What the message says, wherever it stands: short_message, or message_payload where that is empty."""
        return self.short_message or self.tlv(Tlv.MESSAGE_PAYLOAD) or b""

    def encode(self) -> bytes:
        """Return the octets of submit_sm or deliver_sm.

        Raises:
            ValueError: a field is too long or out of range.
        """
        if len(self.short_message) > _SHORT_MESSAGE:
            raise ValueError("a short_message has at most 254 octets")
        return b"".join(
            (
                encode_text(self.service_type, _SERVICE_TYPE),
                _encode_address(self.source),
                _encode_address(self.destination),
                bytes((self.esm_class, self.protocol_id, self.priority)),
                encode_text(self.schedule, _TIME),
                encode_text(self.validity, _TIME),
                bytes((self.registered_delivery, self.replace, self.data_coding, self.default_message)),
                bytes((len(self.short_message),)),
                self.short_message,
                *(_TLV.pack(tag, len(value)) + value for tag, value in self.tlvs),
            )
        )

    @classmethod
    def decode(cls, body: bytes) -> ShortMessage:
        """Read the octets of submit_sm or deliver_sm.

        Raises:
            Malformed: they end early, a text is too long, or an optional parameter does not fit.
        """
        service_type, at = _text(body, 0, _SERVICE_TYPE)
        source, at = _address(body, at)
        destination, at = _address(body, at)
        esm_class, protocol_id, priority = _octets(body, at, 3)
        schedule, at = _text(body, at + 3, _TIME)
        validity, at = _text(body, at, _TIME)
        registered, replace, coding, default, length = _octets(body, at, 5)
        at += 5
        text = _octets(body, at, length)
        return cls(
            source, destination, text, esm_class, coding, registered, priority, validity, service_type, protocol_id,
            schedule, replace, default, _tlvs(body, at + length),
        )  # fmt: skip

    @classmethod
    def decode_data(cls, body: bytes) -> ShortMessage:
        """Read the octets of data_sm (SMPP 3.4, 4.7.1).

        Raises:
            Malformed: they end early, a text is too long, or an optional parameter does not fit.
        """
        service_type, at = _text(body, 0, _SERVICE_TYPE)
        source, at = _address(body, at, 65)
        destination, at = _address(body, at, 65)
        esm_class, registered, coding = _octets(body, at, 3)
        return cls(
            source,
            destination,
            esm_class=esm_class,
            data_coding=coding,
            registered_delivery=registered,
            service_type=service_type,
            tlvs=_tlvs(body, at + 3),
        )


def read_text(body: bytes) -> str:
    """Return the id that submit_sm_resp and the bind answers begin with; empty where there is no body.

    Raises:
        Malformed: it is longer than 255 characters or has no end.
    """
    return _text(body, 0, _MESSAGE_ID)[0] if body else ""


def encode_text(text: str, most: int = _MESSAGE_ID) -> bytes:
    """Return a text with its final NUL, at most `most` octets together.

    Raises:
        ValueError: it is too long, holds a NUL, or is not ASCII.
    """
    octets = text.encode("ascii") + b"\0"
    if len(octets) > most or b"\0" in octets[:-1]:
        raise ValueError(f"a text of {len(octets)} octets where at most {most} without NUL are allowed")
    return octets


def _encode_address(address: Address) -> bytes:
    return bytes((address.ton, address.npi)) + encode_text(address.text, _ADDRESS)


def _octets(body: bytes, at: int, count: int) -> bytes:
    octets = body[at : at + count]
    if len(octets) != count:
        raise Malformed("the body ends early")
    return octets


def _text(body: bytes, at: int, most: int) -> tuple[str, int]:
    end = body.find(b"\0", at, at + most)
    if end < 0:
        raise Malformed(f"a text has no end within {most} octets")
    return body[at:end].decode("latin-1"), end + 1


def _address(body: bytes, at: int, most: int = _ADDRESS) -> tuple[Address, int]:
    ton, npi = _octets(body, at, 2)
    text, end = _text(body, at + 2, most)
    return Address(ton, npi, text), end


def _tlvs(body: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    found = []
    while at < len(body):
        tag, length = _TLV.unpack(_octets(body, at, 4))
        found.append((tag, _octets(body, at + 4, length)))
        at += 4 + length
    return tuple(found)

"""The settings of the channel, and what they mean to the modules that use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from heliograph_channel_smpp.alphabets import Alphabet
from heliograph_channel_smpp.numbers import Numbering, source_problem
from heliograph_channel_smpp.parts import Coding, Concatenation
from heliograph_channel_smpp.receipts import IdForm, Reading
from heliograph_channel_smpp.session import Timing
from heliograph_channels import Problem, problems_of
from heliograph_channels.call_settings import CA_FILE

__all__ = ["SCHEMA", "coding_of", "numbering_of", "reading_of", "settings_problems", "timing_of"]


def _choice(default: str, description: str, *choices: str) -> dict[str, object]:
    return {"type": "string", "enum": list(choices), "default": default, "description": description}


def _number(default: float, least: float, most: float, description: str) -> dict[str, object]:
    return {"type": "number", "minimum": least, "maximum": most, "default": default, "description": description}


def _whole(default: int, least: int, most: int, description: str) -> dict[str, object]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default, "description": description}


def _text(most: int, description: str, **more: object) -> dict[str, object]:
    pattern = r"^[\x20-\x7e]*(?![\s\S])"  # printable ASCII to the very end, in every dialect of patterns
    return {"type": "string", "maxLength": most, "pattern": pattern, "description": description, **more}


_FORMS = ("text", "decimal", "hex")

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "system_id"],
    "properties": {
        # The connection
        "host": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9._:-]{1,253}(?![\s\S])",
            "description": "Name or address of the SMSC.",
        },
        "port": _whole(3550, 1, 65535, "Port of the SMSC: often 3550 with encryption, 2775 without."),
        "security": _choice("tls", "tls: encrypted; none: for a tunnel or a line of one's own only.", "tls", "none"),
        "ca_file": CA_FILE,
        "system_id": _text(15, "Name of the account at the SMSC.", minLength=1),
        "password": _text(8, "Its password; SMPP 3.4 knows 8 characters.", default="", writeOnly=True),
        "system_type": _text(12, "System type of the bind, where the SMSC asks for one.", default=""),
        "address_range": _text(40, "Which numbers' messages this account takes, where the SMSC asks.", default=""),
        "bind": _choice(
            "transceiver",
            "transceiver: send and receive over each connection; pair: transmitters and one receiver; transmitter: send only, no receipts.",
            "transceiver",
            "pair",
            "transmitter",
        ),
        "connections": _whole(1, 1, 50, "Connections that send. Each worker of Heliograph holds so many."),
        "window": _whole(10, 1, 1000, "Most messages (parts) that wait for an answer on one connection."),
        "rate": _number(0, 0, 100_000, "Most parts a second on one connection; 0 = as fast as the SMSC answers."),
        "throttle_seconds": _number(1, 0, 60, "How long a connection rests when the SMSC says it is throttled."),
        "throttling_statuses": {
            "type": "array",
            "maxItems": 50,
            "items": {"type": "integer", "minimum": 1, "maximum": 0xFFFFFFFF},
            "default": [],
            "description": "Statuses of this SMSC's own that mean: too fast, later.",
        },
        "connect_timeout": _number(15, 0.01, 600, "Most seconds until a connection is bound."),
        "response_timeout": _number(30, 0.01, 600, "Most seconds to wait for an answer."),
        "enquire_seconds": _number(30, 0, 3600, "After so much silence the SMSC is asked if it is there; 0 = never."),
        "reconnect_seconds": _number(60, 0.1, 3600, "Longest pause between attempts to bind again, in seconds."),
        # The sender and the recipient
        "from": _text(
            16, "Sender of messages that name none: number, short code or sender id; empty = the SMSC's.", default=""
        ),
        "ton_international": _whole(1, 0, 6, "Type of number of numbers in E.164 form."),
        "npi_international": _whole(1, 0, 18, "Numbering plan of numbers in E.164 form."),
        "ton_alphanumeric": _whole(5, 0, 6, "Type of number of sender ids."),
        "npi_alphanumeric": _whole(0, 0, 18, "Numbering plan of sender ids."),
        "ton_short_code": _whole(3, 0, 6, "Type of number of short codes."),
        "npi_short_code": _whole(0, 0, 18, "Numbering plan of short codes."),
        "plus": {"type": "boolean", "default": False, "description": "Whether numbers are written with their +."},
        # The text
        "default_alphabet": _choice(
            "gsm",
            "What data_coding 0 means: gsm is one character of GSM 03.38 in each octet, gsm-packed 8 in 7 octets. Texts are sent so; ascii and latin1 are for reading only.",
            "gsm",
            "gsm-packed",
            "ascii",
            "latin1",
        ),
        "latin1": {
            "type": "boolean",
            "default": False,
            "description": "Whether texts outside GSM 03.38 go as ISO 8859-1 where they fit, else as UCS-2.",
        },
        "concatenation": _choice(
            "udh8",
            "How long texts are cut: a header with a reference of 8 or 16 bits, the TLVs sar_*, or uncut in message_payload.",
            *Concatenation,
        ),
        "data_coding_gsm": _whole(0, 0, 255, "data_coding of GSM 03.38."),
        "data_coding_latin1": _whole(3, 0, 255, "data_coding of ISO 8859-1."),
        "data_coding_ucs2": _whole(8, 0, 255, "data_coding of UCS-2."),
        "part_patience": _number(
            20, 0, 300, "How many seconds a further part is tried again when the SMSC says: later."
        ),
        # What else a message says
        "service_type": _text(5, "Service type of messages.", default=""),
        "validity_minutes": _whole(0, 0, 43_200, "How long the SMSC tries to deliver; 0 = as it likes."),
        "priority_transactional": _whole(1, 0, 3, "Priority of transactional messages."),
        "priority_journey": _whole(0, 0, 3, "Priority of messages of journeys."),
        "priority_campaign": _whole(0, 0, 3, "Priority of messages of campaigns."),
        "entity_id_tlv": _whole(0, 0, 65_535, "Tag of the TLV for the entity id (India: 5120); 0 = not sent."),
        "template_id_tlv": _whole(0, 0, 65_535, "Tag of the TLV for the template id (India: 5121); 0 = not sent."),
        # Receipts and answers
        "receipts": _choice(
            "every",
            "Which parts bring receipts. every: a message is delivered when all parts are; last: the last part speaks for all, which also holds when receipts come to another worker; none.",
            "every",
            "last",
            "none",
        ),
        "response_id": _choice("text", "Form of message ids in answers and TLVs.", *_FORMS),
        "receipt_id": _choice("text", "Form of message ids in the text of receipts.", *_FORMS),
        "receipt_tlvs": {
            "type": "boolean",
            "default": True,
            "description": "Whether the TLVs of a receipt count before its text.",
        },
        "reassembly_seconds": _number(300, 1, 86_400, "How long parts of a received text wait for the others."),
        "reassembly_messages": _whole(1000, 1, 100_000, "Most received texts that wait for parts."),
    },
}


def settings_problems(settings: Mapping[str, object]) -> list[Problem]:
    """List everything that is wrong, the rules between fields included."""
    problems = problems_of(SCHEMA, settings)
    sender = settings.get("from")
    if isinstance(sender, str) and (why := source_problem(sender)):
        problems.append(Problem("from", why))
    if settings.get("bind") == "transmitter" and settings.get("receipts", "none") != "none":
        problems.append(Problem("receipts", "must be none or left out where bind is transmitter"))
    if settings.get("default_alphabet") == "gsm-packed" and settings.get("concatenation") == "payload":
        problems.append(
            Problem("concatenation", "must not be payload with gsm-packed: the SMSC could not cut the text")
        )
    return problems


def timing_of(settings: Mapping[str, object]) -> Timing:
    """Return the pace of a session from complete settings."""
    values = cast("Mapping[str, Any]", settings)
    return Timing(
        window=values["window"],
        rate=values["rate"],
        response=values["response_timeout"],
        enquire=values["enquire_seconds"],
    )


def coding_of(settings: Mapping[str, object]) -> Coding:
    """Return how texts are written from complete settings."""
    values = cast("Mapping[str, Any]", settings)
    return Coding(
        packed=values["default_alphabet"] == Alphabet.GSM_PACKED,
        latin1=values["latin1"],
        concatenation=Concatenation(values["concatenation"]),
        gsm_coding=values["data_coding_gsm"],
        latin1_coding=values["data_coding_latin1"],
        ucs2_coding=values["data_coding_ucs2"],
    )


def reading_of(settings: Mapping[str, object]) -> Reading:
    """Return how receipts and answers are read from complete settings."""
    values = cast("Mapping[str, Any]", settings)
    return Reading(
        receipt_id=IdForm(values["receipt_id"]),
        response_id=IdForm(values["response_id"]),
        believe_tlvs=values["receipt_tlvs"],
        default_alphabet=Alphabet(values["default_alphabet"]),
    )


def numbering_of(settings: Mapping[str, object]) -> Numbering:
    """Return how addresses are written from complete settings."""
    values = cast("Mapping[str, Any]", settings)
    return Numbering(
        international=(values["ton_international"], values["npi_international"]),
        alphanumeric=(values["ton_alphanumeric"], values["npi_alphanumeric"]),
        short_code=(values["ton_short_code"], values["npi_short_code"]),
        plus=values["plus"],
    )

"""Delivery receipts: their two forms, the SMSC's ids, and what the states mean (SMPP 3.4, 5.2.28, 5.3.2.35, appendix B). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from heliograph_channel_smpp.alphabets import Alphabet, alphabet_of, decode
from heliograph_channel_smpp.pdu import ShortMessage, Tlv
from heliograph_channels import ReceiptKind

__all__ = ["IdForm", "Reading", "Told", "is_receipt", "read_receipt"]

_RECEIPT, _KINDS = 0x04, 0x3C
_FIELD = re.compile(r"\b(id|done date|stat|err):\s*(\S*)", re.IGNORECASE)
_TEXT = re.compile(r"\btext:", re.IGNORECASE)
_STATES = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
_SHORT = {"DELIVERED": "DELIVRD", "UNDELIVERABLE": "UNDELIV", "ACCEPTED": "ACCEPTD", "REJECTED": "REJECTD"}
# ENROUTE and ACCEPTD are no end, and UNKNOWN says nothing: there is nothing to report.
_MEANINGS = {
    "DELIVRD": (ReceiptKind.DELIVERED, True),
    "EXPIRED": (ReceiptKind.FAILED, False),
    "DELETED": (ReceiptKind.FAILED, True),
    "UNDELIV": (ReceiptKind.FAILED, True),
    "REJECTD": (ReceiptKind.FAILED, True),
}


class IdForm(StrEnum):
    """How an SMSC writes its ids: some answer submit_sm in hexadecimal and write receipts in decimal."""

    TEXT = "text"
    DECIMAL = "decimal"
    HEX = "hex"

    def normal(self, id: str) -> str:
        """Return the one form all ids are compared in; an id that is no such number stays as it is."""
        if self is IdForm.TEXT:
            return id
        try:
            return str(int(id, 16 if self is IdForm.HEX else 10))
        except ValueError:
            return id


@dataclass(frozen=True, slots=True)
class Reading:
    """How receipts are read: the form of ids in their text, in answers and TLVs, and whether TLVs count before the text."""

    receipt_id: IdForm = IdForm.TEXT
    response_id: IdForm = IdForm.TEXT
    believe_tlvs: bool = True
    default_alphabet: Alphabet = Alphabet.GSM


@dataclass(frozen=True, slots=True)
class Told:
    """What a receipt says. `kind` is None where there is nothing to report; `mark` tells occurrences apart."""

    provider_message_id: str
    state: str
    kind: ReceiptKind | None
    permanent: bool
    detail: str
    mark: str


def is_receipt(message: ShortMessage) -> bool:
    """Whether a deliver_sm or data_sm is a receipt of the SMSC: it says so, or it names a message of ours."""
    kind = message.esm_class & _KINDS
    return kind == _RECEIPT or (kind in (0, 0x20) and message.tlv(Tlv.RECEIPTED_MESSAGE_ID) is not None)


def read_receipt(message: ShortMessage, reading: Reading) -> Told | None:
    """Read a receipt from its TLVs and its text; None when it names no message or no state.

    The TLV carries the id as submit_sm_resp did (SMPP 3.4, 5.3.2.12), the text as the SMSC likes.
    """
    fields = _fields(message, reading.default_alphabet)
    written = reading.receipt_id.normal(fields.get("id", ""))
    state = _normal_state(fields.get("stat", ""))
    tlv_id = (message.tlv(Tlv.RECEIPTED_MESSAGE_ID) or b"").rstrip(b"\0").decode("latin-1")
    tlv_state = _STATES.get(int.from_bytes(message.tlv(Tlv.MESSAGE_STATE) or b"\0"), "")
    if tlv_id and (reading.believe_tlvs or not written):
        written = reading.response_id.normal(tlv_id)
    if tlv_state and (reading.believe_tlvs or not state):
        state = tlv_state
    if not written or not state:
        return None
    kind, permanent = _MEANINGS.get(state, (None, True))
    error = fields.get("err", "") or _network_error(message)
    detail = f"stat:{state} err:{error}" if error else f"stat:{state}"
    return Told(written, state, kind, permanent, detail[:100], f"{state} {fields.get('done date', '')}".strip())


def _fields(message: ShortMessage, default: Alphabet) -> dict[str, str]:
    """Read the text of a receipt: in ASCII or GSM 03.38, which differ in one sign that ids have, packed or in UCS-2."""
    alphabet = alphabet_of(message.data_coding, default)
    readings = [message.content.decode("latin-1").replace("\x11", "_")]
    if alphabet in (Alphabet.GSM_PACKED, Alphabet.UCS2):
        readings.append(decode(message.content, alphabet))
    for text in readings:
        # What follows "text:" are the first characters of the message itself, and no fields.
        found = _FIELD.findall(_TEXT.split(text)[0])
        if any(name.lower() == "id" for name, _ in found):
            return {name.lower(): value for name, value in reversed(found)}
    return {}


def _normal_state(state: str) -> str:
    state = state.upper()
    return _SHORT.get(state, state[:7])


def _network_error(message: ShortMessage) -> str:
    code = message.tlv(Tlv.NETWORK_ERROR_CODE) or b""
    return str(int.from_bytes(code[1:3])) if len(code) == 3 else ""

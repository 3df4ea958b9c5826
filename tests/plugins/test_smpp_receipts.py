"""Receipts over SMPP, as texts and as TLVs, and how they are told from messages."""

from __future__ import annotations

import pytest

from heliograph_channel_smpp.alphabets import Alphabet, pack, to_gsm
from heliograph_channel_smpp.pdu import ShortMessage, Tlv
from heliograph_channel_smpp.receipts import IdForm, Reading, is_receipt, read_receipt
from heliograph_channels import ReceiptKind
from tests.plugins.smpp_smsc import a_receipt, a_tlv_receipt, from_a_person


@pytest.mark.parametrize(
    ("state", "kind", "permanent"),
    [
        ("DELIVRD", ReceiptKind.DELIVERED, True),
        ("delivered", ReceiptKind.DELIVERED, True),
        ("EXPIRED", ReceiptKind.FAILED, False),
        ("DELETED", ReceiptKind.FAILED, True),
        ("UNDELIV", ReceiptKind.FAILED, True),
        ("REJECTD", ReceiptKind.FAILED, True),
        ("ACCEPTD", None, True),
        ("ENROUTE", None, True),
        ("UNKNOWN", None, True),
        ("NOVELTY", None, True),
    ],
)
def test_the_text_of_a_receipt_is_read(state: str, kind: ReceiptKind | None, permanent: bool) -> None:
    told = read_receipt(a_receipt("1000", state, error="081"), Reading())
    assert told is not None
    assert (told.provider_message_id, told.kind, told.permanent) == ("1000", kind, permanent)
    assert told.detail.endswith("err:081")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (1, None),
        (2, ReceiptKind.DELIVERED),
        (3, ReceiptKind.FAILED),
        (5, ReceiptKind.FAILED),
        (7, None),
        (8, ReceiptKind.FAILED),
    ],
)
def test_the_tlvs_of_a_receipt_are_read(state: int, kind: ReceiptKind | None) -> None:
    told = read_receipt(a_tlv_receipt("1000", state), Reading())
    assert told is not None
    assert (told.provider_message_id, told.kind) == ("1000", kind)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        pytest.param(Reading(), "3E8", id="as it is"),
        pytest.param(Reading(receipt_id=IdForm.HEX, response_id=IdForm.DECIMAL), "1000", id="receipts in hexadecimal"),
        pytest.param(Reading(receipt_id=IdForm.DECIMAL), "3E8", id="no such number"),
    ],
)
def test_ids_are_compared_in_one_form(reading: Reading, expected: str) -> None:
    told = read_receipt(a_receipt("3E8"), reading)
    assert told is not None
    assert told.provider_message_id == expected
    assert IdForm.HEX.normal("3E8") == IdForm.HEX.normal("000003e8") == IdForm.DECIMAL.normal("1000") == "1000"


@pytest.mark.parametrize(("believed", "expected"), [(True, ("t1", "UNDELIV")), (False, ("9", "DELIVRD"))])
def test_tlvs_count_before_the_text_or_not(believed: bool, expected: tuple[str, str]) -> None:
    text = a_receipt("9")
    both = ShortMessage(
        text.source,
        text.destination,
        text.short_message,
        esm_class=4,
        tlvs=((int(Tlv.RECEIPTED_MESSAGE_ID), b"t1\0"), (int(Tlv.MESSAGE_STATE), b"\5")),
    )
    told = read_receipt(both, Reading(believe_tlvs=believed))
    assert told is not None
    assert (told.provider_message_id, told.state) == expected


_WRITTEN = "id:ab_1 sub:001 done date:2611270412 stat:DELIVRD err:000 text:"


@pytest.mark.parametrize("default", [Alphabet.GSM, Alphabet.GSM_PACKED, Alphabet.LATIN1])
@pytest.mark.parametrize(
    ("octets", "coding"),
    [
        pytest.param(_WRITTEN.encode(), 0, id="ASCII"),
        pytest.param(to_gsm(_WRITTEN), 0, id="GSM"),
        pytest.param(_WRITTEN.encode("utf-16-be"), 8, id="UCS-2"),
    ],
)
def test_a_receipt_is_read_whatever_its_text_is_written_in(octets: bytes, coding: int, default: Alphabet) -> None:
    message = from_a_person(octets, data_coding=coding, esm_class=4)
    told = read_receipt(message, Reading(default_alphabet=default))
    assert told is not None
    assert (told.provider_message_id, told.state, told.mark) == ("ab_1", "DELIVRD", "DELIVRD 2611270412")


def test_a_packed_receipt_is_read() -> None:
    message = from_a_person(pack(to_gsm(_WRITTEN)), esm_class=4)
    told = read_receipt(message, Reading(default_alphabet=Alphabet.GSM_PACKED))
    assert told is not None
    assert told.provider_message_id == "ab_1"


@pytest.mark.parametrize("text", [b"", b"id: stat:DELIVRD", b"id:1 stat:", b"nonsense", b"text:id:1 stat:DELIVRD"])
def test_a_receipt_without_id_or_state_is_none(text: bytes) -> None:
    assert read_receipt(from_a_person(text, esm_class=4), Reading()) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (a_receipt("1"), True),
        (a_tlv_receipt("1"), True),
        (from_a_person(b"", tlvs=((int(Tlv.RECEIPTED_MESSAGE_ID), b"1\0"),)), True),
        (from_a_person(b"id:1 stat:DELIVRD"), False),
        (from_a_person(b"x", esm_class=0x44), True),
        (from_a_person(b"x", esm_class=0x08), False),
    ],
    ids=[
        "by class",
        "by class and TLV",
        "by TLV alone",
        "a person may write anything",
        "with a header",
        "acknowledged",
    ],
)
def test_a_receipt_is_told_from_a_message(message: ShortMessage, expected: bool) -> None:
    assert is_receipt(message) is expected

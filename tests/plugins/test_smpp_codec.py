"""The pure parts of the sms-smpp channel: octets, alphabets, parts, receipts, texts put together again."""

from __future__ import annotations

import random
import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_channel_smpp.alphabets import (
    Alphabet,
    alphabet_of,
    decode,
    fill_bits,
    fits_gsm,
    from_gsm,
    pack,
    to_gsm,
    unpack,
)
from heliograph_channel_smpp.composing import validity_period
from heliograph_channel_smpp.inbound import Reassembly, read_inbound
from heliograph_channel_smpp.numbers import Numbering, as_number, destination_of
from heliograph_channel_smpp.parts import BadText, Coding, Concatenation, Part, cut
from heliograph_channel_smpp.pdu import (
    MOST_OCTETS,
    Address,
    Bind,
    Malformed,
    Pdu,
    ShortMessage,
    Splitter,
    Tlv,
    encode,
    read_text,
)
from heliograph_channel_smpp.receipts import IdForm, Reading, is_receipt, read_receipt
from heliograph_channels import ReceiptKind
from tests.plugins.smpp_smsc import a_receipt, a_tlv_receipt, from_a_person

ID = "0123456789abcdef0123456789abcdef"
EVERY_GSM = "".join(chr(code) for code in range(0x2100) if fits_gsm(chr(code)))

_octet = st.integers(0, 255)
_ascii = st.characters(min_codepoint=1, max_codepoint=127)
_addresses = st.builds(Address, _octet, _octet, st.text(_ascii, max_size=20))
_tlvs = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=4).map(tuple)
_messages = st.builds(
    ShortMessage,
    source=_addresses,
    destination=_addresses,
    short_message=st.binary(max_size=254),
    esm_class=_octet,
    data_coding=_octet,
    registered_delivery=_octet,
    priority=_octet,
    validity=st.text(_ascii, max_size=16),
    service_type=st.text(_ascii, max_size=5),
    protocol_id=_octet,
    schedule=st.text(_ascii, max_size=16),
    replace=_octet,
    default_message=_octet,
    tlvs=_tlvs,
)
_pdus = st.builds(
    Pdu, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=200)
)
_gsm_texts = st.text(st.sampled_from(EVERY_GSM), min_size=1, max_size=800)


# PDUs


@given(_messages)
def test_a_message_is_read_as_it_was_written(message: ShortMessage) -> None:
    assert ShortMessage.decode(message.encode()) == message


@given(st.builds(Bind, st.text(_ascii, max_size=15), st.text(_ascii, max_size=8), st.text(_ascii, max_size=12)))
def test_a_bind_is_read_as_it_was_written(bind: Bind) -> None:
    assert Bind.decode(bind.encode()) == bind
    assert len(bind.password) < 4 or bind.password in bind.system_id or bind.password not in repr(bind)


@given(st.lists(_pdus, max_size=6), st.data())
def test_a_stream_is_cut_the_same_wherever_it_breaks(pdus: list[Pdu], data: st.DataObject) -> None:
    stream = b"".join(map(encode, pdus))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter, read = Splitter(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += list(splitter.feed(stream[begin:end]))
    assert read == pdus


@given(_messages, st.data())
def test_a_truncated_message_is_malformed_and_nothing_else(message: ShortMessage, data: st.DataObject) -> None:
    whole = message.encode()
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        read = ShortMessage.decode(part)
    except Malformed:
        return
    assert read.tlvs == message.tlvs[: len(read.tlvs)], "cut between two optional parameters it is a shorter message"


@given(st.binary(max_size=400))
def test_garbage_is_malformed_and_nothing_else(octets: bytes) -> None:
    for read in (ShortMessage.decode, ShortMessage.decode_data, Bind.decode, read_text):
        with suppress(Malformed):
            read(octets)
    with suppress(Malformed):
        list(Splitter().feed(octets))


@given(_messages)
def test_whatever_arrives_can_be_read_as_a_receipt_and_as_a_text(message: ShortMessage) -> None:
    is_receipt(message)
    read_receipt(message, Reading())
    for alphabet in (Alphabet.GSM, Alphabet.GSM_PACKED, Alphabet.ASCII, Alphabet.LATIN1):
        read_inbound(message, alphabet)


@pytest.mark.parametrize(
    ("length", "good"), [(15, False), (16, True), (MOST_OCTETS, True), (MOST_OCTETS + 1, False), (0xFFFFFFFF, False)]
)
def test_the_length_of_a_pdu_is_bounded_before_anything_is_kept(length: int, good: bool) -> None:
    header = length.to_bytes(4) + b"\x80\0\0\x04" + b"\0" * 8
    if good:
        assert len(list(Splitter().feed(header))) == (length == 16)
    else:
        with pytest.raises(Malformed, match=f"a PDU of {length} octets"):
            list(Splitter().feed(header))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(ShortMessage(Address(1, 1, "1" * 21), Address(1, 1, "1")), id="address"),
        pytest.param(ShortMessage(Address(1, 1, "1"), Address(1, 1, "1"), b"x" * 255), id="short_message"),
        pytest.param(ShortMessage(Address(1, 1, "1\0"), Address(1, 1, "1")), id="NUL"),
        pytest.param(ShortMessage(Address(1, 1, "é"), Address(1, 1, "1")), id="not ASCII"),
        pytest.param(ShortMessage(Address(1, 1, "1"), Address(1, 1, "1"), validity="0" * 17), id="validity"),
        pytest.param(ShortMessage(Address(1, 1, "1"), Address(1, 1, "1"), priority=256), id="octet"),
    ],
)
def test_what_does_not_fit_is_not_written(message: ShortMessage) -> None:
    with pytest.raises(ValueError, match=r"octets|ascii|range"):
        message.encode()


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0, ""),
        (1, "000000000100000R"),
        (60, "000000010000000R"),
        (1440, "000001000000000R"),
        (43_200, "000030000000000R"),
    ],
)
def test_a_validity_period_is_relative(minutes: int, expected: str) -> None:
    assert validity_period(minutes) == expected


# Alphabets


@given(_gsm_texts)
def test_a_gsm_text_is_read_as_it_was_written(text: str) -> None:
    assert from_gsm(to_gsm(text)) == text


@given(st.binary(max_size=200).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 20))
def test_septets_come_out_of_octets_as_they_went_in(septets: bytes, header: int) -> None:
    fill = fill_bits(header)
    out = unpack(pack(septets, fill), fill)
    # A CR that ends on the border of an octet is what fills octets up, and cannot be told from one that was meant.
    assert out == (septets[:-1] if (fill + 7 * len(septets)) % 8 == 0 and septets.endswith(b"\r") else septets)


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("hellohello", "e8329bfd4697d9ec37"),  # the example of every textbook
        ("1234567", "31d98c56b3dd1a"),  # seven bits are left over and hold a CR
        ("@", "00"),
        ("€", "9b32"),
    ],
)
def test_septets_are_packed_as_3gpp_23_038_says(text: str, packed: str) -> None:
    assert pack(to_gsm(text)).hex() == packed
    assert decode(bytes.fromhex(packed), Alphabet.GSM_PACKED) == text


def test_the_table_has_128_places_and_the_extension_nine_more() -> None:
    assert len(EVERY_GSM) == 127 + 9
    assert not fits_gsm("ç")
    assert not fits_gsm("\u2019")
    assert from_gsm(b"\x1b\x41\x1b\x1b\x0d\x1b\x0a\x1b") == "A \r\f", "an unknown extension is its basic letter"


@pytest.mark.parametrize(
    ("coding", "alphabet"),
    [
        (0x00, Alphabet.GSM),
        (0x01, Alphabet.ASCII),
        (0x02, Alphabet.BINARY),
        (0x03, Alphabet.LATIN1),
        (0x04, Alphabet.BINARY),
        (0x08, Alphabet.UCS2),
        (0x10, Alphabet.GSM),
        (0x14, Alphabet.BINARY),
        (0x18, Alphabet.UCS2),
        (0x20, Alphabet.BINARY),
        (0xC0, Alphabet.BINARY),
        (0xF0, Alphabet.GSM),
        (0xF4, Alphabet.BINARY),
    ],
)
def test_a_data_coding_names_its_alphabet(coding: int, alphabet: Alphabet) -> None:
    assert alphabet_of(coding, Alphabet.GSM) is alphabet


# Parts: the vectors of pinpoint-2 2.3

VECTORS = [
    ("a" * 160, 1),
    ("a" * 161, 2),
    ("a" * 306, 2),
    ("a" * 307, 3),
    ("a" * 1600, 11),
    ("€" * 80, 1),
    ("€" * 81, 2),
    ("あ" * 70, 1),
    ("あ" * 71, 2),
    ("あ" * 134, 2),
    ("あ" * 135, 3),
    ("😀" * 35, 1),
    ("😀" * 36, 2),
    ("a" * 129 + "\u2019", 2),
    ("a" * 129 + "'", 1),
    ("a" * 152 + "€" + "a" * 151, 2),
    ("a" * 152 + "€" + "a" * 152, 3),  # the euro is not cut, so a septet is left empty
    ("あ" * 66 + "😀" + "あ" * 66, 3),
]


@pytest.mark.parametrize("concatenation", [Concatenation.UDH8, Concatenation.SAR])
@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
@pytest.mark.parametrize(("text", "count"), VECTORS, ids=[f"{text[0]}x{len(text)}" for text, _ in VECTORS])
def test_there_are_as_many_parts_as_messaging_counts(
    text: str, count: int, packed: bool, concatenation: Concatenation
) -> None:
    parts = cut(text, Coding(packed=packed, concatenation=concatenation), ID)
    assert len(parts) == count
    for part in parts:
        most = 160 if part.data_coding == 0 and not packed else 140
        assert len(part.short_message) <= most


@pytest.mark.parametrize(("length", "count"), [(160, 1), (161, 2), (304, 2), (305, 3)])
def test_a_reference_of_16_bits_costs_a_septet(length: int, count: int) -> None:
    assert len(cut("a" * length, Coding(concatenation=Concatenation.UDH16), ID)) == count


@pytest.mark.parametrize(("length", "count"), [(140, 1), (141, 2), (268, 2), (269, 3)])
def test_latin1_takes_140_octets(length: int, count: int) -> None:
    parts = cut("ç" * length, Coding(latin1=True), ID)
    assert (len(parts), parts[0].data_coding) == (count, 3)


_TEXTS = st.one_of(
    _gsm_texts,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.text(st.sampled_from("a€ç😀あ{"), min_size=1, max_size=300),
)


@settings(max_examples=200)
@given(text=_TEXTS, packed=st.booleans(), latin1=st.booleans(), how=st.sampled_from(Concatenation), order=st.randoms())
def test_a_text_that_is_cut_comes_together_again(
    text: str, packed: bool, latin1: bool, how: Concatenation, order: random.Random
) -> None:
    coding = Coding(packed=packed, latin1=latin1, concatenation=how)
    try:
        parts = cut(text, coding, ID)
    except BadText:
        return
    default = Alphabet.GSM_PACKED if packed else Alphabet.GSM
    reassembly = Reassembly(most=10, seconds=60)
    order.shuffle(parts)
    wholes = [reassembly.add(read_inbound(_arriving(part), default), 0.0) for part in parts]
    assert wholes[:-1] == [None] * (len(parts) - 1)
    whole = wholes[-1]
    assert whole is not None
    if packed and parts[0].data_coding == 0:  # a CR in the last place may be taken for what fills the octet up
        assert re.sub("\r", "", whole.body) == re.sub("\r", "", text)
    else:
        assert whole.body == text


def _arriving(part: Part) -> ShortMessage:
    return from_a_person(part.short_message, esm_class=part.esm_class, data_coding=part.data_coding, tlvs=part.tlvs)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a" * 1601, "1601 characters"),
        ("あ" * 631, "631 units"),
        ("😀" * 316, "632 units"),
        ("\ud800", "lone surrogate"),
    ],
    ids=["empty", "gsm", "ucs2", "emoji", "surrogate"],
)
def test_what_can_never_be_sent_says_why(text: str, why: str) -> None:
    with pytest.raises(BadText, match=why):
        cut(text, Coding(), ID)


@pytest.mark.parametrize("text", ["a" * 1600, "€" * 1600, "あ" * 630, "😀" * 315], ids=["gsm", "euro", "ucs2", "emoji"])
@pytest.mark.parametrize("how", list(Concatenation))
def test_the_longest_texts_can_be_sent(text: str, how: Concatenation) -> None:
    assert 1 <= len(cut(text, Coding(concatenation=how), ID)) <= 22


def test_the_same_message_has_the_same_reference() -> None:
    first, again, other = (cut("a" * 200, Coding(), id)[0].short_message[3] for id in (ID, ID, ID[::-1]))
    assert first == again
    assert first != other


# Numbers


@pytest.mark.parametrize(
    ("address", "number"),
    [
        (Address(1, 1, "12065550100"), "+12065550100"),
        (Address(0, 1, "12065550100"), "+12065550100"),
        (Address(1, 1, "+12065550100"), "+12065550100"),
        (Address(3, 0, "28444"), "28444"),
        (Address(1, 1, "28444"), "28444"),
        (Address(5, 0, "123456789012"), "123456789012"),
        (Address(2, 1, "02065550100"), "02065550100"),
        (Address(0, 0, "02065550100"), "02065550100"),
        (Address(5, 0, "Acme"), "Acme"),
    ],
)
def test_addresses_are_read_as_numbers_where_they_are(address: Address, number: str) -> None:
    assert as_number(address) == number


def test_a_number_is_read_as_it_was_written() -> None:
    for plus in (True, False):
        assert as_number(destination_of("+12065550100", Numbering(plus=plus))) == "+12065550100"


# Receipts


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


# Texts that come in parts


def a_part(number: int, total: int, text: bytes, reference: int = 7, **more: object) -> ShortMessage:
    return from_a_person(bytes((5, 0, 3, reference, total, number)) + text, esm_class=0x40, **more)


def test_what_never_comes_is_given_up_in_time_and_said() -> None:
    reassembly = Reassembly(most=10, seconds=60)
    assert reassembly.add(read_inbound(a_part(1, 3, b"one "), Alphabet.GSM), 0.0) is None
    assert reassembly.add(read_inbound(a_part(3, 3, b"three"), Alphabet.GSM), 30.0) is None
    assert reassembly.overdue(59.9) == []
    (whole,) = reassembly.overdue(60.0)
    assert (whole.body, whole.missing, whole.attributes["missing_parts"]) == ("one three", (2,), "2")
    assert len(reassembly) == 0


def test_too_many_unfinished_texts_push_the_oldest_out() -> None:
    reassembly = Reassembly(most=2, seconds=60)
    for reference in range(3):
        reassembly.add(read_inbound(a_part(1, 2, b"x%d" % reference, reference), Alphabet.GSM), float(reference))
    assert [whole.body for whole in reassembly.overdue(3.0)] == ["x0"]
    assert len(reassembly) == 2


def test_a_part_that_comes_twice_counts_once_and_other_senders_are_other_texts() -> None:
    reassembly = Reassembly(most=10, seconds=60)
    first = read_inbound(a_part(1, 2, b"one "), Alphabet.GSM)
    assert reassembly.add(first, 0.0) is None
    assert reassembly.add(first, 1.0) is None
    stranger = ShortMessage(
        Address(1, 1, "12065550777"), first_message().destination, b"\5\0\3\7\2\2two", esm_class=0x40
    )
    assert reassembly.add(read_inbound(stranger, Alphabet.GSM), 1.0) is None
    whole = reassembly.add(read_inbound(a_part(2, 2, b"two"), Alphabet.GSM), 2.0)
    assert whole is not None
    assert whole.body == "one two"


def test_a_text_that_is_being_handed_over_is_not_given_up_and_can_come_again() -> None:
    reassembly = Reassembly(most=10, seconds=60)
    first, second = (read_inbound(a_part(number, 2, b"x"), Alphabet.GSM) for number in (1, 2))
    reassembly.add(first, 0.0)
    whole = reassembly.add(second, 0.0)
    assert reassembly.overdue(100.0, everything=True) == []
    reassembly.refused(second)
    assert reassembly.add(second, 1.0) == whole
    reassembly.refused(second)
    assert reassembly.overdue(100.0) == [whole]


def first_message() -> ShortMessage:
    return a_part(1, 2, b"one ")


@pytest.mark.parametrize(
    "header",
    [
        b"\x05\x00\x03\x07\x00\x01",
        b"\x05\x00\x03\x07\x02\x03",
        b"\x05\x00\x03\x07\x02\x00",
        b"\x05\x00\x09\x07\x02\x01",
        b"\x00",
    ],
    ids=["no parts", "part 3 of 2", "part 0", "element too long", "empty"],
)
def test_a_header_that_makes_no_sense_is_a_message_of_its_own(header: bytes) -> None:
    fragment = read_inbound(from_a_person(header + b"text", esm_class=0x40), Alphabet.GSM)
    assert fragment.place is None
    assert fragment.body == "text"

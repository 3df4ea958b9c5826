"""SMPP's PDUs, alphabets and numbers: read as they were written, and nothing but an error otherwise."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
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
from heliograph_channel_smpp.inbound import read_inbound
from heliograph_channel_smpp.numbers import Numbering, as_number, destination_of
from heliograph_channel_smpp.pdu import (
    MOST_OCTETS,
    Address,
    Bind,
    Malformed,
    Pdu,
    ShortMessage,
    Splitter,
    encode,
    read_text,
)
from heliograph_channel_smpp.receipts import Reading, is_receipt, read_receipt
from tests.plugins.smpp_texts import EVERY_GSM, GSM_TEXTS

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


@given(GSM_TEXTS)
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

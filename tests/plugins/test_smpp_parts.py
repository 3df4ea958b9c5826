"""Texts of several parts over SMPP: cut as messaging counts them, and put together again."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_channel_smpp.alphabets import Alphabet
from heliograph_channel_smpp.inbound import Reassembly, read_inbound
from heliograph_channel_smpp.parts import BadText, Coding, Concatenation, Part, cut
from heliograph_channel_smpp.pdu import Address, ShortMessage
from tests.plugins.smpp_smsc import from_a_person
from tests.plugins.smpp_texts import GSM_TEXTS

ID = "0123456789abcdef0123456789abcdef"

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
    GSM_TEXTS,
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

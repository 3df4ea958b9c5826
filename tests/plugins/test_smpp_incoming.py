"""Receipts and messages of people through the sms-smpp channel: what is reported, once, and answered only then."""

from __future__ import annotations

import asyncio

import pytest

from heliograph_channel_smpp.pdu import Command, ShortMessage, Tlv
from heliograph_channel_smpp.statuses import Status
from heliograph_channels import Accepted, ReceiptKind, Unknown
from heliograph_channels.testing import RecordingContext
from tests.plugins.smpp_sender import THREE_PARTS, dropping, except_for, one, sender_of, silent, sms
from tests.plugins.smpp_smsc import Smsc, Submit, a_receipt, a_tlv_receipt, from_a_person


async def test_a_receipt_is_reported_under_the_id_of_the_answer() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording) as sender:
        assert await one(sender) == Accepted("1000")
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("1000")) == Status.ESME_ROK
    (receipt,) = recording.receipts
    assert (receipt.provider_message_id, receipt.kind, receipt.detail) == (
        "1000",
        ReceiptKind.DELIVERED,
        "stat:DELIVRD err:000",
    )


async def test_a_receipt_that_is_not_stored_is_refused_and_reported_under_the_same_id_when_it_comes_again() -> None:
    recording = RecordingContext(failures=1)
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("7")) == Status.ESME_RX_T_APPN
        assert recording.receipts == []
        assert await session.deliver(a_receipt("7")) == Status.ESME_ROK
        assert await session.deliver(a_receipt("7")) == Status.ESME_ROK
    assert len(recording.receipts) == 2
    assert len({receipt.receipt_id for receipt in recording.receipts}) == 1


async def test_a_receipt_is_answered_only_after_it_was_stored() -> None:
    stored, asked = asyncio.Event(), asyncio.Event()
    recording = RecordingContext()

    async def slow(receipts: object) -> None:
        asked.set()
        await stored.wait()

    object.__setattr__(recording.context, "report", slow)
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        delivering = asyncio.create_task(session.deliver(a_receipt("7")))
        await asked.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not delivering.done()
        stored.set()
        assert await delivering == Status.ESME_ROK


async def test_receipts_come_in_pages() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        answers = await asyncio.gather(*(session.deliver(a_receipt(str(number))) for number in range(1200)))
    assert set(answers) == {Status.ESME_ROK}
    assert len(recording.receipts) == 1200
    assert len(recording.reports) < 100
    assert max(recording.reports) <= 500


async def test_a_message_of_parts_is_delivered_when_all_are() -> None:
    recording, message = RecordingContext(), sms(THREE_PARTS)
    async with Smsc().running() as smsc, sender_of(smsc, recording) as sender:
        assert isinstance(await one(sender, message), Accepted)
        session = await smsc.bound_session()
        for id in ("1002", "1000", "1000"):
            assert await session.deliver(a_receipt(id)) == Status.ESME_ROK
        assert recording.receipts == []
        assert await session.deliver(a_tlv_receipt("1001")) == Status.ESME_ROK
        (receipt,) = recording.receipts
        assert (receipt.message_id, receipt.kind) == (message.message_id, ReceiptKind.DELIVERED)
        assert await session.deliver(a_receipt("1002")) == Status.ESME_ROK
    assert len({receipt.receipt_id for receipt in recording.receipts}) == 1


async def test_a_message_of_parts_has_failed_when_one_has() -> None:
    recording, message = RecordingContext(), sms(THREE_PARTS)
    async with Smsc().running() as smsc, sender_of(smsc, recording) as sender:
        await one(sender, message)
        session = await smsc.bound_session()
        await session.deliver(a_receipt("1000"))
        await session.deliver(a_receipt("1001", "EXPIRED", error="027"))
    (receipt,) = recording.receipts
    assert (receipt.message_id, receipt.kind, receipt.permanent) == (message.message_id, ReceiptKind.FAILED, False)
    assert receipt.detail == "part 2 of 3: stat:EXPIRED err:027"


async def test_the_last_part_speaks_for_all_where_the_setting_says_so() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording, receipts="last") as sender:
        assert await one(sender, sms(THREE_PARTS)) == Accepted("1002")
        await (await smsc.bound_session()).deliver(a_receipt("1002"))
    (receipt,) = recording.receipts
    assert (receipt.provider_message_id, receipt.kind) == ("1002", ReceiptKind.DELIVERED)


async def test_receipts_that_come_before_their_answers_find_their_message() -> None:
    recording, message = RecordingContext(), sms(THREE_PARTS)
    early: list[asyncio.Task[int]] = []

    async def receipt_first(submit: Submit) -> None:
        id = f"e{submit.number}"
        early.append(asyncio.create_task(submit.session.deliver(a_receipt(id))))
        for _ in range(5):
            await asyncio.sleep(0)
        submit.answer(id=id)

    async with Smsc(receipt_first).running() as smsc, sender_of(smsc, recording) as sender:
        assert await one(sender, message) == Accepted("e2")
        assert await asyncio.gather(*early) == [0, 0, 0]
        await recording.wait_for(lambda receipts: len(receipts) == 1)
    assert [(receipt.message_id, receipt.kind) for receipt in recording.receipts] == [
        (message.message_id, ReceiptKind.DELIVERED)
    ]


async def test_a_receipt_of_another_process_is_not_held_up_for_long() -> None:
    """It may be anybody's while a message of parts is on its way, and goes on when that is over."""
    recording = RecordingContext()
    held: list[Submit] = []

    async def holding(submit: Submit) -> None:
        held.append(submit)

    async with Smsc(holding).running() as smsc, sender_of(smsc, recording) as sender:
        sending = asyncio.create_task(one(sender, sms("a" * 200)))
        await smsc.until(lambda: len(held) == 1)
        session = held[0].session
        strange = asyncio.create_task(session.deliver(a_receipt("strange")))
        held[0].answer()
        await smsc.until(lambda: len(held) == 2)
        assert not strange.done()
        held[1].answer()
        assert isinstance(await sending, Accepted)
        assert await strange == Status.ESME_ROK
    assert [receipt.provider_message_id for receipt in recording.receipts] == ["strange"]


async def test_an_answer_that_comes_too_late_lets_the_receipt_end_the_doubt() -> None:
    recording, message = RecordingContext(), sms()
    async with (
        Smsc(except_for(0, silent)).running() as smsc,
        sender_of(smsc, recording, response_timeout=0.1) as sender,
    ):
        assert isinstance(await one(sender, message), Unknown)
        smsc.submits[0].answer(id="late")
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("late")) == Status.ESME_ROK
    (receipt,) = recording.receipts
    assert receipt.message_id == message.message_id


async def test_parts_of_a_broken_message_never_make_it_delivered() -> None:
    recording = RecordingContext()
    async with Smsc(except_for(1, dropping)).running() as smsc, sender_of(smsc, recording) as sender:
        assert isinstance(await one(sender, sms(THREE_PARTS)), Unknown)
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("1000")) == Status.ESME_ROK
    assert recording.receipts == []


async def test_ids_in_hexadecimal_and_decimal_are_one() -> None:
    recording = RecordingContext()
    async with (
        Smsc(hex_ids=True).running() as smsc,
        sender_of(smsc, recording, response_id="hex", receipt_id="decimal") as sender,
    ):
        assert await one(sender) == Accepted("1000")
        assert smsc.next_id() == "3E9"
        session = await smsc.bound_session()
        await session.deliver(a_receipt("1000"))
        await session.deliver(a_tlv_receipt("3E8", 5))
    assert [receipt.provider_message_id for receipt in recording.receipts] == ["1000", "1000"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        pytest.param(from_a_person(b"no receipt", esm_class=0x04), Status.ESME_ROK, id="a receipt of nothing"),
        pytest.param(a_receipt("1", "ENROUTE"), Status.ESME_ROK, id="on its way"),
        pytest.param(from_a_person(b"", esm_class=0x20), Status.ESME_ROK, id="intermediate notification"),
    ],
)
async def test_what_says_nothing_is_answered_and_not_reported(message: ShortMessage, status: int) -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        assert await (await smsc.bound_session()).deliver(message) == status
    assert (recording.receipts, recording.inbound) == ([], [])


async def test_a_body_that_cannot_be_read_is_refused_and_the_session_stays() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording) as sender:
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("1"), body=b"\0\1\1" + b"9" * 300) == Status.ESME_RINVCMDLEN
        assert isinstance(await one(sender), Accepted)
        assert len(smsc.sessions) == 1


async def test_data_sm_carries_receipts_as_well() -> None:
    recording = RecordingContext()
    body = b"\0\1\0012065\0\1\0012066\0\4\0\0" + b"\0\x1e\0\x021\0" + b"\4\x27\0\1\2"
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        assert await session.deliver(a_receipt("1"), Command.DATA_SM, body) == Status.ESME_ROK
    assert [receipt.provider_message_id for receipt in recording.receipts] == ["1"]


# What people send


@pytest.mark.parametrize(
    ("message", "body", "encoding"),
    [
        pytest.param(from_a_person(b"STOP"), "STOP", "gsm", id="default"),
        pytest.param(from_a_person(b"\x00\x1b\x65"), "@€", "gsm", id="extension"),
        pytest.param(from_a_person("naïve ç".encode("latin-1"), data_coding=3), "naïve ç", "latin1", id="latin1"),
        pytest.param(from_a_person("😀".encode("utf-16-be"), data_coding=8), "😀", "ucs2", id="ucs2"),
        pytest.param(from_a_person(b"\1\2\xff", data_coding=4), "0102ff", "binary", id="binary"),
        pytest.param(
            from_a_person(b"", tlvs=((int(Tlv.MESSAGE_PAYLOAD), b"x" * 1000),)), "x" * 1000, "gsm", id="payload"
        ),
    ],
)
async def test_a_message_from_a_person_is_handed_over(message: ShortMessage, body: str, encoding: str) -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        assert await (await smsc.bound_session()).deliver(message) == Status.ESME_ROK
    (inbound,) = recording.inbound
    assert (inbound.origination, inbound.destination) == ("+12065550100", "+12065550199")
    assert (inbound.body, inbound.attributes["encoding"]) == (body, encoding)


async def test_the_default_alphabet_is_the_settings() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording, default_alphabet="latin1"):
        await (await smsc.bound_session()).deliver(from_a_person(b"\xe7@"))
    assert [inbound.body for inbound in recording.inbound] == ["ç@"]


def a_part(number: int, total: int, text: bytes) -> ShortMessage:
    return from_a_person(bytes((5, 0, 3, 9, total, number)) + text, esm_class=0x40)


async def test_a_long_text_is_put_together_and_its_last_part_answered_when_it_is_stored() -> None:
    recording = RecordingContext(failures=1)
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        assert await session.deliver(a_part(2, 2, b"world")) == Status.ESME_ROK
        assert await session.deliver(a_part(1, 2, b"hello ")) == Status.ESME_RX_T_APPN
        assert recording.inbound == []
        assert await session.deliver(a_part(1, 2, b"hello ")) == Status.ESME_ROK
    assert [inbound.body for inbound in recording.inbound] == ["hello world"]


async def test_an_incomplete_text_is_handed_over_when_time_is_up() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording, reassembly_seconds=1):
        await (await smsc.bound_session()).deliver(a_part(2, 3, b"middle"))
        (inbound,) = await recording.wait_for_inbound(1)
    assert (inbound.body, inbound.attributes["missing_parts"]) == ("middle", "1,3")


async def test_an_incomplete_text_is_handed_over_when_the_channel_is_closed() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        await (await smsc.bound_session()).deliver(a_part(1, 2, b"first"))
        assert recording.inbound == []
    assert [inbound.body for inbound in recording.inbound] == ["first"]


async def test_the_same_words_said_twice_are_two_messages() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        for _ in range(2):
            assert await session.deliver(from_a_person(b"YES")) == Status.ESME_ROK
    assert len({inbound.inbound_id for inbound in recording.inbound}) == 2


async def test_a_message_brought_again_after_its_session_was_lost_keeps_its_id() -> None:
    recording = RecordingContext()
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        await session.deliver(from_a_person(b"YES"))
        session.drop()
        await smsc.until(lambda: len(smsc.sessions) == 2)
        await (await smsc.bound_session()).deliver(from_a_person(b"YES"))
    assert [inbound.body for inbound in recording.inbound] == ["YES", "YES"]
    assert len({inbound.inbound_id for inbound in recording.inbound}) == 1


async def test_a_message_that_was_refused_keeps_its_id() -> None:
    seen: list[str] = []
    recording = RecordingContext()
    take = recording.context.deliver

    async def watching(messages: object) -> None:
        seen.extend(message.inbound_id for message in messages)  # type: ignore[attr-defined]
        if len(seen) == 1:
            raise ConnectionError("not now")
        await take(messages)  # type: ignore[arg-type]

    object.__setattr__(recording.context, "deliver", watching)
    async with Smsc().running() as smsc, sender_of(smsc, recording):
        session = await smsc.bound_session()
        assert await session.deliver(from_a_person(b"YES")) == Status.ESME_RX_T_APPN
        assert await session.deliver(from_a_person(b"YES")) == Status.ESME_ROK
    assert len(seen) == 2
    assert len(set(seen)) == 1

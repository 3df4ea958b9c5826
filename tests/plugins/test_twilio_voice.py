"""The channel voice-twilio against a Twilio of our own: what is spoken, in which voice, and how calls end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio

from heliograph_channel_twilio import TwilioVoice
from heliograph_channel_twilio.speech import MOST_TWIML, CannotSay, NotSpoken, twiml
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    ReceiptKind,
    Rejected,
    RejectReason,
    Sender,
    Unknown,
    Unsupported,
    VoiceContent,
    WebhookRequest,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, WebhookContract, a_message
from tests.plugins.http_peers import losing
from tests.plugins.twilio_peer import ACCOUNT, FROM, TOKEN, FakeTwilio, signed_form

TO = "+12065550100"
HOOK = "https://heliograph.example/hooks/trial/route"
ID = "0123456789abcdef" * 2
HEAD, TAIL = '<?xml version="1.0" encoding="UTF-8"?><Response>', "</Response>"


def settings_for(peer: FakeTwilio, **changes: object) -> dict[str, object]:
    return {"account_sid": ACCOUNT, "auth_token": TOKEN, "caller": FROM, "base_url": peer.base_url, **changes}


@asynccontextmanager
async def sender_for(peer: FakeTwilio, **changes: object) -> AsyncIterator[Sender]:
    settings = {name: value for name, value in settings_for(peer, **changes).items() if value is not None}
    assert list(TwilioVoice().check_settings(settings)) == []
    sender = await TwilioVoice().open(settings, RecordingContext(webhook_url=HOOK).context)
    try:
        yield sender
    finally:
        await sender.close()


@pytest_asyncio.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio().running() as peer:
        yield peer


def spoken(body: str = "Hello", to: str = TO, *, origination: str = "", ssml: bool = False) -> OutgoingMessage:
    content = VoiceContent(body, ssml=ssml)
    return a_message(Kind.VOICE, to, message_id=ID, content=content, origination=origination)


class TestTwilioVoiceContract(ChannelContract):
    kind = Kind.VOICE
    good_address = TO
    bad_addresses = ("12065550100", "sip:ann@example.com", "client:ann")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TwilioVoice()

    @pytest.fixture
    def settings(self, twilio: FakeTwilio) -> Mapping[str, object]:
        return settings_for(twilio)


class TestTwilioVoiceWebhooks(WebhookContract):
    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TwilioVoice()

    @pytest.fixture
    def settings(self, twilio: FakeTwilio) -> Mapping[str, object]:
        return settings_for(twilio)

    @pytest.fixture
    def call(self) -> WebhookRequest:
        fields = {
            "CallSid": "CA" + "0" * 32,
            "CallStatus": "completed",
            "Direction": "outbound-api",
            "CallDuration": "7",
        }
        return signed_form(self.public_url, fields)


async def test_a_call_brings_its_document_with_it(twilio: FakeTwilio) -> None:
    async with sender_for(twilio, ring_seconds=25, longest_call_seconds=90) as sender:
        (result,) = await sender.send_batch([spoken("Fish & <chips>")])
    assert isinstance(result, Accepted), result
    assert result.provider_message_id.startswith("CA")
    assert twilio.created[result.provider_message_id] == {
        "To": [TO],
        "From": [FROM],
        "Twiml": [f'{HEAD}<Say voice="Polly.Joanna" language="en-US">Fish &amp; &lt;chips&gt;</Say>{TAIL}'],
        "Timeout": ["25"],
        "TimeLimit": ["90"],
        "StatusCallback": [f"{HOOK}?message_id={ID}"],
    }


@pytest.mark.parametrize(
    ("language", "voice", "default", "say"),
    [
        ("en-US", "", "", '<Say voice="Polly.Joanna" language="en-US">'),
        ("de-DE", "", "", '<Say voice="Polly.Marlene" language="de-DE">'),
        ("de-DE", "", "Vicki", '<Say voice="Polly.Vicki" language="de-DE">'),
        ("de-DE", "Hans", "Vicki", '<Say voice="Polly.Hans" language="de-DE">'),
        ("en-US", "Joanna-Neural", "", '<Say voice="Polly.Joanna-Neural" language="en-US">'),
        ("en-US", "Polly.Matthew", "", '<Say voice="Polly.Matthew" language="en-US">'),
        ("en-US", "Google.en-US-Wavenet-F", "", '<Say voice="Google.en-US-Wavenet-F" language="en-US">'),
        ("en-GB", "woman", "", '<Say voice="woman" language="en-GB">'),
        ("zh-CN", "", "", '<Say voice="Polly.Zhiyu" language="cmn-CN">'),
        ("ar", "", "", '<Say voice="Polly.Zeina" language="arb">'),
        ("no-NO", "", "", '<Say voice="Polly.Liv" language="nb-NO">'),
        ("eu-ES", "", "", '<Say language="eu-ES">'),
        ("", "", "", "<Say>"),
        ("", "Joanna", "", '<Say voice="Polly.Joanna">'),
    ],
)
def test_language_and_voice_are_said_in_twilios_words(language: str, voice: str, default: str, say: str) -> None:
    document = twiml(VoiceContent("Hello", language=language, voice=voice), default)
    assert document == f"{HEAD}{say}Hello</Say>{TAIL}"
    ET.fromstring(document)


@pytest.mark.parametrize(
    ("body", "inside"),
    [
        ("<speak>Hello</speak>", "Hello"),
        ("<speak>a &amp; b &lt; c</speak>", "a &amp; b &lt; c"),
        ('<speak>One<break time="1s"/>two<break strength="weak"></break></speak>', 'One<break time="1s"/>two<break strength="weak"/>'),
        ("<speak><p><s>One.</s> <s>Two.</s></p></speak>", "<p><s>One.</s> <s>Two.</s></p>"),
        ('<speak><emphasis level="strong">now</emphasis></speak>', '<emphasis level="strong">now</emphasis>'),
        ('<speak><prosody rate="slow" pitch="+5%" volume="loud">x</prosody></speak>', '<prosody rate="slow" pitch="+5%" volume="loud">x</prosody>'),
        ('<speak><say-as interpret-as="date" format="mdy">1/2/2026</say-as></speak>', '<say-as interpret-as="date" format="mdy">1/2/2026</say-as>'),
        ('<speak><phoneme alphabet="ipa" ph="p\u026a\u02c8k\u0251\u02d0n">pecan</phoneme></speak>', '<phoneme alphabet="ipa" ph="p\u026a\u02c8k\u0251\u02d0n">pecan</phoneme>'),
        ('<speak><sub alias="for example">e.g.</sub></speak>', '<sub alias="for example">e.g.</sub>'),
        ('<speak><w role="amazon:VB">read</w></speak>', '<w role="amazon:VB">read</w>'),
        ('<speak><lang xml:lang="fr-FR">oui</lang></speak>', '<lang xml:lang="fr-FR">oui</lang>'),
        ('<?xml version="1.0"?><speak version="1.0" xml:lang="en-US" xmlns="http://www.w3.org/2001/10/synthesis"><s>Hi</s></speak>', "<s>Hi</s>"),
        ("<speak><![CDATA[a < b]]></speak>", "a &lt; b"),
        ("<speak>a<!-- nobody hears this -->b</speak>", "ab"),
        ('<speak><sub alias="&quot;a&quot; &lt; b">x</sub></speak>', """<sub alias='"a" &lt; b'>x</sub>"""),
    ],
)  # fmt: skip
def test_ssml_is_rebuilt_from_the_elements_that_say_knows(body: str, inside: str) -> None:
    document = twiml(VoiceContent(body, ssml=True))
    assert document == f'{HEAD}<Say voice="Polly.Joanna" language="en-US">{inside}</Say>{TAIL}'
    ET.fromstring(document)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ('<speak><audio src="https://a.example/a.mp3"/>x</speak>', "ssml <audio>"),
        ('<speak><voice name="Amy">x</voice></speak>', "ssml <voice>"),
        ('<speak><mark name="here"/>x</speak>', "ssml <mark>"),
        ("<speak><speak>x</speak></speak>", "ssml <speak>"),
        ('<speak><break onload="x"/>x</speak>', "ssml <break> with onload"),
        ('<speak xmlns:a="urn:a"><a:break time="1s"/>x</speak>', "ssml <{urn:a}break>"),
        ("<speak></Say><Dial>+1900</Dial><Say>x</speak>", None),
        ("<speak><Dial>+19005550100</Dial>x</speak>", "ssml <Dial>"),
    ],
)
def test_ssml_that_say_does_not_know_is_unsupported_and_never_becomes_a_verb(body: str, feature: str | None) -> None:
    if feature is None:
        with pytest.raises(CannotSay):
            twiml(VoiceContent(body, ssml=True))
        return
    with pytest.raises(NotSpoken) as caught:
        twiml(VoiceContent(body, ssml=True))
    assert str(caught.value) == feature


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (VoiceContent(""), "nothing to say"),
        (VoiceContent(" \n"), "nothing to say"),
        (VoiceContent("<speak> </speak>", ssml=True), "nothing to say"),
        (VoiceContent('<speak><break time="1s"/></speak>', ssml=True), "nothing to say"),
        (VoiceContent("x" * 3001), "3,000 characters would be spoken"),
        (VoiceContent("&" * 1000), "Twilio takes 4,000"),
        (VoiceContent("<speak>" + " " * 6000 + "</speak>", ssml=True), "more than 6,000 characters"),
        (VoiceContent("<speak>" + "x" * 3001 + "</speak>", ssml=True), "3,000 characters would be spoken"),
        (VoiceContent("a\x00b"), "cannot be spoken"),
        (VoiceContent("\ud83d"), "cannot be spoken"),
        (VoiceContent("\ufffe"), "cannot be spoken"),
        (VoiceContent("<speak>\x07</speak>", ssml=True), "XML does not allow"),
        (VoiceContent("<speak>a & b</speak>", ssml=True), "not well-formed"),
        (VoiceContent("<speak>", ssml=True), "not well-formed"),
        (VoiceContent("just text", ssml=True), "not well-formed"),
        (VoiceContent("<p>x</p>", ssml=True), "root <speak>"),
        (VoiceContent('<!DOCTYPE a [<!ENTITY b "c">]><speak>&b;</speak>', ssml=True), "document type"),
        (VoiceContent("<speak>&b;</speak>", ssml=True), "not well-formed"),
        (VoiceContent('<?xml version="1.0" encoding="martian"?><speak>x</speak>', ssml=True), None),
        (VoiceContent("<speak>" + "<p>" * 850 + "x" + "</p>" * 850 + "</speak>", ssml=True), None),
        (VoiceContent("x", language="English (US)"), "language"),
        (VoiceContent("x", language='en"/><Dial/>'), "language"),
        (VoiceContent("x", voice='Amy"/><Dial/>'), "voice"),
        (VoiceContent("x", voice="A" * 101), "voice"),
    ],
)
def test_what_nobody_could_say_is_refused_with_the_cause(content: VoiceContent, words: str | None) -> None:
    if words is None:  # refused or spoken, and quickly: parsers differ in their depth and in believing a declaration
        with suppress(CannotSay):
            assert len(twiml(content)) <= MOST_TWIML
        return
    with pytest.raises(CannotSay, match=words):
        twiml(content)


def test_three_thousand_characters_are_spoken_if_the_document_holds_them() -> None:
    assert len(twiml(VoiceContent("x" * 3000))) < MOST_TWIML
    head = len(twiml(VoiceContent("x"))) - 1
    fits = "&" * ((MOST_TWIML - head) // 5)
    assert len(twiml(VoiceContent(fits))) <= MOST_TWIML
    with pytest.raises(CannotSay):
        twiml(VoiceContent(fits + "&"))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (spoken(to="12065550100"), RejectReason.INVALID_ADDRESS),
        (spoken(origination="Acme"), RejectReason.INVALID_ORIGINATION),
        (spoken(""), RejectReason.INVALID_CONTENT),
        (spoken("<speak>", ssml=True), RejectReason.INVALID_CONTENT),
    ],
)
async def test_what_twilio_would_refuse_is_not_even_asked(
    twilio: FakeTwilio, message: OutgoingMessage, reason: RejectReason
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([message])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable, twilio.calls) == (reason, False, [])


async def test_ssml_beyond_say_is_unsupported(twilio: FakeTwilio) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([spoken('<speak><mark name="a"/>x</speak>', ssml=True)])
    assert result == Unsupported("ssml <mark>")


async def test_a_call_from_nobody_is_refused(twilio: FakeTwilio) -> None:
    async with sender_for(twilio, caller=None) as sender:
        (result,) = await sender.send_batch([spoken()])
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.INVALID_ORIGINATION


@pytest.mark.parametrize(
    ("message", "reason", "retryable"),
    [
        (spoken(to="+15005550001"), RejectReason.INVALID_ADDRESS, False),
        (spoken(to="+15005550002"), RejectReason.REFUSED, True),
        (spoken(to="+15005550003"), RejectReason.BLOCKED, False),
        (spoken(to="+15005550004"), RejectReason.BLOCKED, False),
        (spoken(origination="+15005550001"), RejectReason.INVALID_ORIGINATION, False),
        (spoken(origination="+12065550199"), RejectReason.INVALID_ORIGINATION, False),
    ],
    ids=["no number", "not reached", "country", "block list", "bad caller", "caller of somebody else"],
)
async def test_twilios_magic_numbers(
    twilio: FakeTwilio, message: OutgoingMessage, reason: RejectReason, retryable: bool
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([message])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)


@pytest.mark.parametrize(
    ("status", "extra", "kind", "permanent"),
    [
        ("completed", {"CallDuration": "12", "AnsweredBy": "human"}, ReceiptKind.DELIVERED, False),
        ("busy", {}, ReceiptKind.FAILED, False),
        ("no-answer", {"SipResponseCode": "487"}, ReceiptKind.FAILED, False),
        ("canceled", {}, ReceiptKind.FAILED, False),
        ("failed", {"SipResponseCode": "503"}, ReceiptKind.FAILED, False),
        ("failed", {"SipResponseCode": "404"}, ReceiptKind.FAILED, True),
        ("failed", {"SipResponseCode": "484"}, ReceiptKind.FAILED, True),
        ("queued", {}, None, False),
        ("ringing", {}, None, False),
        ("in-progress", {}, None, False),
    ],
)
async def test_how_a_call_ended_becomes_a_receipt(
    twilio: FakeTwilio, status: str, extra: dict[str, str], kind: ReceiptKind | None, permanent: bool
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([spoken()])
        assert isinstance(result, Accepted)
        call = twilio.callback(result.provider_message_id, CallStatus=status, Direction="outbound-api", **extra)
        said = await sender.receive(call)
    assert (said.status, said.body, said.content_type) == (200, b"<Response/>", "text/xml")
    if kind is None:
        assert said.receipts == ()
        return
    (receipt,) = said.receipts
    assert (receipt.kind, receipt.permanent) == (kind, permanent)
    assert (receipt.message_id, receipt.provider_message_id) == (ID, result.provider_message_id)
    assert receipt.attributes["status"] == status
    if status == "completed":
        assert (receipt.attributes["duration_seconds"], receipt.attributes["answered_by"]) == ("12", "human")
    else:
        assert status in receipt.detail


async def test_a_call_that_comes_in_is_hung_up_and_is_no_receipt(twilio: FakeTwilio) -> None:
    async with sender_for(twilio) as sender:
        fields = {"CallSid": "CA1", "CallStatus": "completed", "Direction": "inbound", "From": TO, "To": FROM}
        said = await sender.receive(signed_form(HOOK, fields))
        assert (said.status, said.receipts, said.body) == (200, (), b"<Response/>")
        said = await sender.receive(signed_form(HOOK, {"CallStatus": "completed"}))
        assert said.status == 400


async def test_a_lost_answer_leaves_a_doubt_that_the_end_of_the_call_ends(twilio: FakeTwilio) -> None:
    twilio.acts(losing)
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([spoken()])
        assert isinstance(result, Unknown)
        (sid,) = twilio.created
        said = await sender.receive(twilio.callback(sid, CallStatus="completed"))
    assert [receipt.message_id for receipt in said.receipts] == [ID]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"caller": "Acme"}, {"caller"}),
        ({"voice": "Amy<"}, {"voice"}),
        ({"voice": "Polly.Amy"}, set()),
        ({"ring_seconds": 4}, {"ring_seconds"}),
        ({"ring_seconds": 601}, {"ring_seconds"}),
        ({"longest_call_seconds": 9}, {"longest_call_seconds"}),
        ({"longest_call_seconds": 14401}, {"longest_call_seconds"}),
    ],
)
def test_settings_are_checked_with_the_field_named(changes: dict[str, object], fields: set[str]) -> None:
    settings = {"account_sid": ACCOUNT, "auth_token": TOKEN, **changes}
    assert {problem.field for problem in TwilioVoice().check_settings(settings)} == fields

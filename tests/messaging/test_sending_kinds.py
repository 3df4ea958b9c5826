"""What each channel is handed: templates, a message's own words and settings, files, and what fails for one recipient alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, edge_pb2, files_pb2, messages_pb2, templates_pb2
from heliograph_channels import Attachment, EmailContent, Kind, OutgoingMessage, PushContent, SmsContent, VoiceContent
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.domain.tracking import Link, LinkKind, read_token
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, Values, a_batch
from tests.messaging.numbers import TEN, announce

pytestmark = pytest.mark.integration
C, D, T = contents_pb2, dispatch_pb2, templates_pb2
S = messages_pb2.MessageStatus
Content: Any = D.MessageContent
"""Its type does not know that a message may be written as a dictionary."""
Template: Any = T.Template
NAME = f"{PARENT}/templates/t"
LONG = "+12065550199"


async def create(service: Service, **fields: Any) -> None:
    template = Template(**fields)
    await service.templates.CreateTemplate(T.CreateTemplateRequest(parent=PARENT, template=template, template_id="t"))


def batch(addresses: list[str], content: D.MessageContent, **fields: Any) -> D.DispatchBatch:
    made = a_batch(addresses, text="x", **fields)
    made.content.CopyFrom(content)
    return made


def column(made: D.DispatchBatch, path: str, values: list[str]) -> D.DispatchBatch:
    made.recipients.columns.add(path=path, values=values, counts=[1 if value else 0 for value in values])
    del made.recipients.columns[-1].values[:]
    made.recipients.columns[-1].values.extend(value for value in values if value)
    return made


def to(content: D.MessageContent, *addresses: str, channel: str = "EMAIL") -> messages_pb2.SendMessagesRequest:
    return messages_pb2.SendMessagesRequest(
        parent=PARENT,
        channel=channel,
        content=content,
        recipients=[messages_pb2.Recipient(address=address) for address in addresses or ("a@x.com",)],
    )


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, set[str], set[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found = violations_of(caught.value)
    return caught.value.code(), reason_of(caught.value), {field for field, _ in found}, {reason for _, reason in found}


def sent(service: Service) -> dict[str, OutgoingMessage]:
    return {message.address: message for message in service.scripted.sent}


async def test_an_email_has_the_templates_headers_and_the_messages_own_words_and_settings(service: Service) -> None:
    await service.set_up("EMAIL")
    await create(
        service,
        email={
            "subject": "stored", "html": "<p>{{Id}}</p>",
            "headers": [{"name": "X-Id", "value": "{{Id}}"}, {"name": "X-Plan", "value": "{{Attributes.plan}}"}],
            "list_unsubscribe": {"one_click": True, "url": "https://s.example/u?u={{Attributes.plan}}"},
        },
    )  # fmt: skip
    content = Content(
        template=NAME, email_subject="own {{Id}}", email_reply_to=["Ann <ann@x.com>"],
        email_headers=[{"name": "x-id", "value": "own"}],
    )  # fmt: skip
    plans = ["a b\r\nBcc: z@x.com", "ü", "p" * 850]
    await service.dispatch(column(batch(["a@x.com", "b@x.com", "c@x.com"], content), "Attributes.plan", plans))
    await service.done(3)
    first, second = sent(service)["a@x.com"].content, sent(service)["b@x.com"].content
    assert isinstance(first, EmailContent)
    assert isinstance(second, EmailContent)
    assert (first.subject, first.html, first.text, first.reply_to) == (
        "own e000000", "<p>e000000</p>", "", ("Ann <ann@x.com>",),
    )  # fmt: skip
    assert first.headers == {
        "x-id": "own", "X-Plan": "a b Bcc: z@x.com",
        "List-Unsubscribe": "<https://s.example/u?u=a%20b%20Bcc:%20z@x.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }  # fmt: skip
    assert second.headers["List-Unsubscribe"] == "<https://s.example/u?u=%C3%BC>"
    failed = (await service.rows())[2]
    assert (failed.status, failed.reason) == (S.MESSAGE_STATUS_FAILED, "FAILURE_PERMANENT")
    assert "List-Unsubscribe has more than 870" in failed.detail


async def test_every_recipient_has_a_link_of_his_own_to_unsubscribe_with_one_click(start: Started) -> None:
    service = await start(public_url="https://mail.example/h/")
    await service.set_up("EMAIL")
    content = Content(email_subject="x", email_text="x", email_list_unsubscribe={"one_click": True})
    await service.dispatch(batch(["a@x.com", "b@x.com"], content))
    await service.done(2)
    keys = (await service.edge.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest())).keys
    for message in service.scripted.sent:
        assert isinstance(message.content, EmailContent)
        headers = message.content.headers
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        link = headers["List-Unsubscribe"]
        assert link.startswith("<https://mail.example/h/u/")
        token = link.rpartition("/")[2].rstrip(">")
        read = read_token(token, keys, today=datetime.now(UTC).date())
        assert read == Link(LinkKind.UNSUBSCRIBE, PROJECT, message.message_id)


async def test_one_click_without_an_address_of_the_installation_fails_with_the_settings_name(service: Service) -> None:
    await service.set_up("EMAIL")
    content = Content(email_subject="x", email_text="x", email_list_unsubscribe={"one_click": True})
    await service.dispatch(batch(["a@x.com"], content))
    await service.done(1)
    assert "HELIOGRAPH_MESSAGING_PUBLIC_URL" in (await service.rows())[0].detail


@pytest.mark.unit
@pytest.mark.parametrize(
    "url", ["http://m.example", "https://", "https://m.example/?a", "m.example", "https://m.example\n"]
)
def test_the_address_of_the_installation_is_an_https_one(url: str, values: Values) -> None:
    with pytest.raises(ValidationError, match="HELIOGRAPH_MESSAGING_PUBLIC_URL"):
        MessagingSettings.model_validate({**values, "public_url": url})


async def test_a_lenient_template_leaves_out_what_is_missing_and_a_strict_one_fails(service: Service) -> None:
    await service.set_up("SMS")
    await create(service, sms={"body": "Hi {{Attributes.first}}!"}, lenient=True)
    numbers = ["+33612345678", "+33612345679"]
    await service.dispatch(
        column(batch(numbers, Content(template=NAME), channel="SMS"), "Attributes.first", ["Ann", ""])
    )
    await service.done(2)
    assert [message.content.body for message in service.scripted.sent] == ["Hi Ann!", "Hi !"]  # type: ignore[union-attr]
    await service.templates.UpdateTemplate(
        T.UpdateTemplateRequest(template=T.Template(name=NAME), update_mask={"paths": ["lenient"]})  # type: ignore[arg-type]
    )
    strict = batch(numbers, Content(template=NAME), channel="SMS", run_id="run2")
    await service.dispatch(column(strict, "Attributes.first", ["Ann", ""]))
    await service.done(2, "run2")
    assert "Attributes.first has no value" in (await service.rows("run2"))[1].detail


async def test_sms_carries_its_type_media_and_registrations(service: Service) -> None:
    await service.set_up("SMS")
    content = Content(
        sms_body="x", sms_message_type=C.SMS_MESSAGE_TYPE_PROMOTIONAL, sms_media_urls=["https://s.example/i.png"],
        sms_entity_id="1101", sms_template_id="1107",
    )  # fmt: skip
    taken = await service.messages.SendMessages(to(content, "+33612345678", channel="SMS"))
    await service.done(1, taken.run_id)
    assert service.scripted.sent[0].content == SmsContent(
        "x", "PROMOTIONAL", ("https://s.example/i.png",), "1101", "1107"
    )


def pushed(platforms: list[str], content: D.MessageContent, **fields: Any) -> D.DispatchBatch:
    made = batch([f"token-{one}" for one in platforms], content, channel="PUSH", **fields)
    del made.recipients.channels[:]
    made.recipients.channels.extend(platforms)
    return made


async def test_every_device_gets_the_part_of_its_platform(service: Service) -> None:
    await service.set_up("PUSH")
    await create(
        service,
        push={
            "default_part": {"title": "Hi {{Attributes.first}}", "body": "for all"},
            "apns": {"body": "apple", "media_url": "https://s.example/{{Attributes.first}}.png"},
            "gcm": {"action": C.PUSH_ACTION_DEEP_LINK, "url": "app://{{Id}}", "image_icon_url": "https://s.example/i"},
            "adm": {"raw_content": '{"data": {"who": "{{Attributes.first}}"}}'},
            "web": {"body": "browser", "action": C.PUSH_ACTION_URL, "url": "https://s.example/{{Id}}"},
        },
    )
    platforms = ["APNS", "APNS_SANDBOX", "GCM", "ADM", "BAIDU", "PUSH", "WEB"]
    content = Content(
        template=NAME,
        push={
            "default_message": {"body": "below the template", "time_to_live_seconds": 60, "data": {"k": "v"}},
            "gcm": {
                "sound": "ping",
                "priority": C.PUSH_PRIORITY_HIGH,
                "time_to_live_seconds": 0,
                "collapse_id": "c",
                "restricted_package_name": "com.example.shop",
            },
            "apns": {"badge": 0, "thread_id": "t", "category": "c", "push_type": "alert"},
            "web": {"priority": C.PUSH_PRIORITY_NORMAL, "collapse_id": "topic", "image_url": "https://s.example/w.png"},
        },
    )
    names = ['"A" \\n{{x}}'] * len(platforms)
    await service.dispatch(column(pushed(platforms, content), "Attributes.first", names))
    await service.done(len(platforms))
    got = {message.platform: message.content for message in service.scripted.sent}
    assert {message.kind for message in service.scripted.sent} == {Kind.PUSH}
    campaign = {"campaign_id": "c1", "treatment_id": "0", "campaign_activity_id": "run1"}
    hello = f"Hi {names[0]}"
    shared: Any = {"data": {"k": "v"}, "correlation": campaign}
    apple = PushContent(
        hello, "apple", media_url=f"https://s.example/{names[0]}.png", badge=0, thread_id="t", category="c",
        push_type="alert", time_to_live_seconds=60, **shared,
    )  # fmt: skip
    assert (got["APNS"], got["APNS_SANDBOX"]) == (apple, apple)
    assert got["GCM"] == PushContent(
        hello, "for all", "DEEP_LINK", "app://e000002", sound="ping", priority="high", time_to_live_seconds=0,
        collapse_id="c", image_icon_url="https://s.example/i", restricted_package_name="com.example.shop", **shared,
    )  # fmt: skip
    assert got["BAIDU"] == got["PUSH"] == PushContent(hello, "for all", time_to_live_seconds=60, **shared)
    assert got["WEB"] == PushContent(
        hello, "browser", "URL", "https://s.example/e000006", priority="normal", time_to_live_seconds=60,
        collapse_id="topic", image_url="https://s.example/w.png", **shared,
    )  # fmt: skip
    adm = got["ADM"]
    assert isinstance(adm, PushContent)
    assert adm.raw == '{"data": {"who": "\\"A\\" \\\\n{{x}}"}}'


@pytest.mark.parametrize(
    ("name", "correlation"),
    [
        (f"{PARENT}/campaigns/c9", {"campaign_id": "c9", "treatment_id": "2", "campaign_activity_id": "run1"}),
        (f"{PARENT}/journeys/j9", {"journey_id": "j9", "journey_run_id": "run1", "journey_activity_id": "wait"}),
        ("", {"campaign_id": "_DIRECT"}),
    ],
    ids=["campaign", "journey", "direct"],
)
async def test_an_app_can_tell_what_sent_a_notification(
    service: Service, name: str, correlation: dict[str, str]
) -> None:
    await service.set_up("PUSH")
    made = pushed(["GCM"], Content(push={"gcm": {"title": "x"}}))
    made.source.name, made.source.treatment_id, made.source.activity_id = name, "2", "wait"
    await service.dispatch(made)
    await service.done(1)
    content = service.scripted.sent[0].content
    assert isinstance(content, PushContent)
    assert content.correlation == correlation
    owner = {key: id for key, id in service.scripted.sent[0].attributes.items() if key in ("campaign_id", "journey_id")}
    assert owner == {key: id for key, id in correlation.items() if id.endswith("9")}


async def test_devices_fail_alone_when_there_is_nothing_for_them(service: Service) -> None:
    await service.set_up("PUSH")
    aps = '{"aps": {"content-available": {{Attributes.flag}}}}'
    content = Content(
        push={
            "apns": {"raw_content": aps},
            "gcm": {"title": "{{Attributes.flag}}"},
            "adm": {"silent": True, "data": {"k": "v"}},
        }
    )
    made = pushed(["APNS", "APNS", "APNS", "GCM", "BAIDU", "ADM"], content)
    made.recipients.addresses[1] += "1"
    made.recipients.addresses[2] += "2"
    await service.dispatch(column(made, "Attributes.flag", ["1", "2", "x, {", "", "", ""]))
    await service.done(6)
    rows = await service.rows()
    assert [row.status for row in rows] == [3, 5, 5, 5, 5, 3]
    assert [row.detail for row in rows[1:5]] == [
        "the raw content for APNs needs aps.content-available, 0 or 1",
        "the raw content is no JSON with its values",
        "the variable Attributes.flag has no value and no default (gcm.title, line 1, column 3)",
        "there is nothing to say to endpoints of BAIDU",
    ]
    silent = service.scripted.sent[-1].content
    assert isinstance(silent, PushContent)
    assert (silent.silent, silent.data, silent.title) == (True, {"k": "v"}, "")


async def test_calls_come_from_numbers_of_the_project_that_make_them(service: Service) -> None:
    await service.set_up("VOICE")
    await announce(service, LONG, kind="LONG_CODE", sms=False, state="UNASSOCIATED", voice_capable=True)
    await announce(service, TEN)
    cases = [(LONG, ""), (TEN, "cannot make calls"), ("+33140000000", "ORIGINATION_IDENTITY_DOES_NOT_EXIST")]
    for index, (named, words) in enumerate(cases):
        content = Content(voice={"body": "Hello"}, origination_number=named)
        made = batch(["+12065550123"], content, channel="VOICE", run_id=f"run{index}")
        await service.dispatch(made)
        await service.done(1, f"run{index}")
        row = (await service.rows(f"run{index}"))[0]
        assert words in row.detail
        assert row.status == (S.MESSAGE_STATUS_FAILED if words else S.MESSAGE_STATUS_ACCEPTED)
    assert [message.origination for message in service.scripted.sent] == [LONG]


async def test_a_voice_message_is_spoken_in_its_language_from_its_number(service: Service) -> None:
    await service.set_up("VOICE")
    await create(service, voice={"body": "<speak>{{Attributes.first}}</speak>", "language": "fr-FR", "voice": "Lea"})
    content = Content(template=NAME, origination_number="+33140000000", voice={"voice": "Celine"})
    numbers = ["+33612345678", "+33612345679"]
    made = column(batch(numbers, content, channel="VOICE"), "Attributes.first", ["<Ann>", "x" * 3001])
    await service.dispatch(made)
    await service.done(2)
    (message,) = service.scripted.sent
    assert message.content == VoiceContent("<speak>&lt;Ann&gt;</speak>", "fr-FR", "Celine", True)
    assert (message.kind, message.origination) == (Kind.VOICE, "+33140000000")
    assert "3,001 characters would be spoken" in (await service.rows())[1].detail
    plain = await service.messages.SendMessages(to(Content(voice={"body": "Hi"}), numbers[0], channel="VOICE"))
    await service.done(1, plain.run_id)
    assert service.scripted.sent[1].content == VoiceContent("Hi")


async def test_overrides_stand_above_everything_and_defaults_below(service: Service) -> None:
    for kind in ("EMAIL", "SMS"):
        await service.set_up(kind)
    await create(service, email={"subject": "stored", "html": "<p>stored</p>"})
    over = Content(template=NAME, email_text="own", overrides={"title": "over", "body": "over {{Id}}"})
    await service.dispatch(batch(["a@x.com"], over))
    await service.dispatch(batch(["+33612345678"], Content(default_body="below"), channel="SMS", page=1))
    await service.dispatch(batch(["+33612345679"], Content(), channel="SMS", page=2))
    await service.done(3)
    assert sent(service)["a@x.com"].content == EmailContent("over", "", "over e000000")
    assert sent(service)["+33612345678"].content == SmsContent("below")
    assert (await service.rows())[2].detail == "there is no SMS content: the body is empty"


async def test_bad_words_and_settings_of_a_direct_send_are_refused_with_every_violation(service: Service) -> None:
    for kind in ("EMAIL", "SMS", "PUSH", "VOICE"):
        await service.set_up(kind)
    bad = grpc.StatusCode.INVALID_ARGUMENT
    cases: list[tuple[str, D.MessageContent, str, set[str]]] = [
        (
            "EMAIL",
            Content(
                email_subject="a\nb", email_text="x", email_headers=[{"name": "Bcc", "value": "x"}],
                email_reply_to=["a@x.com", "nobody", "a@x.com\n"], email_list_unsubscribe={"url": "https://x"},
                email_attachments=[
                    {"name": "a/b", "content_type": "text/plain", "data": b"x", "file": f"{PARENT}/files/f"},
                    {"name": "a", "content_type": "text/plain", "file": "projects/other/files/f"},
                ], email_raw=b"x", email_raw_file="f",
            ),
            "INVALID_ARGUMENT",
            {
                "email_subject", "email_headers[0].name", "email_reply_to[1]", "email_reply_to[2]",
                "email_list_unsubscribe.url", "email_attachments[0].name", "email_attachments[0]",
                "email_attachments[1].file", "email_raw", "email_raw_file", "email_attachments",
            },
        ),
        ("EMAIL", Content(email_text="x" * 600_001), "INVALID_ARGUMENT", {""}),
        ("EMAIL", Content(email_text="x", email_reply_to=["a@x.com"] * 51), "INVALID_ARGUMENT", {"email_reply_to"}),
        ("EMAIL", Content(email_subject="x", email_headers=[{"name": "X", "value": "{{"}], email_text="y"),
         "TEMPLATE_DOES_NOT_COMPILE", {"email_headers[0].value"}),
        ("SMS", Content(sms_body="x" * 1601, sms_media_urls=["ftp://x"], sms_message_type=9),
         "INVALID_ARGUMENT", {"sms_body", "sms_media_urls[0]", "sms_message_type"}),
        (
            "PUSH",
            Content(push={"default_message": {"raw_content": "{}"}, "apns": {"body": "x" * 4001, "badge": -1},
                          "gcm": {"action": C.PUSH_ACTION_URL}}),
            "INVALID_ARGUMENT",
            {"push.default_message.raw_content", "push.apns", "push.apns.badge", "push.gcm.url"},
        ),
        ("PUSH", Content(push={"default_message": {"body": "{{"}, "apns": {"title": "{{"}}),
         "TEMPLATE_DOES_NOT_COMPILE", {"push.default_message.body", "push.apns.title"}),
        ("VOICE", Content(voice={"body": "x" * 10_001, "language": "?"}),
         "INVALID_ARGUMENT", {"voice.body", "voice.language"}),
        ("VOICE", Content(voice={"body": "{{"}), "TEMPLATE_DOES_NOT_COMPILE", {"voice.body"}),
    ]  # fmt: skip
    for channel, content, reason, fields in cases:
        address = "a@x.com" if channel == "EMAIL" else "token" if channel == "PUSH" else "+33612345678"
        code, told, found, _ = await refusal(service.messages.SendMessages(to(content, address, channel=channel)))
        assert (code, told, found) == (bad, reason, {f"content.{field}" if field else "content" for field in fields})
    for channel in ("EMAIL", "PUSH", "VOICE", "SMS"):
        address = "a@x.com" if channel == "EMAIL" else "token" if channel == "PUSH" else "+33612345678"
        # Nothing at any level is told to those who would get it (pinpoint-2 1.4).
        result = (await service.messages.SendMessages(to(Content(), address, channel=channel))).messages[0]
        assert (result.status_code, result.reason, result.message) == (400, "FAILURE_PERMANENT", "")
    assert not service.scripted.calls


def pieces(data: bytes, parent: str = PARENT, size: int = 1024 * 1024) -> Iterator[files_pb2.UploadFileRequest]:
    yield files_pb2.UploadFileRequest(parent=parent, data=data[:size])
    for start in range(size, len(data), size):
        yield files_pb2.UploadFileRequest(data=data[start : start + size])


async def upload(service: Service, data: bytes, parent: str = PARENT) -> files_pb2.File:
    async def requests() -> AsyncIterator[files_pb2.UploadFileRequest]:
        for piece in pieces(data, parent):
            yield piece

    return await service.files.UploadFile(requests())


TEN_MEGABYTES = 10 * 1024 * 1024


async def test_files_go_with_an_email_whether_they_were_uploaded_or_come_along(service: Service) -> None:
    await service.set_up("EMAIL")
    large, small = b"\x00\xff" * 3_500_000, b"%PDF"
    file = await upload(service, large)
    assert (file.size_bytes, (await upload(service, large)).name) == (7_000_000, file.name)
    content = Content(
        email_subject="x", email_text="{{Address}}",
        email_attachments=[
            {"name": "a.bin", "content_type": "application/octet-stream", "file": file.name},
            {"name": "b.pdf", "content_type": "application/pdf", "data": small},
        ],
    )  # fmt: skip
    taken = await service.messages.SendMessages(to(content, "a@x.com", "b@x.com"))
    await service.done(2, taken.run_id)
    for message in service.scripted.sent:
        assert isinstance(message.content, EmailContent)
        assert message.content.text == message.address
        assert message.content.attachments == (
            Attachment("a.bin", "application/octet-stream", large), Attachment("b.pdf", "application/pdf", small),
        )  # fmt: skip
    async with service.runtime.database.transaction() as conn:
        sizes = await conn.execute(text("SELECT max(octet_length(payload)) FROM messaging.outbox"))
        assert sizes.scalar_one() < 1_000


async def test_a_whole_email_goes_as_it_is(service: Service) -> None:
    await service.set_up("EMAIL")
    await create(service, email={"subject": "stored", "html": "stored"})
    raw = b"From: a@x.com\r\n\r\n{{Id}}\r\n"
    file = await upload(service, raw)
    inline = await service.messages.SendMessages(to(Content(email_raw=raw, template=NAME)))
    named = await service.messages.SendMessages(to(Content(email_raw_file=file.name)))
    await service.done(1, inline.run_id)
    await service.done(1, named.run_id)
    assert [message.content for message in service.scripted.sent] == [EmailContent("", raw=raw)] * 2


async def test_ten_megabytes_go_with_a_message_and_no_more(service: Service) -> None:
    await service.set_up("EMAIL")
    most = TEN_MEGABYTES // 78 * 57
    fits, over = await upload(service, b"f" * most), await upload(service, b"o" * (most + 57))
    raw = await upload(service, b"r" * TEN_MEGABYTES)
    assert raw.size_bytes == TEN_MEGABYTES

    def with_files(*names: str, **fields: Any) -> D.MessageContent:
        attached = [{"name": "a", "content_type": "image/png", "file": name} for name in names]
        return Content(email_subject="x", email_text="x", email_attachments=attached, **fields)  # type: ignore[no-any-return]

    await service.messages.SendMessages(to(with_files(fits.name)))
    for content in (with_files(over.name), with_files(fits.name, fits.name)):
        assert await refusal(service.messages.SendMessages(to(content))) == (
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", {"content.email_attachments"}, {"ATTACHMENTS_TOO_LARGE"},
        )  # fmt: skip
    unknown = with_files(f"{PARENT}/files/{'0' * 32}")
    assert (await refusal(service.messages.SendMessages(to(unknown))))[2:] == (
        {"content.email_attachments[0].file"}, {"FILE_NOT_FOUND"},
    )  # fmt: skip
    assert (await refusal(service.messages.SendMessages(to(with_files(*[fits.name] * 21)))))[2] == {
        "content.email_attachments"
    }
    for data, reason in ((b"", "INVALID_ARGUMENT"), (b"x" * (TEN_MEGABYTES + 1), "ATTACHMENTS_TOO_LARGE")):
        assert (await refusal(upload(service, data)))[2:] == ({"data"}, {reason})
    assert (await refusal(upload(service, b"x", parent="")))[1] == "INVALID_NAME"


async def test_a_file_is_kept_as_long_as_it_is_used(service: Service) -> None:
    await service.set_up("EMAIL")
    used, unused = await upload(service, b"used"), await upload(service, b"unused")

    async def in_31_days() -> None:
        async with service.runtime.database.transaction() as conn:
            await conn.execute(text("UPDATE messaging.files SET used_at = used_at - interval '31 days'"))

    async def send(file: files_pb2.File) -> str:
        attached = [{"name": "a", "content_type": "image/png", "file": file.name}]
        content = Content(email_subject="x", email_text="x", email_attachments=attached)
        return (await service.messages.SendMessages(to(content))).run_id

    await in_31_days()
    await service.done(1, await send(used))
    await upload(service, b"another")
    await service.done(1, await send(used))
    assert (await refusal(send(unused)))[2] == {"content.email_attachments[0].file"}
    gone = batch(["a@x.com"], Content(email_subject="x", email_text="x", email_raw_file=unused.name))
    await service.dispatch(gone)
    await service.done(1)
    assert "no longer kept" in (await service.rows())[0].detail

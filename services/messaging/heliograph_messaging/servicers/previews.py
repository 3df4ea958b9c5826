"""Previews as messages."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.messaging.v1 import templates_pb2
from heliograph_channels import EmailContent, PushContent, SmsContent, VoiceContent
from heliograph_channels.parts import measure
from heliograph_messaging.domain.contents import InAppText, PushText
from heliograph_messaging.domain.filled import spoken
from heliograph_messaging.domain.findings import Finding
from heliograph_messaging.domain.paths import Variable
from heliograph_messaging.service.preview import Preview, ShownVariable
from heliograph_messaging.translate import write_headers, write_in_app, write_push

_SHOWN = ("title", "body", "url", "sound", "media_url", "image_url", "image_icon_url", "small_image_icon_url", "raw")


def preview_proto(preview: Preview) -> templates_pb2.PreviewTemplateResponse:
    """Return a preview as the answer."""
    answer = templates_pb2.PreviewTemplateResponse(
        variables=[_variable(shown) for shown in preview.variables],
        missing=[_missing(variable, count) for variable, count in preview.missing],
        sampled_count=preview.sampled,
        complete_count=preview.complete,
        problems=_problems(preview.findings),
    )
    match preview.content:
        case EmailContent() as email:
            answer.email.CopyFrom(_email(email))
        case SmsContent() as sms:
            answer.sms.CopyFrom(_sms(sms))
        case PushContent() as push:
            answer.push.CopyFrom(_push(push, preview))
        case VoiceContent() as voice:
            answer.voice.CopyFrom(_voice(voice))
        case InAppText() as in_app:
            answer.in_app.CopyFrom(write_in_app(in_app))
        case _:
            pass
    return answer


def _email(email: EmailContent) -> templates_pb2.RenderedEmail:
    texts = [email.subject, email.html, email.text, *(f"{name}: {value}" for name, value in email.headers.items())]
    return templates_pb2.RenderedEmail(
        subject=email.subject,
        html=email.html,
        text=email.text,
        headers=write_headers(email.headers.items()),
        size_bytes=sum(len(text.encode("utf-8", "replace")) for text in texts),
    )


def _sms(sms: SmsContent) -> templates_pb2.RenderedSms:
    size = measure(sms.body)
    return templates_pb2.RenderedSms(
        body=sms.body, encoding=size.encoding, unit_count=size.units, part_count=size.parts
    )


def _push(push: PushContent, preview: Preview) -> templates_pb2.RenderedPush:
    text = PushText(**{name: getattr(push, name) for name in _SHOWN}, action="" if push.raw else push.action)
    return templates_pb2.RenderedPush(
        platform=preview.platform.upper(), part=write_push(text), payload_bytes=preview.size
    )


def _voice(voice: VoiceContent) -> templates_pb2.RenderedVoice:
    return templates_pb2.RenderedVoice(
        body=voice.body,
        ssml=voice.ssml,
        language=voice.language,
        voice=voice.voice,
        spoken_count=spoken(voice.body, ssml=voice.ssml),
    )


def _variable(shown: ShownVariable) -> templates_pb2.PreviewVariable:
    return templates_pb2.PreviewVariable(
        path=shown.variable.path,
        index=shown.variable.index,
        value=shown.value,
        source=templates_pb2.ValueSource.Value(f"VALUE_SOURCE_{shown.source}"),
    )


def _missing(variable: Variable, count: int) -> templates_pb2.MissingVariable:
    return templates_pb2.MissingVariable(path=variable.path, index=variable.index, endpoint_count=count)


def _problems(findings: Sequence[Finding]) -> list[templates_pb2.PreviewProblem]:
    return [
        templates_pb2.PreviewProblem(
            severity=templates_pb2.PREVIEW_SEVERITY_ERROR if one.error else templates_pb2.PREVIEW_SEVERITY_WARNING,
            reason=one.reason,
            field=one.field,
            description=one.words,
        )
        for one in findings
    ]

"""The SDK's classes as JSON and back, field by field. What comes from a plugin is checked before an object is made of it.

Objects go out as lists of their fields in the order of the class, a content with its tag before them; bytes go beside the
document. A field that the SDK adds is carried without a change here, and a test fails for a type that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar, cast

from heliograph_channels import (
    Accepted,
    Attachment,
    Capabilities,
    Content,
    CustomContent,
    EmailContent,
    Health,
    InboundMessage,
    Kind,
    OutgoingMessage,
    Problem,
    PushContent,
    Receipt,
    ReceiptKind,
    Received,
    Rejected,
    RejectReason,
    SendResult,
    SmsContent,
    Unknown,
    Unsupported,
    VoiceContent,
    WebhookRequest,
)
from heliograph_messaging.isolation.frames import Blobs

T = TypeVar("T")


class Garbled(Exception):
    """What came is not what was agreed upon; the text says what was expected, never what came."""


# -- out ----------------------------------------------------------------------------------------------------------------

_TAGS: dict[type, str] = {
    EmailContent: "email",
    SmsContent: "sms",
    PushContent: "push",
    VoiceContent: "voice",
    CustomContent: "custom",
    Accepted: "accepted",
    Rejected: "rejected",
    Unsupported: "unsupported",
    Unknown: "unknown",
}
_PLAIN = (OutgoingMessage, Attachment, Problem, Health, WebhookRequest, Receipt, InboundMessage, Received)


def _getter(cls: type, tag: str | None) -> Callable[[object], Sequence[object]]:
    names = [item.name for item in fields(cls)]
    get = attrgetter(*names)
    if tag is not None:
        return lambda thing: (tag, get(thing)) if len(names) == 1 else (tag, *get(thing))
    return get


_OUT: dict[type, Callable[[Any], Sequence[object]]] = {
    **{cls: _getter(cls, tag) for cls, tag in _TAGS.items()},
    **{cls: _getter(cls, None) for cls in _PLAIN},
}


def encode(thing: object, blobs: Blobs) -> object:
    """Return an object of the SDK as what JSON knows.

    An object that is none of the SDK's becomes a marker: in settings it is as wrong there as it was here.
    """
    getter = _OUT.get(type(thing))
    if getter is not None:
        if type(thing) is EmailContent:
            # Bodies go beside the document: JSON would look at each of their characters, here and there.
            tag, subject, html, text, *rest = getter(thing)
            return (tag, subject, blobs.place(_utf8(html)), blobs.place(_utf8(text)), *rest)
        return getter(thing)
    if isinstance(thing, bytes):
        return blobs.place(thing)
    if isinstance(thing, datetime):
        return thing.isoformat()
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, set | frozenset):
        return sorted(thing)
    if isinstance(thing, Capabilities):
        return {name: getattr(thing, name) for name in Capabilities.__dataclass_fields__}
    return {"": type(thing).__name__}


def _utf8(text: object) -> bytes:
    return cast(str, text).encode("utf-8", "surrogatepass")


# -- to a plugin: from us, so that it is only put together --------------------------------------------------------------

_CONTENTS: dict[str, type[Any]] = {
    tag: cls for cls, tag in _TAGS.items() if tag not in ("accepted", "rejected", "unsupported", "unknown")
}


def outgoing(body: object, blobs: Sequence[bytes]) -> list[OutgoingMessage]:
    """Return the messages of a batch."""
    return [
        OutgoingMessage(id, Kind(kind), address, _content(content, blobs), *rest)
        for id, kind, address, content, *rest in cast(list[Any], body)
    ]


def _content(body: list[Any], blobs: Sequence[bytes]) -> Content:
    tag, *values = body
    cls = _CONTENTS[tag]
    named = dict(zip(cls.__dataclass_fields__, values, strict=True))
    if cls is EmailContent:
        named["html"] = blobs[named["html"]].decode("utf-8", "surrogatepass")
        named["text"] = blobs[named["text"]].decode("utf-8", "surrogatepass")
        named["reply_to"] = tuple(named["reply_to"])
        named["attachments"] = tuple(Attachment(name, kind, blobs[data]) for name, kind, data in named["attachments"])
        named["raw"] = blobs[named["raw"]]
    elif cls is SmsContent:
        named["media_urls"] = tuple(named["media_urls"])
    return cast(Content, cls(**named))


def webhook_request(body: object, blobs: Sequence[bytes]) -> WebhookRequest:
    """Return a provider's call."""
    method, url, headers, data = cast(list[Any], body)
    return WebhookRequest(method, url, headers, blobs[data])


# -- from a plugin: nothing is believed ---------------------------------------------------------------------------------


def results(body: object) -> list[SendResult]:
    """Return the answers for a batch; how many there are is for the caller to look at.

    Raises:
        Garbled: it is no list of answers.
    """
    if not isinstance(body, list):
        raise Garbled("a list of results")
    return [_result(item) for item in body]


def _result(item: object) -> SendResult:
    match item:
        case ["accepted", str() as id, dict() as attributes, str() as address]:
            return Accepted(id, _texts(attributes), address)
        case ["rejected", str() as reason, bool() as retryable, str() as detail]:
            return Rejected(_one_of(RejectReason, reason), retryable, detail)
        case ["unsupported", str() as feature]:
            return Unsupported(feature)
        case ["unknown", str() as detail]:
            return Unknown(detail)
    raise Garbled("a result")


def problems(body: object) -> list[Problem]:
    """Return what is wrong with settings.

    Raises:
        Garbled: it is no list of problems.
    """
    match body:
        case [*items]:
            return [_problem(item) for item in items]
    raise Garbled("a list of problems")


def _problem(item: object) -> Problem:
    match item:
        case [str() as field, str() as description]:
            return Problem(field, description)
    raise Garbled("a problem")


def capabilities(body: object) -> Capabilities:
    """Return capabilities.

    Raises:
        Garbled: they are not complete, or out of range.
    """
    if not isinstance(body, dict) or set(body) != set(Capabilities.__dataclass_fields__):
        raise Garbled("capabilities")
    for name, value in body.items():
        if type(value) is not (int if name in ("batch_size", "concurrency") else bool):
            raise Garbled("capabilities")
    try:
        return Capabilities(**body)
    except ValueError:
        raise Garbled("capabilities in their ranges") from None


def health(body: object) -> Health:
    """Return a sender's health.

    Raises:
        Garbled: it is none.
    """
    match body:
        case [bool() as ok, str() as detail]:
            return Health(ok, detail[:500])
    raise Garbled("a health")


def receipts(body: object) -> list[Receipt]:
    """Return receipts.

    Raises:
        Garbled: they are none.
    """
    if not isinstance(body, list):
        raise Garbled("a list of receipts")
    return [_receipt(item) for item in body]


def _receipt(item: object) -> Receipt:
    match item:
        case [
            str() as id, str() as kind, str() as time, str() as message, str() as provider, str() as detail,
            bool() as permanent, dict() as attributes,
        ]:  # fmt: skip
            return _made(
                lambda: Receipt(
                    id,
                    _one_of(ReceiptKind, kind),
                    _time(time),
                    message,
                    provider,
                    detail,
                    permanent,
                    _texts(attributes),
                )
            )
    raise Garbled("a receipt")


def inbound(body: object) -> list[InboundMessage]:
    """Return what people sent.

    Raises:
        Garbled: it is none.
    """
    if not isinstance(body, list):
        raise Garbled("a list of inbound messages")
    return [_inbound(item) for item in body]


def _inbound(item: object) -> InboundMessage:
    match item:
        case [
            str() as id, str() as kind, str() as origination, str() as destination, str() as text, str() as time,
            [*urls], dict() as attributes,
        ] if all(isinstance(url, str) for url in urls):  # fmt: skip
            return _made(
                lambda: InboundMessage(
                    id,
                    _one_of(Kind, kind),
                    origination,
                    destination,
                    text,
                    _time(time),
                    tuple(cast("list[str]", urls)),
                    _texts(attributes),
                )
            )
    raise Garbled("an inbound message")


def received(body: object, blobs: Sequence[bytes]) -> Received:
    """Return what a webhook said.

    Raises:
        Garbled: it is no such thing.
    """
    match body:
        case [said, told, int() as status, int() as data, str() as content_type] if 0 <= data < len(blobs):
            if not 100 <= status <= 599 or not content_type.isascii() or not content_type.isprintable():
                raise Garbled("an HTTP answer")
            return Received(receipts(said), inbound(told), status, blobs[data], content_type)
    raise Garbled("what a webhook said")


def address_problems(body: object, count: int) -> tuple[list[str | None], str]:
    """Return the problems of so many addresses, and what was wrong with the plugin's check ("": nothing).

    Raises:
        Garbled: they are not as many, or something else.
    """
    match body:
        case [[*found], str() as wrong] if len(found) == count:
            if all(problem is None or isinstance(problem, str) for problem in found):
                return cast("list[str | None]", found), wrong[:500]
    raise Garbled(f"{count} problems of addresses")


def _texts(values: dict[str, object]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in values.values()):
        raise Garbled("texts as attributes")
    return cast("dict[str, str]", values)


def _one_of(cls: type[T], value: str) -> T:
    try:
        return cls(value)  # type: ignore[call-arg]
    except ValueError:
        raise Garbled(f"a {cls.__name__}") from None


def _time(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise Garbled("a time") from None


def _made(make: Callable[[], T]) -> T:
    try:
        return make()
    except ValueError:
        raise Garbled("ids and a time with its zone") from None

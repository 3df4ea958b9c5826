"""Frames, the classes of the SDK on their way through them, what plugins answer, and secrets in what is written."""

from __future__ import annotations

import itertools
import json
import logging
import struct
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, cast

import pytest

from heliograph_channels import (
    Accepted,
    Attachment,
    Capabilities,
    ChannelProvider,
    CustomContent,
    EmailContent,
    Health,
    InboundMessage,
    Kind,
    OutgoingMessage,
    Problem,
    PushContent,
    Receipt,
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
from heliograph_messaging.answers import (
    Unsound,
    check_addresses,
    clean,
    clean_capabilities,
    clean_problems,
    hidden,
    plain,
)
from heliograph_messaging.isolation import codec
from heliograph_messaging.isolation.codec import Garbled, encode
from heliograph_messaging.isolation.frames import BadFrame, Blobs, Frames, TooLarge, pack
from heliograph_messaging.redaction import Redaction, Secrets

pytestmark = pytest.mark.unit
LIMIT = 1_000_000


# -- frames


def through(body: object) -> tuple[Any, Sequence[bytes]]:
    (frame,) = Frames(LIMIT).feed(pack("call", 7, body, encode=encode, limit=LIMIT))
    assert (frame.type, frame.number) == ("call", 7)
    return frame.body, frame.blobs


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_come_out_whole_however_the_stream_is_cut(size: int) -> None:
    bodies = [["a", 1], None, {"b": "\ud800\u20ac"}, [b"\x00" * 300, b"", b"x"]]
    stream = b"".join(pack("answer", n, body, encode=encode, limit=LIMIT) for n, body in enumerate(bodies))
    frames, found = Frames(LIMIT), []
    for start in range(0, len(stream), size):
        found += frames.feed(stream[start : start + size])
    assert [frame.number for frame in found] == [0, 1, 2, 3]
    assert found[2].body == {"b": "\ud800\u20ac"}
    assert [found[3].blobs[place] for place in cast(list[int], found[3].body)] == [b"\x00" * 300, b"", b"x"]


def test_the_same_bytes_go_once() -> None:
    data = bytes(1000)
    _, blobs = through([data] * 50)
    assert blobs == [data]


def test_a_frame_at_the_limit_is_sent_and_read_and_one_past_it_is_neither() -> None:
    exact = len(pack("call", 1, "x" * 100, limit=LIMIT))
    frame = pack("call", 1, "x" * 100, limit=exact)
    assert Frames(exact).feed(frame)
    with pytest.raises(TooLarge):
        pack("call", 1, "x" * 101, limit=exact)
    with pytest.raises(BadFrame, match="are allowed"):
        Frames(exact - 1).feed(frame)


def framed(document: bytes, beside: bytes = b"") -> bytes:
    return struct.pack(">II", len(document), len(beside)) + document + beside


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 8,
        framed(b"\xff\xfe"),
        framed(b"[" * 100_000),
        framed(b"null"),
        framed(b"[]"),
        framed(b'["shout",1,null,[]]'),
        framed(b'["call","1",null,[]]'),
        framed(b'["call",1,null,[-1]]'),
        framed(b'["call",1,null,["x"]]'),
        framed(b'["call",1,null,[5]]', b"four"),
        framed(b'["call",1,null,[]]', b"left over"),
        framed(b'["call",' + b"9" * 5000 + b",null,[]]"),
    ],
    ids=[
        "http", "huge", "no text", "deep", "null", "empty", "unknown type", "number is text", "negative", "no number",
        "too short", "left over", "number of 5,000 digits",
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    with pytest.raises(BadFrame):
        Frames(LIMIT).feed(stream)


# -- the SDK's classes


def value(hint: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return arguments[-1]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return list(hint)[-1]
    if origin is tuple:
        return (value(arguments[0], name),) * 2
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"k\ud800": "v"} if arguments[1] is str else {"k": ["v", 1, None]}
    if type(None) in arguments:
        return 0
    simple: dict[Any, Any] = {
        str: f"{name}\u20ac\ud800", int: 203, bytes: b"\x00\xff", datetime: datetime(2031, 5, 1, 12, 30, 1, 7, tzinfo=UTC)
    }  # fmt: skip
    return simple[hint]


def sample(cls: type[Any]) -> Any:
    """Build an object without any default in it."""
    hints = typing.get_type_hints(cls)
    values = {
        item.name: (not item.default if isinstance(item.default, bool) else True)
        if hints[item.name] is bool
        else value(hints[item.name], item.name)
        for item in fields(cls)
    }
    return cls(**values)


Content = EmailContent | SmsContent | PushContent | VoiceContent | CustomContent


@pytest.mark.parametrize("cls", typing.get_args(Content), ids=lambda cls: cls.__name__)
def test_every_field_of_a_message_arrives(cls: type[Any]) -> None:
    hints = typing.get_type_hints(cls)
    values = {item.name: special(cls, item.name, hints[item.name], item.default) for item in fields(cls)}
    for item in fields(cls):
        assert values[item.name] != item.default, f"{cls.__name__}.{item.name} would be lost unseen"
    message = OutgoingMessage(
        "a" * 32, Kind.VOICE, "address", cls(**values), "journey", "origination", {"campaign_id": "c"}, "APNS"
    )
    assert len(fields(OutgoingMessage)) == 8, "a new field of OutgoingMessage wants a value above"
    body, blobs = through([message, message])
    assert codec.outgoing(body, blobs) == [message, message]


def special(cls: type[Any], name: str, hint: Any, default: Any) -> Any:
    if name == "attachments":
        return (Attachment("a", "b", b"c"), Attachment("d", "e", b""))
    if hint is bool:
        return not default
    return value(hint, name)


FROM_PLUGINS: list[tuple[object, Callable[[Any, Sequence[bytes]], object]]] = [
    ([Accepted("id", {"a": "b"}, "new")], lambda body, _: codec.results(body)),
    ([Rejected(RejectReason.BLOCKED, retryable=True, detail="d")], lambda body, _: codec.results(body)),
    ([Unsupported("f"), Unknown("d")], lambda body, _: codec.results(body)),
    ([Problem("f", "d")], lambda body, _: codec.problems(body)),
    (Capabilities(7, 8, True, True, True, True, True, True), lambda body, _: codec.capabilities(body)),
    (Health(ok=False, detail="d"), lambda body, _: codec.health(body)),
    ([sample(Receipt)], lambda body, _: codec.receipts(body)),
    ([sample(InboundMessage)], lambda body, _: codec.inbound(body)),
    (
        Received([sample(Receipt)], [sample(InboundMessage)], 202, b"\xff", "a/b"),
        lambda b, blobs: codec.received(b, blobs),
    ),
    (WebhookRequest("POST", "u", {"h": "v"}, b"\xff"), lambda b, blobs: codec.webhook_request(b, blobs)),
]


@pytest.mark.parametrize(("thing", "read"), FROM_PLUGINS, ids=lambda case: type(case).__name__)
def test_what_a_plugin_tells_arrives(thing: object, read: Callable[[Any, Sequence[bytes]], object]) -> None:
    for part in thing if isinstance(thing, list) else [thing]:
        for item in fields(cast(Any, part)):
            assert getattr(part, item.name) != item.default, f"{type(part).__name__}.{item.name} would be lost unseen"
    assert read(*through(thing)) == thing


GARBLED: list[tuple[Callable[[Any], object], list[object]]] = [
    (codec.results, [None, "x", [None], [["accepted"]], [["accepted", 1, {}, ""]], [["accepted", "x", {"a": 1}, ""]],
                     [["rejected", "NO_REASON", True, ""]], [["rejected", "BLOCKED", 1, ""]], [["OutgoingMessage"]]]),
    (codec.problems, [None, {}, [["f"]], [[1, "d"]], "ab"]),
    (codec.capabilities, [None, {}, {"batch_size": 5}]),
    (codec.health, [None, [1, "x"], [True], ["True", ""]]),
    (codec.receipts, [None, [[]], [["r", "EXPLODED", "2031-01-01T00:00:00+00:00", "m", "", "", True, {}]],
                      [["r", "OPENED", "yesterday", "m", "", "", True, {}]],
                      [["r", "OPENED", "2031-01-01T00:00:00", "m", "", "", True, {}]],
                      [["", "OPENED", "2031-01-01T00:00:00+00:00", "m", "", "", True, {}]]]),
    (codec.inbound, [None, [["i"]], [["i", "SMS", "o", "d", "t", "2031-01-01T00:00:00+00:00", [1], {}]]]),
    (lambda body: codec.received(body, [b""]), [None, [[], [], 200, 1, ""], [[], [], 99, 0, ""], [[], [], 600, 0, ""],
                                               [[], [], 200, 0, "a\r\nSet-Cookie: b"], [[], [], 200, -1, ""]]),
    (lambda body: codec.address_problems(body, 2), [None, [[None], ""], [[None, 1], ""], [[None, None], 1]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "body"),
    [(read, body) for read, bodies in GARBLED for body in bodies],
    ids=lambda case: case.__name__ if callable(case) else repr(case)[:40],
)
def test_what_was_not_agreed_upon_becomes_no_object(read: Callable[[Any], object], body: object) -> None:
    with pytest.raises(Garbled):
        read(body)


def test_no_name_in_a_frame_ever_chooses_a_class() -> None:
    body = encode(object(), Blobs())
    assert body == {"": "object"}
    assert json.loads(json.dumps(body)) == body


# -- answers


@pytest.mark.parametrize(
    ("result", "becomes", "words"),
    [
        (Accepted("x" * 500), Accepted("x" * 500), ""),
        (Accepted("x" * 501), Accepted(""), "gave an id that is no text of 1 to 500 characters"),
        (Accepted(cast(Any, 12)), Accepted("12"), ""),
        (Accepted(cast(Any, None)), Accepted(""), "gave an id"),
        (Accepted("a\x00b"), Accepted(""), "gave an id"),
        (Accepted("a\ud800b"), Accepted(""), "gave an id"),
        (Accepted("\u20ac"), Accepted("\u20ac"), ""),
        (Accepted("x", {str(n): "v" for n in range(5)}), Accepted("x", {str(n): "v" for n in range(5)}), ""),
        (Accepted("x", {str(n): "v" for n in range(6)}), Accepted("x", {str(n): "v" for n in range(5)}), "more than 5"),
        (Accepted("x", {"a" * 128: "v" * 128}), Accepted("x", {"a" * 128: "v" * 128}), ""),
        (Accepted("x", {"a" * 129: "v", "b": "v" * 129, "": "v", "c": "v"}), Accepted("x", {"c": "v"}), "gave an attribute"),
        (Accepted("x", cast(Any, "none")), Accepted("x"), "gave attributes that are no mapping"),
        (Accepted("x", {}, "a" * 4096), Accepted("x", {}, "a" * 4096), ""),
        (Accepted("x", {}, "a" * 4097), Accepted("x"), "gave a new address"),
        (Rejected(RejectReason.BLOCKED, False, "d" * 501), Rejected(RejectReason.BLOCKED, False, "d" * 500), ""),
        (Rejected(cast(Any, "BLOCKED"), False), Rejected(RejectReason.BLOCKED, False), ""),
        (Rejected(cast(Any, "NO"), True), Rejected(RejectReason.REFUSED, True), "no RejectReason"),
        (Rejected(RejectReason.BLOCKED, cast(Any, 1)), Rejected(RejectReason.BLOCKED, False), "retryable"),
        (Unsupported(cast(Any, ["x"])), Unsupported(""), ""),
        (Unknown("a\x00b"), Unknown("a\ufffdb"), ""),
        ("ok", Unknown("the channel plugin 'p' answered a str"), "answered a str"),
        (None, Unknown("the channel plugin 'p' answered a NoneType"), "answered a NoneType"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_an_answer_is_made_sound(result: object, becomes: SendResult, words: str) -> None:
    cleaned, wrong = clean(result, "p")
    assert cleaned == becomes
    assert type(cleaned) is type(becomes)
    assert words in wrong
    assert bool(words) == bool(wrong)


def test_text_is_taken_from_a_subclass_without_asking_it() -> None:
    class Loud(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise RuntimeError

        def __getitem__(self, key: Any) -> str:
            raise RuntimeError

    assert type(plain(Loud("abc"), 2)) is str
    assert plain(Loud("abc"), 2) == "ab"


class Odd(ChannelProvider):
    name = "odd"
    kinds = frozenset({Kind.CUSTOM})
    capabilities = Capabilities()
    settings_schema: Mapping[str, object] = {"type": "object"}
    answer: Callable[[Kind, Sequence[str]], object]

    def check_addresses(self, kind: Kind, addresses: Sequence[str]) -> Any:
        return self.answer(kind, addresses)

    async def open(self, settings: Mapping[str, object], context: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (lambda kind, addresses: [None, "is bad"], ""),
        (lambda kind, addresses: (None, "is bad"), ""),
        (lambda kind, addresses: [None], "did not answer"),
        (lambda kind, addresses: None, "did not answer"),
        (lambda kind, addresses: [False, "is bad"], "did not answer"),
        (lambda kind, addresses: 1 / 0, "raised ZeroDivisionError"),
    ],
    ids=["list", "tuple", "too few", "none", "other things", "raises"],
)
def test_addresses_are_judged_by_the_plugin_or_by_their_syntax(answer: Callable[..., object], wrong: str) -> None:
    odd = Odd()
    odd.answer = answer
    problems, told = check_addresses(odd, Kind.CUSTOM, ["fine", "two words"])
    assert problems[0] is None
    assert problems[1] == ("is bad" if not wrong else "holds a blank or a control character")
    assert wrong in told
    assert bool(wrong) == bool(told)


@pytest.mark.parametrize("answer", [None, "x", [1], {"a": 1}], ids=["none", "text", "numbers", "mapping"])
def test_problems_that_are_none_are_no_answer(answer: object) -> None:
    with pytest.raises(Unsound, match="instead of a list of problems"):
        clean_problems(answer)


def test_capabilities_that_lie_about_their_types_are_no_answer() -> None:
    able = Capabilities()
    assert clean_capabilities(able) == able
    object.__setattr__(able, "concurrency", 2.5)
    with pytest.raises(Unsound, match="answered a float as concurrency"):
        clean_capabilities(able)
    with pytest.raises(Unsound, match="answered a dict"):
        clean_capabilities({"batch_size": 1})


# -- secrets

SECRET = 'pass"word\u00e4 /1'


@pytest.mark.parametrize(
    "text",
    [
        f"the token {SECRET} is wrong",
        f"{SECRET}{SECRET}",
        repr({"token": SECRET}),
        json.dumps({"token": SECRET}),
        json.dumps({"token": SECRET}, ensure_ascii=False),
        "https://x/?token=pass%22word%C3%A4%20%2F1&a=b",
        "token=pass%22word%C3%A4+%2F1",
    ],
    ids=["plain", "twice", "repr", "json", "json in unicode", "url", "form"],
)
def test_a_secret_is_hidden_in_every_form_it_is_written_in(text: str) -> None:
    shown = Secrets([SECRET]).hide(text)
    assert "word" not in shown
    assert "[secret]" in shown


def test_secrets_of_six_characters_are_hidden_and_shorter_ones_would_hide_everything() -> None:
    secrets = Secrets(["abcdef", "abcde", "", 123456, 12345, True, None])
    assert secrets.hide("abcdef abcde 123456 12345 True") == "[secret] abcde [secret] 12345 True"


def test_a_key_over_several_lines_is_hidden_line_by_line_and_what_is_nested_too() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
    secrets = Secrets([key, {"inner": ["nested-secret"]}])
    assert secrets.hide("line 2 is kqhkiG9w0BAQEF") == "line 2 is [secret]"
    assert secrets.hide(f"<{key}>") == "<[secret]>"
    assert secrets.hide("nested-secret") == "[secret]"


def test_a_secret_that_holds_another_leaves_nothing_behind() -> None:
    assert Secrets(["secret", "secret-and-more"]).hide("a secret-and-more b secret") == "a [secret] b [secret]"


def test_secrets_learned_later_are_hidden_as_well() -> None:
    secrets = Secrets()
    assert not secrets
    secrets.learn(["later-secret"])
    assert secrets
    assert secrets.hide("a later-secret") == "a [secret]"


def record(msg: object, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": msg, "args": args, "levelno": 30, "levelname": "WARNING"})
    made.__dict__.update(more)
    return made


def raised(error: Exception) -> Any:
    try:
        try:
            raise ValueError("cause hunter-22")
        except ValueError as cause:
            raise error from cause
    except Exception as caught:
        return (type(caught), caught, caught.__traceback__)


@pytest.mark.parametrize(
    "made",
    [
        record("hunter-22"),
        record("%s", "hunter-22"),
        record("%(a)s", {"a": "hunter-22"}),
        record("%r", ["hunter-22"]),
        record("%s %s", "hunter-22"),
        record({"event": "hunter-22"}),
        record("x", exc_info=raised(RuntimeError("plain"))),
        record("x", exc_info=raised(RuntimeError("hunter-22"))),
        record("x", exc_text="hunter-22"),
        record("x", stack_info="hunter-22"),
        record("x", token="hunter-22"),
        record("x", settings={"a": ["hunter-22"]}),
    ],
    ids=["message", "argument", "mapping", "repr", "arguments that do not fit", "event", "cause", "exception",
         "exception text", "stack", "extra", "extra mapping"],
)  # fmt: skip
def test_no_part_of_a_log_record_keeps_a_secret(made: logging.LogRecord) -> None:
    assert Redaction(Secrets(["hunter-22"])).filter(made)
    shown = logging.Formatter("%(message)s").format(made) + repr(vars(made))
    if made.exc_info:
        shown += repr(made.exc_info)
    assert "hunter-22" not in shown


def test_a_record_without_a_secret_is_left_as_it_is() -> None:
    made = record("%s of %d", "x", 3, exc_info=raised(RuntimeError("plain")))
    before = dict(vars(made))
    Redaction(Secrets(["another-secret"])).filter(made)
    assert vars(made) == before


def test_answers_lose_secrets_and_what_was_accepted_stays_accepted() -> None:
    hide = Secrets(["hunter-22"]).hide
    assert hidden(Accepted("hunter-22", {"a": "b"}), hide) == Accepted("")
    assert hidden(Accepted("id", {"a": "hunter-22"}), hide) == Accepted("id")
    assert hidden(Accepted("id", {"a": "b"}), hide) == Accepted("id", {"a": "b"})
    assert hidden(Rejected(RejectReason.BLOCKED, True, "a hunter-22"), hide).detail == "a [secret]"  # type: ignore[union-attr]
    assert hidden(Unsupported("hunter-22"), hide) == Unsupported("[secret]")
    assert hidden(Unknown("hunter-22"), hide) == Unknown("[secret]")

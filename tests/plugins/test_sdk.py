"""The SDK by itself: values, addresses, settings, and what it may import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from heliograph_channels import (
    Capabilities,
    Kind,
    Problem,
    Receipt,
    ReceiptKind,
    SmsContent,
    address_problem,
    email_problem,
    phone_problem,
    problems_of,
    secret_fields,
    sms_problem,
    with_defaults,
)

SCHEMA: dict[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "port"],
    "properties": {
        "host": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
        "port": {"type": "integer", "minimum": 1, "maximum": 9},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "default": 0.5},
        "token": {"type": "string", "writeOnly": True},
        "names": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
    },
}


def test_importing_the_sdk_imports_neither_pytest_nor_anything_but_pluggy() -> None:
    code = (
        "import sys; before = set(sys.modules); import heliograph_channels; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    shown = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['heliograph_channels', 'pluggy']"


def test_every_exported_name_is_documented_or_an_alias() -> None:
    import heliograph_channels

    bare = [
        name
        for name in heliograph_channels.__all__
        if inspect.isroutine(getattr(heliograph_channels, name)) or inspect.isclass(getattr(heliograph_channels, name))
        if not getattr(heliograph_channels, name).__doc__
    ]
    assert bare == []


@pytest.mark.parametrize(
    "numbers", [{"batch_size": 0}, {"batch_size": 1001}, {"concurrency": 0}, {"concurrency": 1001}]
)
def test_capabilities_out_of_range_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        Capabilities(**numbers)  # type: ignore[arg-type]


def test_a_receipt_must_be_matchable_and_have_an_instant() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="message_id"):
        Receipt("r1", ReceiptKind.DELIVERED, now)
    with pytest.raises(ValueError, match="receipt_id"):
        Receipt("", ReceiptKind.DELIVERED, now, message_id="m")
    with pytest.raises(ValueError, match="zone"):
        Receipt("r1", ReceiptKind.DELIVERED, now.replace(tzinfo=None), message_id="m")


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "a.b+news@sub.example.co",
        "o'neil@example.org",
        "\u00fcn\u00ef@ex\u00e4mple.de",
        "x@a-b.io",
        "a" * 64 + "@b.cd",
    ],
)
def test_usual_email_addresses_are_good(address: str) -> None:
    assert email_problem(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@localhost",
        "a b@example.com",
        "Ann <ann@example.com>",
        "ann@example.com\n",
        "ann@example.com\r\nBcc: x@example.com",
        "a\x00@example.com",
        "a\u2028@example.com",
        ".ann@example.com",
        "a..b@example.com",
        "a.@example.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@exa mple.com",
        "ann@example..com",
        "a" * 65 + "@example.com",
        "a" * 64 + "@b.cd."[:-1] + "." + "x" * 62 + "." + "y" * 62 + "." + "z" * 63,
        "ann(comment)@example.com",
        "friends: ann@example.com;",
        "ann@[127.0.0.1]",
        '"a b"@example.com',
        "ann@example.com,bob@example.com",
        "<ann@example.com>",
        "\ud800@example.com",
    ],
)
def test_addresses_that_could_confuse_a_server_are_refused(address: str) -> None:
    assert email_problem(address)


def test_long_addresses_are_refused_quickly() -> None:
    assert email_problem("a." * 50_000 + "@example.com")
    assert email_problem("a@" + "b." * 50_000 + "com")


@pytest.mark.parametrize(
    ("number", "good"),
    [
        ("+12065550100", True),
        ("12065550100", False),
        ("+02065550100", False),
        ("+1 206", False),
        ("+12065550100\n", False),
        ("+" + "1" * 16, False),
        ("+\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", False),
    ],
)
def test_telephone_numbers_are_e164(number: str, good: bool) -> None:
    assert (phone_problem(number) is None) is good


def test_tokens_are_printable_and_bounded() -> None:
    assert address_problem(Kind.PUSH, "abc:DEF-123_45") is None
    assert address_problem(Kind.CUSTOM, "x" * 4097)
    assert address_problem(Kind.CUSTOM, "a b")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SmsContent("hello\n\tthere \u20ac \U0001f600"), None),
        (SmsContent("x" * 1600), None),
        (SmsContent("x" * 1601), "1,600"),
        (SmsContent(""), "neither text nor media"),
        (SmsContent(" \n"), "neither text nor media"),
        (SmsContent("", media_urls=("https://a.example/1",)), None),
        (SmsContent("a\x1bb"), "control character"),
        (SmsContent("a\ud83d"), "half a character"),
        (SmsContent("a", media_urls=("https://a.example/",) * 3), None),
        (SmsContent("a", media_urls=("https://a.example/",) * 4), "more than 3 media"),
        (SmsContent("a", media_urls=("ftp://a.example/",)), "no http://"),
        (SmsContent("a", media_urls=("https://",)), "no http://"),
        (SmsContent("a", media_urls=("https://[a",)), "no http://"),
        (SmsContent("a", media_urls=("https://a.example/\n",)), "no http://"),
        (SmsContent("a", media_urls=("https://a.example/" + "x" * 2048,)), "no http://"),
    ],
)
def test_text_messages_nobody_takes_are_told_with_the_cause(content: SmsContent, words: str | None) -> None:
    problem = sms_problem(content, most_media=3)
    assert (problem is None) if words is None else (problem is not None and words in problem)


GOOD = {"host": "abc", "port": 3}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "abcdef"}, "host"),
        ({"host": "ABC"}, "host"),
        ({"host": 1}, "host"),
        ({"port": 0}, "port"),
        ({"port": 10}, "port"),
        ({"port": True}, "port"),
        ({"port": 1.5}, "port"),
        ({"ratio": 0}, "ratio"),
        ({"ratio": "1"}, "ratio"),
        ({"names": []}, "names"),
        ({"names": ["a", 2]}, "names[1]"),
        ({"names": ["a", "b", "c"]}, "names"),
        ({"mode": "c"}, "mode"),
        ({"deep": {}}, "deep.on"),
        ({"deep": {"on": 1}}, "deep.on"),
        ({"extra": 1}, "extra"),
    ],
)
def test_the_small_schema_checker_agrees_with_a_full_validator(change: dict[str, object], field: str) -> None:
    settings = {**GOOD, **change}
    assert [problem.field for problem in problems_of(SCHEMA, settings)] == [field]
    assert not Draft202012Validator(SCHEMA).is_valid(settings)


def test_good_settings_have_no_problems() -> None:
    assert problems_of(SCHEMA, GOOD) == []
    assert Draft202012Validator(SCHEMA).is_valid(GOOD)


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("^[a-z]*$", "abc\n", False),  # Python's own $ would let it pass, and into a line of a protocol
        ("^[a-z]*$", "abc", True),
        (r"^\$[$a]$", "$$", True),
        (r"^\$[$a]$", "$$\n", False),
        (r"^([a-z]+)?$|^x\]$", "x]", True),
        ("b", "abc\n", True),
    ],
)
def test_a_pattern_ends_where_the_value_ends(pattern: str, value: str, fits: bool) -> None:
    schema = {"type": "object", "properties": {"host": {"type": "string", "pattern": pattern}}}
    assert (problems_of(schema, {"host": value}) == []) is fits


def test_missing_settings_are_all_named_at_once() -> None:
    assert problems_of(SCHEMA, {}) == [Problem("host", "is required"), Problem("port", "is required")]


def test_an_unknown_schema_keyword_is_refused_and_not_skipped() -> None:
    with pytest.raises(ValueError, match="oneOf"):
        problems_of({"type": "object", "oneOf": []}, {})


def test_infinity_and_nan_are_no_numbers() -> None:
    for value in (float("inf"), float("nan")):
        assert [problem.field for problem in problems_of(SCHEMA, {**GOOD, "ratio": value})] == ["ratio"]


def test_defaults_and_secrets_are_read_from_the_schema() -> None:
    assert with_defaults(SCHEMA, {"host": "x"}) == {"host": "x", "ratio": 0.5}
    assert secret_fields(SCHEMA) == {"token"}

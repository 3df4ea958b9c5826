"""Notifications as APNs takes them: every field of pinpoint-2 2.5, limits, raw content, provider tokens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from heliograph_channel_apns.content import (
    LARGEST_PAYLOAD,
    LARGEST_VOIP_PAYLOAD,
    Notification,
    notification_of,
)
from heliograph_channel_apns.tokens import ProviderTokens
from heliograph_channels import PushContent
from heliograph_channels.jwt import signing_key
from tests.plugins.apns_peer import BUNDLE, KEY_ID, PEM, PRIVATE, TEAM

NOW = 1_772_366_400
HELLO = {"title": "Hello", "body": "you"}
ALERT = {"alert": HELLO}
OPENS = {"pinpoint": {"openApp": "true"}}


def built(content: PushContent, *, voip: bool = False) -> Notification:
    notification = notification_of(content, voip=voip, bundle_id=BUNDLE, now=NOW)
    assert isinstance(notification, Notification), notification
    return notification


def body(content: PushContent, *, voip: bool = False) -> Any:
    return json.loads(built(content, voip=voip).payload)


def headers(content: PushContent, *, voip: bool = False) -> dict[str, str]:
    return dict(built(content, voip=voip).headers)


def problem(content: PushContent, *, voip: bool = False) -> str:
    found = notification_of(content, voip=voip, bundle_id=BUNDLE, now=NOW)
    assert isinstance(found, str), found
    return found


def hello(**fields: Any) -> PushContent:
    return PushContent(**{**HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "aps", "data"),
    [
        ({}, ALERT, OPENS),
        ({"title": ""}, {"alert": {"body": "you"}}, OPENS),
        ({"sound": "bell.caf"}, {**ALERT, "sound": "bell.caf"}, OPENS),
        ({"badge": 0}, {**ALERT, "badge": 0}, OPENS),
        ({"badge": 7}, {**ALERT, "badge": 7}, OPENS),
        ({"title": "", "body": "", "badge": 0}, {"badge": 0}, OPENS),
        ({"category": "ORDER"}, {**ALERT, "category": "ORDER"}, OPENS),
        ({"thread_id": "order-1"}, {**ALERT, "thread-id": "order-1"}, OPENS),
        ({"media_url": "https://a.example/1.png"}, {**ALERT, "mutable-content": 1},
         {"media-url": "https://a.example/1.png", **OPENS}),
        ({"data": {"a": "b"}}, ALERT, {"a": "b", **OPENS}),
        ({"action": "DEEP_LINK", "url": "app://cart"}, ALERT, {"pinpoint": {"deeplink": "app://cart"}}),
        ({"action": "URL", "url": "https://a.example/"}, ALERT, {"pinpoint": {"url": "https://a.example/"}}),
        ({"correlation": {"campaign_id": "c1", "treatment_id": "0", "campaign_activity_id": "a1"}}, ALERT,
         {"pinpoint": {"openApp": "true", "campaign": {"campaign_id": "c1", "treatment_id": "0", "campaign_activity_id": "a1"}}}),
        ({"correlation": {"campaign_id": "_DIRECT"}}, ALERT, OPENS),
        ({"correlation": {"journey_id": "j1", "journey_activity_id": "a1"}}, ALERT,
         {"pinpoint": {"openApp": "true", "journey": {"journey_id": "j1", "journey_activity_id": "a1"}}}),
        ({"silent": True, "data": {"a": "b"}, "sound": "bell", "badge": 1, "correlation": {"campaign_id": "c1"}},
         {"content-available": 1}, {"pinpoint": {"jsonBody": {"a": "b"}, "campaign": {"campaign_id": "c1"}}}),
        ({"icon": "i", "image_url": "https://a.example/", "image_icon_url": "https://a.example/",
          "small_image_icon_url": "https://a.example/", "restricted_package_name": "x"}, ALERT, OPENS),
    ],
)  # fmt: skip
def test_a_field_has_its_place(fields: dict[str, Any], aps: dict[str, Any], data: dict[str, Any]) -> None:
    assert body(hello(**fields)) == {"aps": aps, "data": data}


PLAIN = {"apns-topic": BUNDLE, "apns-push-type": "alert", "apns-priority": "10"}
QUIET = {"apns-topic": BUNDLE, "apns-push-type": "background", "apns-priority": "5"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, PLAIN),
        ({"priority": "high"}, PLAIN),
        ({"priority": "normal"}, {**PLAIN, "apns-priority": "5"}),
        ({"silent": True}, QUIET),
        ({"silent": True, "priority": "high"}, QUIET),
        ({"push_type": "background"}, QUIET),
        ({"push_type": "complication"}, {**PLAIN, "apns-topic": f"{BUNDLE}.complication", "apns-push-type": "complication"}),
        ({"push_type": "fileprovider"},
         {**PLAIN, "apns-topic": f"{BUNDLE}.pushkit.fileprovider", "apns-push-type": "fileprovider"}),
        ({"push_type": "mdm"}, {**PLAIN, "apns-push-type": "mdm"}),
        ({"push_type": "location"}, {**PLAIN, "apns-topic": f"{BUNDLE}.location-query", "apns-push-type": "location"}),
        ({"push_type": "liveactivity"},
         {**PLAIN, "apns-topic": f"{BUNDLE}.push-type.liveactivity", "apns-push-type": "liveactivity"}),
        ({"push_type": "pushtotalk"}, {**PLAIN, "apns-topic": f"{BUNDLE}.voip-ptt", "apns-push-type": "pushtotalk"}),
        ({"time_to_live_seconds": 0}, {**PLAIN, "apns-expiration": "0"}),
        ({"time_to_live_seconds": 60}, {**PLAIN, "apns-expiration": str(NOW + 60)}),
        ({"collapse_id": "x" * 64}, {**PLAIN, "apns-collapse-id": "x" * 64}),
        ({"collapse_id": "\u20ac" * 21}, {**PLAIN, "apns-collapse-id": "\u20ac" * 21}),
    ],
)  # fmt: skip
def test_a_field_has_its_header(fields: dict[str, Any], expected: dict[str, str]) -> None:
    assert headers(hello(**fields)) == expected


def test_a_call_has_its_own_topic_and_type() -> None:
    expected = {"apns-topic": f"{BUNDLE}.voip", "apns-push-type": "voip", "apns-priority": "10"}
    for content in (hello(), hello(push_type="voip"), PushContent(data={"caller": "Ann"}), hello(silent=True)):
        assert headers(content, voip=True) == expected


@pytest.mark.parametrize(
    ("fields", "own"), [({}, True), ({"push_type": "mdm"}, True), ({"push_type": "complication"}, False)]
)
def test_the_topic_of_an_extension_is_known_as_such(fields: dict[str, Any], own: bool) -> None:
    assert built(hello(**fields)).own_topic is own


@pytest.mark.parametrize(
    ("fields", "voip", "words"),
    [
        ({"title": "", "body": ""}, False, "nothing to show"),
        ({"collapse_id": "x" * 65}, False, "more than 64 bytes"),
        ({"collapse_id": "\u20ac" * 22}, False, "more than 64 bytes"),
        ({"collapse_id": "a\r\nb"}, False, "control character"),
        ({"collapse_id": " a"}, False, "blank at an end"),
        ({"time_to_live_seconds": -1}, False, "below 0"),
        ({"badge": -1}, False, "below 0"),
        ({"push_type": "telegram"}, False, "none that Apple has"),
        ({"push_type": "voip"}, False, "does not fit"),
        ({"push_type": "alert"}, True, "does not fit"),
        ({"data": {"pinpoint": "x"}}, False, "reserved"),
        ({"body": "\ud83d"}, False, "lone surrogate"),
        ({"collapse_id": "\ud83d"}, False, "lone surrogate"),
    ],
)
def test_what_apple_would_refuse_is_not_sent(fields: dict[str, Any], voip: bool, words: str) -> None:
    assert words in problem(hello(**fields), voip=voip)


@pytest.mark.parametrize(
    ("voip", "largest", "filler"),
    [
        (False, LARGEST_PAYLOAD, "x"),
        (False, LARGEST_PAYLOAD, "\u20ac"),
        (False, LARGEST_PAYLOAD, '"'),
        (True, LARGEST_VOIP_PAYLOAD, "x"),
    ],
    ids=["one byte", "three bytes", "escaped", "call"],
)
def test_a_payload_has_a_limit_in_bytes_of_its_json(voip: bool, largest: int, filler: str) -> None:
    room = largest - len(built(hello(body="x"), voip=voip).payload) + 1
    width = len(json.dumps(filler, ensure_ascii=False).encode()) - 2
    text = filler * (room // width) + "x" * (room % width)
    assert len(built(hello(body=text), voip=voip).payload) == largest
    assert problem(hello(body=text + "x"), voip=voip) == (
        f"the payload has {largest + 1:,} bytes; at most {largest:,} are carried"
    )


# Raw content

STANDARD = {"aps": {"content-available": 0, "alert": "raw"}, "own": [1, "\u20ac"]}
SILENT = {"aps": {"content-available": 1}, "own": 1}
SAFARI = {"aps": {"alert": {"title": "t", "body": "b", "action": "View"}, "url-args": [""]}}


@pytest.mark.parametrize(
    ("raw", "push_type"),
    [(STANDARD, "alert"), (SILENT, "background"), (SAFARI, "alert")],
    ids=["standard", "silent", "safari"],
)
def test_raw_content_replaces_everything_but_the_headers(raw: dict[str, Any], push_type: str) -> None:
    for text in (json.dumps(raw), json.dumps({"APNSMessage": raw}), json.dumps(raw, indent=8)):
        content = hello(raw=text, sound="bell", silent=True, collapse_id="k", data={"a": "b"})
        assert body(content) == raw
        assert headers(content)["apns-push-type"] == push_type
        assert headers(content)["apns-collapse-id"] == "k"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("no json", "no JSON"),
        ("[" * 10_000, "no JSON"),
        ('{"aps": {"content-available": 0, "badge": Infinity}}', "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no JSON object"),
        ('{"own": 1}', "no aps"),
        ('{"aps": []}', "no aps"),
        ('{"aps": {"alert": "x"}}', "no content-available"),
        ('{"aps": {"content-available": true}}', "no content-available"),
        ('{"aps": {"content-available": 2}}', "no content-available"),
        ('{"aps": {"content-available": "1"}}', "no content-available"),
        ('{"aps": {"content-available": 1, "alert": "x"}}', "silent and has alert"),
        ('{"aps": {"content-available": 1, "badge": 1, "sound": "x"}}', "silent and has badge, sound"),
        ('{"aps": {"alert": "x", "url-args": []}}', "url-args"),
        ('{"aps": {"alert": "x", "url-args": [7]}}', "url-args"),
        ('{"aps": {"alert": "x", "url-args": ""}}', "url-args"),
        ('{"aps": {"content-available": 0, "alert": "\\ud83d"}}', "lone surrogate"),
    ],
)
def test_raw_content_is_held_to_pinpoints_rules(raw: str, words: str) -> None:
    assert words in problem(hello(raw=raw))


def test_raw_content_of_another_type_has_no_rules_of_alerts() -> None:
    assert body(hello(raw='{"mdm": "x"}', push_type="mdm")) == {"mdm": "x"}
    assert body(hello(raw='{"caller": "Ann"}'), voip=True) == {"caller": "Ann"}


@pytest.mark.parametrize(("more", "good"), [(0, True), (1, False)])
def test_raw_content_has_the_same_limit(more: int, good: bool) -> None:
    bare = len(b'{"aps":{"content-available":0,"alert":""}}')
    raw = json.dumps({"aps": {"content-available": 0, "alert": "x" * (LARGEST_PAYLOAD - bare + more)}})
    found = notification_of(hello(raw=raw), voip=False, bundle_id=BUNDLE, now=NOW)
    assert isinstance(found, Notification) is good


# Provider tokens


def tokens() -> ProviderTokens:
    key = signing_key(PEM)
    assert key is not None
    return ProviderTokens(TEAM, KEY_ID, key)


def test_every_worker_has_the_same_token_for_40_minutes() -> None:
    start = datetime.fromtimestamp(NOW - NOW % 2400, UTC)
    one, other = tokens(), tokens()
    text = one.current(start)
    assert other.current(start + timedelta(seconds=2399)) == text
    assert one.current(start + timedelta(seconds=2400)) != text
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "typ": "JWT", "kid": KEY_ID}
    claims = jwt.decode(text, PRIVATE.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert claims == {"iss": TEAM, "iat": int(start.timestamp())}
    assert text not in repr(one)


def test_a_refused_token_is_replaced_once_in_20_minutes_and_by_one_for_all() -> None:
    start = datetime.fromtimestamp(NOW - NOW % 2400 + 600, UTC)
    one = tokens()
    first = one.current(start)
    second = one.instead_of(first, start)
    assert second not in (None, first)
    assert one.instead_of(first, start) == second
    assert one.instead_of(str(second), start + timedelta(seconds=1199)) is None
    third = one.instead_of(str(second), start + timedelta(seconds=1200))
    assert third not in (None, first, second)
    assert one.current(start + timedelta(seconds=1200 + 2399)) == third
    assert one.current(start + timedelta(seconds=1200 + 2400)) != third


def test_a_token_that_begins_now_cannot_be_too_old() -> None:
    start = datetime.fromtimestamp(NOW - NOW % 2400, UTC)
    one = tokens()
    assert one.instead_of(one.current(start), start) is None

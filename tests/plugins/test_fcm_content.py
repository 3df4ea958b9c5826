"""Notifications as messages of FCM: every field of pinpoint-2 2.5, limits, raw content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heliograph_channel_fcm.content import LARGEST_PAYLOAD, message_of, payload_size
from heliograph_channels import PushContent

HELLO = {"title": "Hello", "body": "you"}
OPENS = {"pinpoint.openApp": "true", "pinpoint.campaign.campaign_id": "c1"}
CAMPAIGN = {"campaign_id": "c1"}


def built(content: PushContent, **more: Any) -> dict[str, Any]:
    message = message_of(content, more.pop("message_class", "campaign"), **more)
    assert isinstance(message, dict), message
    return message


def hello(**fields: Any) -> PushContent:
    return PushContent(**{**HELLO, "correlation": CAMPAIGN, **fields})


@pytest.mark.parametrize(
    ("fields", "notification", "data", "android"),
    [
        ({}, HELLO, {}, None),
        ({"title": ""}, {"body": "you"}, {}, None),
        ({"body": ""}, {"title": "Hello"}, {}, None),
        ({"data": {"a": "b", "c": ""}}, HELLO, {"a": "b", "c": ""}, None),
        ({"priority": "high"}, HELLO, {}, {"priority": "HIGH"}),
        ({"priority": "normal"}, HELLO, {}, {"priority": "NORMAL"}),
        ({"time_to_live_seconds": 0}, HELLO, {}, {"ttl": "0s"}),
        ({"time_to_live_seconds": 3600}, HELLO, {}, {"ttl": "3600s"}),
        ({"time_to_live_seconds": 2_419_200}, HELLO, {}, {"ttl": "2419200s"}),
        ({"time_to_live_seconds": 2_419_201}, HELLO, {}, {"ttl": "2419200s"}),
        ({"collapse_id": "news"}, HELLO, {}, {"collapse_key": "news"}),
        ({"restricted_package_name": "com.example.app"}, HELLO, {}, {"restricted_package_name": "com.example.app"}),
        ({"sound": "bell"}, HELLO, {}, {"notification": {"sound": "bell"}}),
        ({"icon": "ic_star"}, HELLO, {}, {"notification": {"icon": "ic_star"}}),
        ({"image_url": "https://a.example/1.png"}, HELLO, {}, {"notification": {"image": "https://a.example/1.png"}}),
        ({"image_icon_url": "https://a.example/2"}, HELLO, {"pinpoint.notification.imageIconUrl": "https://a.example/2"}, None),
        ({"small_image_icon_url": "https://a.example/3"}, HELLO,
         {"pinpoint.notification.imageSmallIconUrl": "https://a.example/3"}, None),
        ({"badge": 3, "category": "c", "thread_id": "t", "push_type": "alert", "media_url": "https://a.example/"},
         HELLO, {}, None),
    ],
)  # fmt: skip
def test_a_field_has_its_place(
    fields: dict[str, Any], notification: dict[str, str], data: dict[str, str], android: dict[str, Any] | None
) -> None:
    message = built(hello(**fields))
    assert message["notification"] == notification
    assert message["data"] == {**OPENS, **data}
    assert message.get("android") == android
    assert set(message) <= {"notification", "data", "android"}


@pytest.mark.parametrize(
    ("action", "url", "data", "click"),
    [
        ("OPEN_APP", "", {"pinpoint.openApp": "true"}, None),
        ("OPEN_APP", "https://a.example/", {"pinpoint.openApp": "true"}, None),
        ("DEEP_LINK", "app://cart", {"pinpoint.deeplink": "app://cart"}, "com.example.OPEN"),
        ("URL", "https://a.example/", {"pinpoint.url": "https://a.example/"}, "com.example.OPEN"),
    ],
)
def test_an_action_is_told_to_the_app_and_starts_the_intent_of_the_settings(
    action: Any, url: str, data: dict[str, str], click: str | None
) -> None:
    message = built(hello(action=action, url=url), click_action="com.example.OPEN")
    assert {name: value for name, value in message["data"].items() if "campaign" not in name} == data
    assert message.get("android", {}).get("notification", {}).get("click_action") == click


def test_a_notification_that_the_app_shows_is_data_in_pinpoints_names() -> None:
    content = hello(
        image_url="https://a.example/1", image_icon_url="https://a.example/2", small_image_icon_url="https://a.example/3",
        icon="ic_star", sound="bell", action="URL", url="https://a.example/", data={"a": "b"}, priority="high",
    )  # fmt: skip
    assert built(content, shown_by="app", click_action="x") == {
        "data": {
            "a": "b",
            "pinpoint.campaign.campaign_id": "c1",
            "pinpoint.url": "https://a.example/",
            "pinpoint.notification.title": "Hello",
            "pinpoint.notification.body": "you",
            "pinpoint.notification.imageUrl": "https://a.example/1",
            "pinpoint.notification.imageIconUrl": "https://a.example/2",
            "pinpoint.notification.imageSmallIconUrl": "https://a.example/3",
            "pinpoint.notification.icon": "ic_star",
            "pinpoint.notification.sound": "bell",
        },
        "android": {"priority": "HIGH"},
    }


@pytest.mark.parametrize("shown_by", ["system", "app"])
def test_a_silent_notification_is_data_alone(shown_by: str) -> None:
    content = hello(
        silent=True, data={"a": "b"}, sound="bell", icon="i", image_url="https://a.example/1", collapse_id="k"
    )
    message = built(content, shown_by=shown_by, click_action="x")
    assert message == {
        "data": {
            "pinpoint.campaign.campaign_id": "c1",
            "pinpoint.notification.silentPush": "1",
            "pinpoint.jsonBody": '{"a":"b"}',
        },
        "android": {"collapse_key": "k"},
    }


@pytest.mark.parametrize(
    ("correlation", "message_class", "data"),
    [
        ({"campaign_id": "c1", "treatment_id": "0", "campaign_activity_id": "a1"}, "campaign",
         {"pinpoint.campaign.campaign_id": "c1", "pinpoint.campaign.treatment_id": "0",
          "pinpoint.campaign.campaign_activity_id": "a1"}),
        ({"journey_id": "j1", "journey_activity_id": "a1"}, "journey",
         {"pinpoint": '{"journey":{"journey_id":"j1","journey_activity_id":"a1"}}'}),
        ({}, "transactional", {"pinpoint.campaign.campaign_id": "_DIRECT"}),
        ({}, "campaign", {}),
    ],
    ids=["campaign", "journey", "direct", "nothing known"],
)  # fmt: skip
def test_what_sent_it_stands_where_pinpoints_sdks_look(
    correlation: dict[str, str], message_class: str, data: dict[str, str]
) -> None:
    message = built(hello(correlation=correlation), message_class=message_class)
    assert message["data"] == {"pinpoint.openApp": "true", **data}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "", "body": ""}, "nothing to show"),
        ({"time_to_live_seconds": -1}, "below 0"),
        ({"data": {"from": "x"}}, "'from'"),
        ({"data": {"message_type": "x"}}, "'message_type'"),
        ({"data": {"google.sent": "x"}}, "'google.sent'"),
        ({"data": {"gcm.n.e": "x"}}, "'gcm.n.e'"),
        ({"data": {"pinpoint.url": "x"}}, "'pinpoint.url'"),
        ({"data": {"pinpoint": "x"}}, "'pinpoint'"),
        ({"data": {"": "x"}}, "''"),
        ({"body": "\ud83d"}, "lone surrogate"),
    ],
)
def test_what_fcm_would_refuse_is_not_sent(fields: dict[str, Any], words: str) -> None:
    problem = message_of(hello(**fields), "campaign")
    assert isinstance(problem, str)
    assert words in problem


@pytest.mark.parametrize("filler", ["x", "\u20ac"], ids=["one byte", "three bytes"])
def test_a_payload_has_at_most_4096_bytes(filler: str) -> None:
    bare = payload_size(built(hello(body="")))
    room = LARGEST_PAYLOAD - bare - len("body")
    width = len(filler.encode())
    body = filler * (room // width) + "x" * (room % width)
    assert payload_size(built(hello(body=body))) == LARGEST_PAYLOAD
    problem = message_of(hello(body=body + "x"), "campaign")
    assert problem == "the payload has 4,097 bytes; at most 4,096 are carried"


# Raw content

V1 = {"notification": {"title": "raw"}, "data": {"a": "b"}, "android": {"ttl": "5s"}}


@pytest.mark.parametrize(
    "raw",
    [V1, {"message": V1}, {"fcmV1Message": {"message": V1}}, {"fcmV1Message": V1}, {"GCMMessage": {"message": V1}},
     {"validate_only": True, "message": V1}, {**V1, "token": "of somebody else"}],
    ids=["alone", "in message", "in fcmV1Message", "of SNS", "of a template", "for a check", "with a token"],
)  # fmt: skip
def test_raw_content_replaces_everything(raw: dict[str, Any]) -> None:
    content = hello(raw=json.dumps(raw), data={"ours": "x"}, priority="high", silent=True)
    assert built(content) == V1


def test_raw_content_of_the_legacy_protocol_is_said_in_todays() -> None:
    raw = {
        "priority": "high",
        "time_to_live": 9_999_999,
        "collapse_key": "k",
        "restricted_package_name": "com.example",
        "delay_while_idle": True,
        "notification": {
            "title": "t",
            "body": "b",
            "icon": "i",
            "sound": "s",
            "android_channel_id": "c",
            "body_loc_args": ["1"],
        },
        "data": {"text": "x", "number": 7, "list": [1, "\u20ac"]},
    }
    assert built(hello(raw=json.dumps(raw))) == {
        "notification": {"title": "t", "body": "b"},
        "data": {"text": "x", "number": "7", "list": '[1,"\u20ac"]'},
        "android": {
            "priority": "HIGH",
            "ttl": "2419200s",
            "collapse_key": "k",
            "restricted_package_name": "com.example",
            "notification": {"icon": "i", "sound": "s", "channel_id": "c", "body_loc_args": ["1"]},
        },
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("no json", "no JSON"),
        ("[" * 10_000, "no JSON"),
        ('{"data": {"a": NaN}}', "no JSON"),
        ("[]", "no JSON object"),
        ("7", "no JSON object"),
        ('{"topic": "all", "data": {"a": "b"}}', "another recipient (topic)"),
        ('{"to": "/topics/all", "data": {"a": "b"}}', "another recipient (to)"),
        ('{"condition": "a", "data": {}}', "another recipient (condition)"),
        ('{"android": {}, "strange": 1}', "does not know: 'strange'"),
        ('{"priority": "high", "strange": 1}', "does not know: 'strange'"),
        ('{"notification": {"icon": "i", "strange": 1}}', "does not know: 'strange'"),
        ('{"time_to_live": -1, "data": {}}', "time_to_live"),
        ('{"time_to_live": true, "data": {}}', "time_to_live"),
        ("{}", "is empty"),
        ('{"data": {"a": "\\ud83d"}}', "lone surrogate"),
    ],
)
def test_raw_content_that_cannot_be_sent_is_refused(raw: str, words: str) -> None:
    problem = message_of(hello(raw=raw), "campaign")
    assert isinstance(problem, str)
    assert words in problem


@pytest.mark.parametrize(("more", "good"), [(0, True), (1, False)])
def test_raw_content_has_the_same_limit(more: int, good: bool) -> None:
    raw = json.dumps({"data": {"a": "x" * (LARGEST_PAYLOAD - 1 + more)}})
    assert isinstance(message_of(hello(raw=raw), "campaign"), dict) is good

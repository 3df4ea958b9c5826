"""What the channel webpush carries: encryption, the payload of a notification, its headers."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush.content import headers_of, text_of
from heliograph_channel_webpush.encryption import LARGEST_TEXT, encrypted
from heliograph_channel_webpush.settings import vapid_key
from heliograph_channels import Accepted, PushContent, Rejected, RejectReason
from heliograph_channels.jwt import base64url
from tests.plugins.push_service import Browser, FakePushService
from tests.plugins.webpush_sender import KEY, push, sender_for

# Encryption


def test_a_message_is_encrypted_as_in_the_example_of_rfc_8291() -> None:
    def bytes_of(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    sender = vapid_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    receiver = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    assert sender is not None
    body = encrypted(
        b"When I grow up, I want to be a watermelon",
        receiver=ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes_of(receiver)),
        auth=bytes_of("BTBZMqHH6r4Tts7J_aSIgg"),
        sender=sender,
        salt=bytes_of("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert base64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize(("size", "salt"), [(LARGEST_TEXT + 1, 16), (1, 15), (1, 17)])
def test_what_cannot_be_one_record_is_an_error(size: int, salt: int) -> None:
    with pytest.raises(ValueError, match="3993"):
        encrypted(b"x" * size, receiver=KEY.public_key(), auth=bytes(16), sender=KEY, salt=bytes(salt))


def test_the_largest_text_makes_the_largest_body() -> None:
    browser = Browser("https://a.example/")
    body = encrypted(
        b"x" * LARGEST_TEXT, receiver=browser.key.public_key(), auth=browser.auth, sender=KEY, salt=bytes(16)
    )
    assert (LARGEST_TEXT, len(body)) == (3993, 4096)
    assert browser.read(body) == b"x" * LARGEST_TEXT


# Content

HELLO = {"title": "Hello", "body": "you"}


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({}, {"notification": HELLO, "action": "OPEN_APP"}),
        ({"action": "URL", "url": "https://a.example/"}, {"notification": HELLO, "action": "URL", "url": "https://a.example/"}),
        ({"action": "DEEP_LINK", "url": "/cart"}, {"notification": HELLO, "action": "DEEP_LINK", "url": "/cart"}),
        ({"data": {"a": "b"}}, {"notification": HELLO, "action": "OPEN_APP", "data": {"a": "b"}}),
        ({"image_icon_url": "i", "small_image_icon_url": "s", "image_url": "p", "thread_id": "t", "badge": 0},
         {"notification": {**HELLO, "icon": "i", "badge": "s", "image": "p", "tag": "t", "app_badge": 0}, "action": "OPEN_APP"}),
        ({"icon": "i", "media_url": "m"}, {"notification": {**HELLO, "icon": "i", "image": "m"}, "action": "OPEN_APP"}),
        ({"correlation": {"campaign_id": "c", "treatment_id": "0"}},
         {"notification": HELLO, "action": "OPEN_APP", "pinpoint": {"campaign": {"campaign_id": "c", "treatment_id": "0"}}}),
        ({"correlation": {"journey_id": "j"}},
         {"notification": HELLO, "action": "OPEN_APP", "pinpoint": {"journey": {"journey_id": "j"}}}),
        ({"silent": True, "data": {"a": "b"}}, {"pinpoint": {"jsonBody": {"a": "b"}}}),
        ({"sound": "s", "category": "c", "push_type": "alert", "restricted_package_name": "x"},
         {"notification": HELLO, "action": "OPEN_APP"}),
    ],
)  # fmt: skip
def test_a_field_has_its_place(fields: dict[str, Any], payload: dict[str, Any]) -> None:
    text = text_of(PushContent(**{**HELLO, **fields}), "campaign")
    assert isinstance(text, bytes)
    assert json.loads(text) == payload


def test_a_direct_message_says_that_it_is_one() -> None:
    text = text_of(PushContent("Hello"), "transactional")
    assert isinstance(text, bytes)
    assert json.loads(text)["pinpoint"] == {"campaign": {"campaign_id": "_DIRECT"}}


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {"TTL": "100"}),
        ({"time_to_live_seconds": 0}, {"TTL": "0"}),
        ({"time_to_live_seconds": 2419200}, {"TTL": "2419200"}),
        ({"time_to_live_seconds": 2419201}, {"TTL": "2419200"}),
        ({"priority": "high"}, {"TTL": "100", "Urgency": "high"}),
        ({"priority": "normal"}, {"TTL": "100", "Urgency": "normal"}),
        ({"collapse_id": "x" * 32}, {"TTL": "100", "Topic": "x" * 32}),
        ({"collapse_id": "news_1-a"}, {"TTL": "100", "Topic": "news_1-a"}),
    ],
)
def test_a_field_has_its_header(fields: dict[str, Any], headers: dict[str, str]) -> None:
    assert headers_of(PushContent("Hello", **fields), 100) == headers


def test_a_collapse_id_that_is_no_topic_stands_there_as_its_hash() -> None:
    topics = set()
    for id in ("x" * 33, "a\r\nb", "two words", "\u20ac", "\ud83d"):
        headers = headers_of(PushContent("Hello", collapse_id=id), 100)
        assert isinstance(headers, dict)
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", headers["Topic"])
        assert headers_of(PushContent("Other", collapse_id=id), 100) == headers
        topics.add(headers["Topic"])
    assert len(topics) == 5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "", "body": ""}, "nothing to show"),
        ({"time_to_live_seconds": -1}, "below 0"),
        ({"body": "\ud83d"}, "lone surrogate"),
        ({"raw": "\ud83d"}, "lone surrogate"),
        ({"raw": "x" * 3994}, "3,994 bytes; at most 3,993"),
        ({"body": "x" * 4000}, "at most 3,993"),
    ],
)
async def test_what_cannot_be_carried_is_not_sent(
    push_service: FakePushService, certificate: tuple[Path, Path], fields: dict[str, Any], words: str
) -> None:
    async with sender_for(push_service, certificate) as sender:
        (result,) = await sender.send_batch([push(push_service.browser(), PushContent(**{**HELLO, **fields}))])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_CONTENT, False)
    assert words in result.detail
    assert push_service.calls == []


@pytest.mark.parametrize("raw", ["x" * 3993, "any text, not only JSON \u20ac"])
async def test_raw_content_arrives_as_it_is(
    push_service: FakePushService, certificate: tuple[Path, Path], raw: str
) -> None:
    async with sender_for(push_service, certificate) as sender:
        (result,) = await sender.send_batch([push(push_service.browser(), PushContent(raw=raw, data={"a": "b"}))])
    assert isinstance(result, Accepted), result
    assert push_service.delivered[0][1] == raw.encode()

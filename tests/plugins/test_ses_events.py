"""Events of SES over signed messages of SNS: what they say, and whose word is believed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from heliograph_channel_ses import SesChannel
from heliograph_channel_ses.sns import confirmation_url
from heliograph_channels import ChannelProvider, Forged, ReceiptKind, Received, WebhookRequest
from heliograph_channels.testing import WebhookContract
from tests.plugins.ses_sender import sender_for, settings_for
from tests.plugins.sns_topic import BOUNCE, CERTIFICATE_URL, OUR_ID, SES_ID, TOPIC, Topic, a_key, event


class TestSesWebhookContract(WebhookContract):
    topic = Topic()

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SesChannel(self.topic.fetch)

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return settings_for("https://ses.example", topic_arn=TOPIC)

    @pytest.fixture
    def call(self) -> WebhookRequest:
        return self.topic.call(event("Bounce", BOUNCE))


async def received(topic: Topic, call: WebhookRequest, **changes: object) -> Received:
    settings = {"topic_arn": TOPIC, **changes}
    async with sender_for("https://ses.example", topic, **settings) as opened:
        return await opened.receive(call)


def said(received: Received) -> list[tuple[ReceiptKind, bool, str]]:
    return [(receipt.kind, receipt.permanent, receipt.detail) for receipt in received.receipts]


VISIT: dict[str, object] = {
    "ipAddress": "192.0.2.1",
    "timestamp": "2026-03-01T12:01:00.000Z",
    "userAgent": "Mozilla/5.0",
}
COMPLAINT: dict[str, object] = {
    "complainedRecipients": [{"emailAddress": "ann@example.com"}],
    "timestamp": "2026-03-01T12:02:00.000Z",
    "feedbackId": "0100017-complaint",
    "userAgent": "Feedback Loop/1.0",
    "complaintFeedbackType": "abuse",
    "arrivalDate": "2026-03-01T12:01:00.000Z",
}
TOPICS = {"unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptIn"}]}
LEFT = {"unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptOut"}]}
EVENTS: dict[str, tuple[dict[str, object], list[tuple[ReceiptKind, bool, str]]]] = {
    "delivery": (
        event("Delivery", {"timestamp": "2026-03-01T12:00:01.000Z", "smtpResponse": "250 2.6.0 Message received", "recipients": ["ann@example.com"]}),
        [(ReceiptKind.DELIVERED, True, "250 2.6.0 Message received")],
    ),
    "hard bounce": (event("Bounce", BOUNCE), [(ReceiptKind.BOUNCED, True, "Permanent General: smtp; 550 5.1.1 user unknown")]),
    "soft bounce": (
        event("Bounce", {**BOUNCE, "bounceType": "Transient", "bounceSubType": "MailboxFull", "bouncedRecipients": [{"status": "5.2.2"}]}),
        [(ReceiptKind.BOUNCED, False, "Transient MailboxFull: 5.2.2")],
    ),
    "undetermined bounce": (
        event("Bounce", {**BOUNCE, "bounceType": "Undetermined", "bounceSubType": "Undetermined", "bouncedRecipients": []}),
        [(ReceiptKind.BOUNCED, False, "Undetermined Undetermined")],
    ),
    "bounce of the suppression list": (
        event("Bounce", {**BOUNCE, "bounceSubType": "OnAccountSuppressionList"}),
        [(ReceiptKind.BOUNCED, True, "Permanent OnAccountSuppressionList: smtp; 550 5.1.1 user unknown")],
    ),
    "complaint": (event("Complaint", COMPLAINT), [(ReceiptKind.COMPLAINED, True, "abuse Feedback Loop/1.0")]),
    "not spam after all": (event("Complaint", {**COMPLAINT, "complaintFeedbackType": "not-spam"}), []),
    "reject": (event("Reject", {"reason": "Bad content"}), [(ReceiptKind.FAILED, True, "rejected: Bad content")]),
    "open": (event("Open", VISIT), [(ReceiptKind.OPENED, True, "")]),
    "click": (event("Click", {**VISIT, "link": "https://example.com/x", "linkTags": None}), [(ReceiptKind.CLICKED, True, "")]),
    "rendering failure": (
        event("Rendering Failure", {"templateName": "t", "errorMessage": "Attribute 'name' is not present"}, name="failure"),
        [(ReceiptKind.FAILED, True, "not rendered: Attribute 'name' is not present")],
    ),
    "left everything": (
        event("Subscription", {"timestamp": "2026-03-01T13:00:00Z", "source": "UnsubscribeHeader",
                               "newTopicPreferences": {"unsubscribeAll": True}, "oldTopicPreferences": {"unsubscribeAll": False}}),
        [(ReceiptKind.OPTED_OUT, True, "UnsubscribeHeader: all topics")],
    ),
    "left a topic": (
        event("Subscription", {"source": "SubscriptionManagementPage", "newTopicPreferences": LEFT, "oldTopicPreferences": TOPICS}),
        [(ReceiptKind.OPTED_OUT, True, "SubscriptionManagementPage: news")],
    ),
    "joined a topic": (event("Subscription", {"newTopicPreferences": TOPICS, "oldTopicPreferences": LEFT}), []),
    "send": (event("Send", {}), []),
    "delay": (event("DeliveryDelay", {"delayType": "TransientCommunicationFailure"}, name="deliveryDelay"), []),
}  # fmt: skip


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(("told", "expected"), EVENTS.values(), ids=EVENTS)
async def test_each_event_says_what_became_of_the_message(
    told: dict[str, object], expected: list[tuple[ReceiptKind, bool, str]], version: str
) -> None:
    topic = Topic()
    result = await received(topic, topic.call(told, version=version))
    assert result.status == 200
    assert said(result) == expected
    for receipt in result.receipts:
        assert (receipt.message_id, receipt.provider_message_id) == (OUR_ID, SES_ID)
        assert len(receipt.receipt_id) <= 200
    again = await received(topic, topic.call(told, version=version, changes={"MessageId": "another-delivery-of-sns"}))
    assert [one.receipt_id for one in again.receipts] == [one.receipt_id for one in result.receipts]


async def test_events_are_told_apart_and_keep_their_time() -> None:
    topic = Topic()
    results = [await received(topic, topic.call(told)) for told, _ in EVENTS.values()]
    results.append(await received(topic, topic.call(event("Click", {**VISIT, "link": "https://example.com/y"}))))
    ids = [receipt.receipt_id for result in results for receipt in result.receipts]
    same = {"hard bounce", "soft bounce", "undetermined bounce", "bounce of the suppression list"}
    assert len(set(ids)) == len(ids) - (len(same) - 1)  # one feedback id is one bounce
    click = results[-1].receipts[0]
    assert click.attributes == {"link": "https://example.com/y"}
    assert click.time == dt.datetime(2026, 3, 1, 12, 1, tzinfo=dt.UTC)


async def test_an_older_notification_is_understood_and_correlated_by_the_header() -> None:
    topic = Topic()
    told = event("Bounce", BOUNCE, tagged=False)
    told["notificationType"] = told.pop("eventType")
    (by_id,) = (await received(topic, topic.call(told))).receipts
    assert (by_id.message_id, by_id.provider_message_id) == ("", SES_ID)
    told["mail"]["headers"].append({"name": "X-Heliograph-Message-Id", "value": OUR_ID})  # type: ignore[index]
    (by_header,) = (await received(topic, topic.call(told))).receipts
    assert by_header.message_id == OUR_ID
    assert by_header.receipt_id == by_id.receipt_id


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Successfully validated SNS topic for Amazon SES event publishing.", 200),
        ("no json", 400),
        ("[]", 400),
        (json.dumps({"eventType": "Bounce"}), 400),
        (json.dumps({"eventType": "Invention", "mail": {"messageId": "x"}}), 400),
        (json.dumps({"eventType": "Bounce", "mail": {"messageId": "x"}, "bounce": 7}), 200),
        (
            json.dumps(
                {"eventType": "Open", "mail": {"messageId": "x", "timestamp": "9999-99-99"}, "open": {"timestamp": 1}}
            ),
            200,
        ),
        (
            json.dumps({"eventType": "Click", "mail": {"messageId": "x\x00", "tags": 3, "headers": [1]}, "click": []}),
            200,
        ),
    ],
    ids=["greeting", "text", "list", "no message", "unknown event", "odd bounce", "odd time", "odd click"],
)
async def test_signed_text_that_is_odd_is_answered_and_never_raises(message: str, status: int) -> None:
    topic = Topic()
    result = await received(topic, topic.call(message))
    assert result.status == status
    assert all(receipt.time <= dt.datetime.now(dt.UTC) for receipt in result.receipts)


# Whose word is believed


FORGERIES = {
    "another topic": {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:mail-events"},
    "a certificate elsewhere": {
        "SigningCertURL": "https://evil.example/SimpleNotificationService-0123456789abcdef.pem"
    },
    "a host that ends alike": {"SigningCertURL": CERTIFICATE_URL.replace("sns.", "sns.evil-", 1)},
    "a host in front": {"SigningCertURL": CERTIFICATE_URL.replace("amazonaws.com", "amazonaws.com.evil.example")},
    "a user in front": {"SigningCertURL": CERTIFICATE_URL.replace("https://", "https://x@")},
    "a bucket": {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/bucket/SimpleNotificationService-0123.pem"},
    "http": {"SigningCertURL": CERTIFICATE_URL.replace("https", "http")},
    "another path": {"SigningCertURL": CERTIFICATE_URL.replace(".pem", ".pem?x=.pem")},
    "a line break": {"SigningCertURL": CERTIFICATE_URL + "\n"},
    "version 3": {"SignatureVersion": "3"},
    "no time": {"Timestamp": "yesterday"},
    "another type": {"Type": "Notification2"},
}


@pytest.mark.parametrize("changes", FORGERIES.values(), ids=FORGERIES)
async def test_what_could_be_signed_by_somebody_else_is_forged(changes: dict[str, str]) -> None:
    topic = Topic()
    with pytest.raises(Forged):
        await received(topic, topic.call(event("Bounce", BOUNCE), changes=changes))
    assert not [url for url in topic.fetched if url != CERTIFICATE_URL]


async def test_a_wrong_signature_or_another_key_is_forged() -> None:
    topic, other = Topic(), Topic(key=a_key(1))
    with pytest.raises(Forged):
        await received(topic, topic.call(event("Bounce", BOUNCE), signed=False))
    with pytest.raises(Forged):
        await received(topic, other.call(event("Bounce", BOUNCE)))
    one_byte = topic.call(event("Bounce", BOUNCE))
    with pytest.raises(Forged):
        await received(topic, replace(one_byte, body=one_byte.body.replace(b"Permanent", b"Transient")))
    as_other = topic.call(event("Bounce", BOUNCE))
    with pytest.raises(Forged):
        await received(
            topic, replace(as_other, headers={**as_other.headers, "x-amz-sns-message-type": "SubscriptionConfirmation"})
        )


@pytest.mark.parametrize(("seconds", "good"), [(-290, True), (-310, False), (3600, True), (3890, True), (3910, False)])
async def test_a_message_of_this_hour_is_believed_because_sns_repeats_for_an_hour(seconds: int, good: bool) -> None:
    topic = Topic()
    when = (topic.now - dt.timedelta(seconds=seconds)).isoformat()
    call = topic.call(event("Bounce", BOUNCE), changes={"Timestamp": when})
    if good:
        assert (await received(topic, call)).receipts
    else:
        with pytest.raises(Forged):
            await received(topic, call)


async def test_an_expired_certificate_signs_nothing() -> None:
    for age in (dt.timedelta(days=31), dt.timedelta(days=-1)):
        topic = Topic(age=age)
        with pytest.raises(Forged):
            await received(topic, topic.call(event("Bounce", BOUNCE)))


async def test_a_certificate_is_fetched_once() -> None:
    topic = Topic()
    async with sender_for("https://ses.example", topic, topic_arn=TOPIC) as opened:
        calls = [topic.call(event("Open", {**VISIT, "ipAddress": f"192.0.2.{n}"})) for n in range(20)]
        results = await asyncio.gather(*map(opened.receive, calls))
    assert len({result.receipts[0].receipt_id for result in results}) == 20
    assert topic.fetched == [CERTIFICATE_URL]


async def test_while_the_certificate_cannot_be_had_the_caller_is_to_come_again() -> None:
    topic = Topic(away=True)
    result = await received(topic, topic.call(event("Bounce", BOUNCE)))
    assert (result.status, result.receipts) == (503, ())


async def test_a_subscription_is_confirmed_for_the_topic_of_the_settings_only() -> None:
    topic = Topic()
    call = topic.call("You have chosen to subscribe", kind="SubscriptionConfirmation")
    assert (await received(topic, call)).status == 200
    token = json.loads(call.body)["Token"]
    # Not the address in the message, which could lead anywhere.
    assert topic.fetched == [CERTIFICATE_URL, confirmation_url(TOPIC, token)]
    assert topic.fetched[1].startswith(
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn%3Aaws"
    )
    other = Topic()
    with pytest.raises(Forged):
        await received(other, other.call("x", kind="SubscriptionConfirmation", changes={"TopicArn": TOPIC + "-other"}))
    assert other.fetched == []


async def test_a_subscription_that_cannot_be_confirmed_now_is_asked_for_again() -> None:
    topic = Topic()
    async with sender_for("https://ses.example", topic, topic_arn=TOPIC) as opened:
        await opened.receive(topic.call(event("Bounce", BOUNCE)))
        topic.away = True
        result = await opened.receive(topic.call("x", kind="SubscriptionConfirmation"))
    assert result.status == 503


async def test_the_end_of_a_subscription_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    topic = Topic()
    assert (await received(topic, topic.call("x", kind="UnsubscribeConfirmation"))).status == 200
    assert "no longer subscribed" in caplog.text
    assert topic.fetched == [CERTIFICATE_URL]


async def test_without_a_topic_there_is_no_webhook() -> None:
    topic = Topic()
    result = await received(topic, topic.call(event("Bounce", BOUNCE)), topic_arn="")
    assert (result.status, result.receipts) == (404, ())

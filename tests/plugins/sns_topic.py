"""SNS as its subscribers see it: messages of a topic, signed with a key whose certificate lies at an address of SNS."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from heliograph_channel_ses.sns import FetchFailed
from heliograph_channels import WebhookRequest

TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail-events"
CERTIFICATE_URL = (
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
)
_SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    "UnsubscribeConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


@cache
def a_key(number: int) -> rsa.RSAPrivateKey:
    """Return one of several keys; making one takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Topic:
    """A topic with its signing key; `fetch` stands for the network and notes what was asked for."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    age: dt.timedelta = dt.timedelta(days=1)
    fetched: list[str] = field(default_factory=list)
    away: bool = False
    key: rsa.RSAPrivateKey = field(default_factory=lambda: a_key(0))

    @cached_property
    def certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(self.now - self.age)
            .not_valid_after(self.now - self.age + dt.timedelta(days=30))
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.away:
            raise FetchFailed("sns answered 500")
        return self.certificate if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"

    def call(
        self,
        message: str | dict[str, object],
        *,
        kind: str = "Notification",
        version: str = "1",
        signed: bool = True,
        changes: Mapping[str, str] = MappingProxyType({}),
    ) -> WebhookRequest:
        """Build a delivery in the order of fields that SNS writes. `changes` replace fields before they are signed."""
        text = message if isinstance(message, str) else json.dumps(message)
        fields: dict[str, str] = {"Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC}
        if kind != "Notification":
            fields["Token"] = "2336412f37" * 8
            fields["SubscribeURL"] = "https://evil.example/?Action=ConfirmSubscription"
        fields["Message"] = text
        fields["Timestamp"] = self.now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        fields["SignatureVersion"] = version
        fields["SigningCertURL"] = CERTIFICATE_URL
        fields |= dict(changes)
        plain = "".join(f"{name}\n{fields[name]}\n" for name in _SIGNED[kind] if name in fields)
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()
        signature = self.key.sign(plain.encode(), padding.PKCS1v15(), digest) if signed else b"no signature" * 20
        fields["Signature"] = b64encode(signature).decode()
        headers = {
            "x-amz-sns-message-type": kind,
            "x-amz-sns-topic-arn": fields["TopicArn"],
            "content-type": "text/plain",
        }
        return WebhookRequest("POST", "https://heliograph.example/hooks/x", headers, json.dumps(fields).encode())


OUR_ID, SES_ID = "0123456789abcdef0123456789abcdef", "0107019-000001-000000"


def event(
    kind: str, part: dict[str, object] | None = None, *, name: str = "", tagged: bool = True
) -> dict[str, object]:
    """Build an event of SES's event publishing, with the fields its documentation shows."""
    mail: dict[str, object] = {
        "timestamp": "2026-03-01T12:00:00.000Z",
        "source": "News <news@example.com>",
        "sourceArn": "arn:aws:ses:eu-central-1:123456789012:identity/example.com",
        "sendingAccountId": "123456789012",
        "messageId": SES_ID,
        "destination": ["ann@example.com"],
        "headersTruncated": False,
        "headers": [{"name": "From", "value": "News <news@example.com>"}],
        "commonHeaders": {"from": ["News <news@example.com>"], "subject": "News"},
    }
    if tagged:
        mail["tags"] = {"ses:configuration-set": ["set"], "heliograph_message_id": [OUR_ID]}
    told: dict[str, object] = {"eventType": kind, "mail": mail}
    if part is not None:
        told[name or kind.lower()] = part
    return told


BOUNCE: dict[str, object] = {
    "bounceType": "Permanent",
    "bounceSubType": "General",
    "bouncedRecipients": [
        {
            "emailAddress": "ann@example.com",
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown",
        }
    ],
    "timestamp": "2026-03-01T12:00:05.500Z",
    "feedbackId": "0100017-61b59c11-000000",
    "reportingMTA": "dsn; mta.example.com",
}

"""Messages of Amazon SNS: what they are, and whether SNS signed them.

The certificate is fetched over https from a host that belongs to SNS and from no other place, so that nobody can sign with
a key of their own; and the topic must be the configured one, since anybody with an account can have SNS sign a message.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from heliograph_channels import Forged

__all__ = ["Fetch", "FetchFailed", "SnsVerifier", "confirmation_url", "parsed"]

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets the body behind an https address; raises FetchFailed when it is not answered with 200."""

_CERTIFICATE_URL = re.compile(
    r"https://sns\.[a-z]{2}(?:-[a-z]+)+-\d\.amazonaws\.com(?:\.cn)?/SimpleNotificationService-[0-9A-Za-z-]{1,64}\.pem"
)
_TOPIC = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{3,40}):\d{12}:[A-Za-z0-9_.-]{1,256}")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
# SNS repeats a delivery for at most 3,600 s with the time and signature of the first, so five minutes would lose what came
# while we were away. What is repeated within the hour is dropped by its receipt ids.
_OLDEST = timedelta(seconds=3600 + 300)
_MOST_AHEAD = timedelta(minutes=5)
_MOST_CERTIFICATES = 8


class FetchFailed(Exception):
    """An address did not answer as it should."""


def parsed(body: bytes) -> dict[str, str]:
    """Return the fields of a message that are text; empty when it is no JSON object."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str)}


def confirmation_url(topic_arn: str, token: str) -> str:
    """Return the address that confirms a subscription. It is built here: an address that came in is never called."""
    match = _TOPIC.fullmatch(topic_arn)
    if match is None:
        raise ValueError("the topic ARN is malformed")
    host = f"sns.{match[2]}.amazonaws.com" + (".cn" if match[1] == "aws-cn" else "")
    return (
        f"https://{host}/?Action=ConfirmSubscription&TopicArn={quote(topic_arn, safe='')}&Token={quote(token, safe='')}"
    )


class SnsVerifier:
    """Checks signatures; keeps the certificates it has seen."""

    def __init__(self, topic_arn: str, fetch: Fetch) -> None:
        """Take the only topic that is listened to, and how to get a certificate."""
        self._topic_arn = topic_arn
        self._fetch = fetch
        self._certificates: dict[str, x509.Certificate] = {}
        self._lock = asyncio.Lock()

    async def check(self, fields: Mapping[str, str], now: datetime) -> None:
        """Return when the message is of the topic, signed by SNS, and of this hour.

        Raises:
            Forged: it is not.
            FetchFailed: the certificate cannot be had now.
        """
        names = _SIGNED.get(fields.get("Type", ""))
        if names is None:
            raise Forged("the message has no type of SNS")
        if fields.get("TopicArn") != self._topic_arn:
            raise Forged("the message is not of the topic in the settings")
        url = fields.get("SigningCertURL") or fields.get("SigningCertUrl") or ""
        if not _CERTIFICATE_URL.fullmatch(url):
            raise Forged("the certificate is not at a place of SNS")
        _check_time(fields.get("Timestamp", ""), now)
        digest = _digest(fields.get("SignatureVersion", ""))
        try:
            signature = b64decode(fields.get("Signature", ""), validate=True)
        except (binascii.Error, ValueError):
            raise Forged("the signature is not base64") from None
        text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
        key = await self._key(url, now)
        try:
            key.verify(signature, text.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), digest)
        except InvalidSignature:
            raise Forged("the signature is not that of SNS") from None

    async def _key(self, url: str, now: datetime) -> rsa.RSAPublicKey:
        async with self._lock:  # a burst of notifications fetches a new certificate once
            certificate = self._certificates.get(url)
            if certificate is None:
                try:
                    certificate = x509.load_pem_x509_certificate(await self._fetch(url))
                except ValueError:
                    raise FetchFailed("what SNS has for its certificate is none") from None
                if len(self._certificates) >= _MOST_CERTIFICATES:
                    self._certificates.clear()
                self._certificates[url] = certificate
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Forged("the certificate is not valid now")
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("the certificate holds another kind of key")
        return key


def _digest(version: str) -> hashes.HashAlgorithm:
    if version == "2":
        return hashes.SHA256()
    if version == "1":
        return hashes.SHA1()  # noqa: S303 (the only one SNS offers unless the topic is set to version 2)
    raise Forged("the signature has a version we do not know")


def _check_time(text: str, now: datetime) -> None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Forged("the message has no time") from None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    if not now - _OLDEST <= when <= now + _MOST_AHEAD:
        raise Forged("the message is too old or not of this time")

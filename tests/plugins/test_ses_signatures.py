"""Signatures of the channel SES: the ones that botocore makes, and no secret in sight."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channel_ses.sigv4 import Credentials, signed
from heliograph_channels import Rejected, RejectReason
from tests.plugins.ses_sender import mail, sender_for
from tests.plugins.ses_server import ACCESS_KEY, SECRET, SesServer


@pytest.mark.parametrize("token", ["", "session-token/with+signs=="])
@pytest.mark.parametrize(
    ("url", "method", "body"),
    [
        ("https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails", "POST", b'{"a": 1}'),
        ("https://email.us-east-1.amazonaws.com/v2/email/account", "GET", b""),
        ("http://127.0.0.1:8080/v2/email/account", "GET", b""),
        ("https://example.com", "GET", b""),
        ("https://example.com/a%20b/%C3%A9?z=1&a=%2F&a=b&empty", "PUT", b"\xff\x00" * 1000),
    ],
    ids=["send", "account", "port", "no path", "query"],
)
def test_a_signature_is_the_one_botocore_makes(url: str, method: str, body: bytes, token: str) -> None:
    headers = {"Content-Type": "application/json", "X-Two": "  two   blanks "}
    now = dt.datetime(2026, 3, 1, 23, 59, 59, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    assert_same_as_botocore(method, url, headers, body, token, now)


@given(
    body=st.binary(max_size=200),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50),
    path=st.text(st.characters(codec="ascii", categories=["L", "Nd"], include_characters="-_.~/"), max_size=40),
    seconds=st.integers(min_value=1_577_836_800, max_value=4_000_000_000),
)
def test_any_request_is_signed_as_botocore_signs_it(body: bytes, value: str, path: str, seconds: int) -> None:
    now = dt.datetime.fromtimestamp(seconds, dt.UTC)
    clean = "/".join(part for part in path.split("/") if part.strip("."))  # botocore resolves "..": we never send one
    assert_same_as_botocore("POST", f"https://host.example/{clean}", {"X-Value": value}, body, "", now)


def assert_same_as_botocore(
    method: str, url: str, headers: dict[str, str], body: bytes, token: str, now: dt.datetime
) -> None:
    ours = signed(
        method, url, headers, body, credentials=Credentials(ACCESS_KEY, SECRET, token), region="eu-central-1",
        service="ses", now=now,
    )  # fmt: skip
    request = AWSRequest(method, url, headers={n: v for n, v in ours.items() if n != "Authorization"}, data=body)
    request.context["timestamp"] = ours["X-Amz-Date"]
    signer = SigV4Auth(BotoCredentials(ACCESS_KEY, SECRET, token or None), "ses", "eu-central-1")
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].rpartition("Signature=")[2] == expected


async def test_a_wrong_secret_is_credentials_and_never_shown() -> None:
    async with (
        SesServer().running() as server,
        sender_for(server.url, secret_access_key="hunter2-is-wrong-here") as opened,
    ):
        (result,) = await opened.send_batch([mail()])
        health = await opened.health()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, True)
    assert not health.ok
    assert "hunter2" not in repr([result, health, opened, opened.__dict__])

"""Settings of the channel: who we are to Apple, and where Apple is."""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channels import Problem
from heliograph_channels.call_settings import CA_FILE, TIMEOUT
from heliograph_channels.http_client import base_url_problem
from heliograph_channels.jwt import signing_key

__all__ = ["BATCH", "SCHEMA", "problems", "tls_context"]

BATCH = 100
"""Messages in one `send_batch`: each is a stream of its own, and all of them are under way at once."""
_TOKEN = ("team_id", "key_id", "token_key")
_CERTIFICATE = ("certificate", "private_key")
_URL = re.compile(r"https://[^/?#@]+/?")

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["bundle_id"],
    "properties": {
        "bundle_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": "^[A-Za-z0-9.-]+$",
            "description": "The app's bundle id (com.example.app): what messages are about, their topic.",
        },
        "team_id": {
            "type": "string",
            "pattern": "^[A-Z0-9]{10}$",
            "description": "The developer team, 10 characters; with key_id and token_key.",
        },
        "key_id": {
            "type": "string",
            "pattern": "^[A-Z0-9]{10}$",
            "description": "Which of the team's keys token_key is, 10 characters.",
        },
        "token_key": {
            "type": "string",
            "minLength": 1,
            "maxLength": 10000,
            "writeOnly": True,
            "description": "The key for push notifications (AuthKey_....p8) as text. It never ends; preferred to a certificate.",
        },
        "certificate": {
            "type": "string",
            "minLength": 1,
            "maxLength": 50000,
            "description": "The certificate for push notifications as PEM, for whoever has no token_key.",
        },
        "private_key": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20000,
            "writeOnly": True,
            "description": "The certificate's key as PEM, without a password.",
        },
        "base_url": {
            "type": "string",
            "minLength": 1,
            "default": "https://api.push.apple.com",
            "description": "Where APNS and APNS_VOIP are; a port other than 443 may follow (Apple has 2197, too).",
        },
        "sandbox_url": {
            "type": "string",
            "minLength": 1,
            "default": "https://api.sandbox.push.apple.com",
            "description": "Where APNS_SANDBOX and APNS_VOIP_SANDBOX are: apps that were built for development.",
        },
        "ca_file": CA_FILE,
        "timeout": TIMEOUT,
        "streams": {
            "type": "integer",
            "minimum": BATCH,
            "maximum": 10000,
            "default": 500,
            "description": "Most calls under way at once in one worker and environment, all on one connection; Apple may allow fewer.",
        },
    },
}


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: keys, addresses, and that there is one whole way to prove who we are."""
    given = {name for name in (*_TOKEN, *_CERTIFICATE) if settings.get(name)}
    for way in (_TOKEN, _CERTIFICATE):
        if given & set(way):
            yield from (Problem(name, f"is required with {min(given & set(way))}") for name in way if name not in given)
    if not given:
        yield Problem("token_key", "is required, with team_id and key_id; or certificate and private_key")
    token_key = settings.get("token_key")
    if isinstance(token_key, str) and token_key and not isinstance(signing_key(token_key), ec.EllipticCurvePrivateKey):
        yield Problem("token_key", "must be the PEM text of a .p8 file from Apple: a key on the curve P-256")
    yield from _certificate_problems(settings.get("certificate"), settings.get("private_key"))
    for name in ("base_url", "sandbox_url"):
        url = settings.get(name)
        if isinstance(url, str) and url and (not _URL.fullmatch(url) or base_url_problem(url) or not _has_port(url)):
            yield Problem(name, "must be like https://api.push.apple.com, with a port if need be and nothing else")


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _certificate_problems(certificate: object, private_key: object) -> Iterator[Problem]:
    certificates: list[x509.Certificate] = []
    if isinstance(certificate, str) and certificate:
        try:
            certificates = x509.load_pem_x509_certificates(certificate.encode())
        except ValueError:
            yield Problem("certificate", "must be a certificate as PEM")
    if not isinstance(private_key, str) or not private_key:
        return
    key = signing_key(private_key)
    if key is None:
        yield Problem("private_key", "must be a key as PEM without a password, RSA of 2,048 bits or more, or P-256")
    elif certificates and _public(key.public_key()) != _public(certificates[0].public_key()):
        yield Problem("private_key", "does not belong to the certificate")


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def tls_context(settings: Mapping[str, object]) -> ssl.SSLContext:
    """Return how to speak TLS with Apple: HTTP/2 only; with our certificate when there is no token_key.

    Raises:
        OSError: `ca_file` cannot be read.
    """
    ca_file = settings.get("ca_file")
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.set_alpn_protocols(["h2"])
    if settings.get("certificate") and not settings.get("token_key"):
        # Python reads certificates from files only: one that nobody else may read, for as long as the reading takes.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{settings['private_key']}\n{settings['certificate']}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context

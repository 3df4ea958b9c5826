"""Whether a webhook comes from Twilio (Twilio's guide "Webhooks Security"; pinpoint has no counterpart)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from heliograph_channels import Forged, WebhookRequest

__all__ = ["checked_fields", "signature"]

_PORTS = {"https": 443, "http": 80}
_MOST_FIELDS = 500


def signature(token: str, url: str, fields: Mapping[str, Sequence[str]]) -> str:
    """Return the value of `X-Twilio-Signature`: Base64 of HMAC-SHA1 over the address and the sorted fields.

    Of a field that comes more than once each different value counts once, in order.
    """
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    return base64.b64encode(hmac.new(token.encode(), text.encode("utf-8", "replace"), hashlib.sha1).digest()).decode()


def checked_fields(request: WebhookRequest, token: str) -> dict[str, str]:
    """Return the fields of a call, once it is proved to be Twilio's; of a repeated field the first.

    They are in the body (a form), and in the query of a GET. A call whose query holds `bodySHA256` is signed by its
    address alone, and its body (a form or a JSON object) by that hash.

    Raises:
        Forged: the signature is missing or wrong.
    """
    given = request.headers.get("x-twilio-signature", "")
    if not given:
        raise Forged("the call has no X-Twilio-Signature")
    try:
        query = parse_qs(urlsplit(request.url).query, keep_blank_values=True)
        digest = query.get("bodySHA256", [""])[0]
        covered = {} if digest else _form(request.body)
    except ValueError as error:
        raise Forged("the call is neither a form nor signed by the hash of its body") from error
    # Twilio signs an address with its usual port spelled out at times, and at times without.
    expected = [signature(token, url, covered) for url in _spellings(request.url)]
    fits = [hmac.compare_digest(one.encode(), given.encode("utf-8", "replace")) for one in expected]
    if digest:
        hashed = hashlib.sha256(request.body).hexdigest()
        fits = [any(fits) and hmac.compare_digest(hashed.encode(), digest.lower().encode("utf-8", "replace"))]
    if not any(fits):
        raise Forged("the X-Twilio-Signature does not fit")
    if request.method == "GET":
        covered = query
    elif digest:
        covered = _hashed_fields(request)
    return {name: _stored(values[0]) for name, values in covered.items()}


def _stored(text: str) -> str:
    """Return a text that can be stored: half characters and zeros cannot."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _form(body: bytes) -> dict[str, list[str]]:
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _hashed_fields(request: WebhookRequest) -> dict[str, list[str]]:
    try:
        if "json" not in request.headers.get("content-type", ""):
            return _form(request.body)
        parsed = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {name: [str(value)] for name, value in parsed.items() if isinstance(value, str | int | float)}


def _spellings(url: str) -> Iterator[str]:
    yield url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return
    usual = _PORTS.get(parts.scheme)
    if usual is None or not parts.hostname:
        return
    if port is None:
        yield urlunsplit(parts._replace(netloc=f"{parts.netloc}:{usual}"))
    elif port == usual:
        yield urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))

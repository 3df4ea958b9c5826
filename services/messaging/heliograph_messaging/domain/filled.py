"""Contents once their values are filled in: what only then can be checked, and what is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import quote

from heliograph_messaging.domain.limits import MAX_HEADER_VALUE, json_problem

MAX_SPOKEN = 3_000
MAX_SSML = 6_000
_TAG = re.compile(r"<[^>]*>")
_URL = re.compile(r"https://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
# What may stand in an address as it is (RFC 3986), and % because an author may have encoded something already.
_URL_SAFE = "._~:/?#[]@!$&'()*+,;=%-"
_WRAPPED: Mapping[str, str] = {
    "apns": "APNSMessage", "gcm": "GCMMessage", "adm": "ADMMessage", "baidu": "BaiduMessage", "web": "WebMessage",
}  # fmt: skip


class CannotSend(ValueError):
    """This recipient's message cannot be sent; the text says why."""


def header_value(name: str, value: str) -> str:
    """Return a header's value.

    Raises:
        CannotSend: it has more than 870 characters (pinpoint-1 4.6).
    """
    if len(value) > MAX_HEADER_VALUE:
        raise CannotSend(f"the header {name} has more than {MAX_HEADER_VALUE} characters with its values")
    return value


def one_click(url: str) -> dict[str, str]:
    """Return the headers of one-click unsubscribing (RFC 8058 3.1) with this address; its odd characters are encoded.

    Raises:
        CannotSend: it is no https address, or has more than 870 characters.
    """
    encoded = quote(url, safe=_URL_SAFE)
    if not _URL.fullmatch(encoded):
        raise CannotSend("the address for unsubscribing is no https address with its values")
    return {
        "List-Unsubscribe": header_value("List-Unsubscribe", f"<{encoded}>"),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def raw_payload(platform: str, text: str) -> str:
    """Return the JSON that goes to a platform: `text`, or what stands in it under the platform's name (pinpoint-2 2.5).

    Raises:
        CannotSend: it is no JSON object; or one for APNs without `content-available` 0 or 1 (for Safari: without `url-args`),
            or that is silent and shows something.
    """
    if problem := json_problem(text):
        raise CannotSend(f"the raw content {problem} with its values")
    payload = json.loads(text)
    wrapped = payload.get(_WRAPPED.get(platform, ""))
    if isinstance(wrapped, dict) and len(payload) == 1:
        payload, text = wrapped, json.dumps(wrapped, ensure_ascii=False)
    if platform == "apns":
        _check_aps(payload.get("aps"))
    return text


def _check_aps(aps: object) -> None:
    if isinstance(aps, dict) and "url-args" in aps:
        # A website in Safari: its notifications always show something, and their values go into the address that a click opens.
        arguments = aps["url-args"]
        if not isinstance(arguments, list) or not arguments or not all(isinstance(one, str) for one in arguments):
            raise CannotSend("the raw content for Safari needs aps.url-args as a list of one text or more")
        return
    available = aps.get("content-available") if isinstance(aps, dict) else None
    if not isinstance(aps, dict) or isinstance(available, bool) or available not in (0, 1):
        raise CannotSend("the raw content for APNs needs aps.content-available, 0 or 1")
    if available == 1 and (shown := [name for name in ("alert", "badge", "sound") if name in aps]):
        raise CannotSend(f"the raw content for APNs is silent and must not hold {', '.join(shown)}")


def spoken(body: str, *, ssml: bool) -> int:
    """Count the characters that are spoken: all, or of SSML those outside of tags.

    Raises:
        CannotSend: nothing is spoken, more than 3,000 characters are, or SSML has more than 6,000 with its tags
            (pinpoint-2 2.6).
    """
    count = len(_TAG.sub("", body)) if ssml else len(body)
    if not count:
        raise CannotSend("there is nothing to say")
    if count > MAX_SPOKEN:
        raise CannotSend(f"{count:,} characters would be spoken, at most {MAX_SPOKEN:,} may be")
    if ssml and len(body) > MAX_SSML:
        raise CannotSend(f"the SSML has {len(body):,} characters, at most {MAX_SSML:,} may be sent")
    return count

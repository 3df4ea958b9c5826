"""The body of a request, bounded in size and in time."""

from __future__ import annotations

import asyncio
import re
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from starlette.requests import Request

from heliograph_gateway.errors import BodyTooLarge, BodyTooSlow

_ONE_CLICK = ("List-Unsubscribe", "One-Click")
_FIELD = re.compile(r'name="?([^";]*)"?')


async def read_body(request: Request, *, most: int, seconds: float) -> bytes:
    """Return the body of at most so many bytes.

    Raises:
        BodyTooLarge: it is larger, or says so.
        BodyTooSlow: it did not come in time.
        ClientDisconnect: the caller has gone.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise BodyTooLarge(most)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise BodyTooLarge(most)
    except TimeoutError:
        raise BodyTooSlow(seconds) from None
    return bytes(body)


def is_one_click(content_type: str, body: bytes) -> bool:
    """Tell whether a form holds `List-Unsubscribe=One-Click` (RFC 8058, both ways of writing a form)."""
    if content_type.lower().startswith("multipart/form-data"):
        return _ONE_CLICK in _parts(content_type, body)
    try:
        return _ONE_CLICK in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:  # no text, or far too many fields
        return False


def _parts(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = []
    for part in message.iter_parts() if message.is_multipart() else ():
        named = _FIELD.search(str(part.get("content-disposition", "")))
        payload = part.get_payload(decode=True)
        if named and isinstance(payload, bytes):
            fields.append((named[1], payload.decode("ascii", "replace").strip()))
    return fields

"""What comes in from outside: a provider's webhook, and the messages people send to our numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs, urlsplit, urlunsplit

from heliograph_channels.messages import Kind
from heliograph_channels.results import Receipt

__all__ = ["Forged", "InboundMessage", "Received", "WebhookRequest", "callback_url", "called_message"]

_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")


class Forged(Exception):
    """A webhook does not carry the provider's signature, or an old one; its caller is answered 403 and nothing is kept."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A call of a provider as it came in.

    `url` is the address the provider called, as it knows it (signatures cover it), query string included. Names of
    `headers` are in lower case; of a header that came more than once the values are joined by a comma and a blank.
    `body` has at most 1 MB.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a person to one of our numbers or addresses.

    `inbound_id` is the same each time the same message is reported: repetitions are dropped by it; not empty, at most
    200 characters. `origination` is the person's address, `destination` ours, both in E.164 where they are telephone
    numbers. `time` is aware UTC. `attributes` are what else the provider says, for the event.

    Raises:
        ValueError: the id is empty or too long, or `time` has no zone.
    """

    inbound_id: str
    kind: Kind
    origination: str
    destination: str
    body: str
    time: datetime
    media_urls: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a message nobody could deduplicate."""
        if not 1 <= len(self.inbound_id) <= 200:
            raise ValueError("an inbound message needs an inbound_id of at most 200 characters")
        if self.time.tzinfo is None:
            raise ValueError("an inbound message's time needs a zone")


@dataclass(frozen=True, slots=True)
class Received:
    """What a webhook said, and how its caller is answered once that is stored.

    The caller gets `status`, `body` and `content_type` only after `receipts` and `inbound` are safe; if they cannot be
    stored it gets 503 and will call again, so nothing is lost. A call that can never be understood is answered 400 with
    nothing in it.
    """

    receipts: Sequence[Receipt] = ()
    inbound: Sequence[InboundMessage] = ()
    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


def callback_url(webhook_url: str, message_id: str) -> str:
    """Return the address a provider is to call about one message: `webhook_url` with the message's id in its query.

    A receipt then names the message by our own id. It finds the message even if it comes before the provider's answer
    to the send, and even if that answer was lost: such a receipt ends the doubt.
    """
    parts = urlsplit(webhook_url)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}message_id={message_id}"))


def called_message(url: str) -> str:
    """Return the message id that `callback_url` put into an address; empty when there is none.

    Believe it only where the provider's signature covers the address.
    """
    try:
        found = parse_qs(urlsplit(url).query, max_num_fields=100).get("message_id", [""])[-1]
    except ValueError:
        return ""
    return found if _MESSAGE_ID.fullmatch(found) else ""

"""Tracked links: the picture that tells of opens, clicks, unsubscribing. GET never changes anything but a count."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.messaging.v1 import edge_pb2
from heliograph_gateway.domain.callers import is_person
from heliograph_gateway.domain.tokens import CLICKS, LinkKind, location_of
from heliograph_gateway.errors import MessagingAway, NotConfirmed, NothingHere
from heliograph_gateway.service.keys import Keys
from heliograph_gateway.service.messaging import Messaging
from heliograph_gateway.service.recorder import Recorder, event_of
from heliograph_gateway.servicers.bodies import is_one_click, read_body
from heliograph_gateway.servicers.pages import HEADERS, ask_to_confirm, unsubscribed

_PICTURE = base64.b64decode("R0lGODlhAQABAIAAAP///////yH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")
_PICTURE_HEADERS = {
    "cache-control": "no-store, no-cache, must-revalidate, max-age=0",
    "pragma": "no-cache",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_OPENS = frozenset({LinkKind.OPEN})
_UNSUBSCRIPTIONS = frozenset({LinkKind.UNSUBSCRIBE})
_FORM_BYTES = 16 * 1024


class TrackingRoutes:
    """What people do with the links of their messages."""

    def __init__(
        self,
        keys: Keys,
        recorder: Recorder,
        messaging: Messaging,
        now: Callable[[], datetime],
        *,
        body_seconds: float,
    ) -> None:
        """Take what reads tokens, what records, who opts people out, and the product's time."""
        self._keys = keys
        self._recorder = recorder
        self._messaging = messaging
        self._now = now
        self._body_seconds = body_seconds

    def routes(self) -> list[Route]:
        """Return the routes. A GET route answers HEAD too."""
        return [
            Route("/o/{token}.gif", self.open, methods=["GET"]),
            Route("/c/{token}", self.click, methods=["GET"]),
            Route("/u/{token}", self.ask, methods=["GET"]),
            Route("/u/{token}", self.unsubscribe, methods=["POST"]),
        ]

    async def open(self, request: Request) -> Response:
        """Answer the picture at once, whatever the token: a letter must not show a broken one because something is away."""
        token = request.path_params["token"]
        try:
            self._keys.known(token, _OPENS)
        except NothingHere:
            pass
        except MessagingAway:
            self._note(request, token)  # messaging will see whether it is good
        else:
            self._note(request, token)
        return Response(_PICTURE, 200, _PICTURE_HEADERS, "image/gif")

    async def click(self, request: Request) -> Response:
        """Lead on to where the token says; nowhere else, whatever the query says."""
        token = request.path_params["token"]
        link = await self._keys.link(token, CLICKS)
        self._note(request, token)
        return Response(b"", 302, {**HEADERS, "location": location_of(link.target)})

    async def ask(self, request: Request) -> Response:
        """Show a page with a button. Scanners follow every link: this must opt nobody out."""
        await self._keys.link(request.path_params["token"], _UNSUBSCRIPTIONS)
        return ask_to_confirm()

    async def unsubscribe(self, request: Request) -> Response:
        """Opt out: the button of the page, or a mail program for its user (RFC 8058)."""
        token = request.path_params["token"]
        body = await read_body(request, most=_FORM_BYTES, seconds=self._body_seconds)
        if not is_one_click(request.headers.get("content-type", ""), body):
            raise NotConfirmed
        # Not looked at here first: messaging does, and a key that is missing here must keep nobody subscribed.
        await self._messaging.unsubscribe(self._event(request, token))
        return unsubscribed()

    def _note(self, request: Request, token: str) -> None:
        if is_person(request.method, request.headers):
            self._recorder.add(self._event(request, token))

    def _event(self, request: Request, token: str) -> edge_pb2.TrackingEvent:
        client: Any = request.client
        return event_of(
            token,
            self._now(),
            user_agent=request.headers.get("user-agent", ""),
            ip_address=client.host if client else "",
        )

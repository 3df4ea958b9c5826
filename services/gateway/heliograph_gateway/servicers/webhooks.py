"""Calls of providers, handed to messaging as they came in; the answer is messaging's, and comes when it is stored."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph_gateway.errors import NothingHere
from heliograph_gateway.service.messaging import Messaging
from heliograph_gateway.servicers.bodies import read_body
from heliograph_gateway.servicers.calls import MAX_BODY, headers_of, target_of

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CHANNEL = re.compile(r"[A-Za-z_]{1,32}")
_ROUTE = re.compile(r"[A-Za-z0-9-]{0,63}")
_METHODS = ["GET", "POST"]


class WebhookRoutes:
    """What providers call."""

    def __init__(self, messaging: Messaging, *, body_seconds: float) -> None:
        """Take who understands the calls."""
        self._messaging = messaging
        self._body_seconds = body_seconds

    def routes(self) -> list[Route]:
        """Return the routes; HEAD goes with GET."""
        return [
            Route("/hooks/{project}/{channel}", self.receive, methods=_METHODS),
            Route("/hooks/{project}/{channel}/{route}", self.receive, methods=_METHODS),
        ]

    async def receive(self, request: Request) -> Response:
        """Hand one call over."""
        project, channel = request.path_params["project"], request.path_params["channel"]
        route = request.path_params.get("route", "")
        good = _PROJECT.fullmatch(project) and _CHANNEL.fullmatch(channel) and _ROUTE.fullmatch(route)
        if not good:
            raise NothingHere
        body = await read_body(request, most=MAX_BODY, seconds=self._body_seconds)
        answer = await self._messaging.receive(
            f"projects/{project}/channels/{channel.upper()}",
            route,
            method=request.method,
            target=target_of(request),
            headers=headers_of(request),
            body=body,
        )
        return Response(answer.body, answer.status, {"cache-control": "no-store"}, answer.content_type or "text/plain")

"""The HTTP application: routes, and around each request a span, a measurement and the translation of refusals."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heliograph_gateway.errors import (
    BodyTooLarge,
    BodyTooSlow,
    MessagingAway,
    NotConfirmed,
    NothingHere,
    Refusal,
    RegistryAway,
)
from heliograph_gateway.servicers.pages import refusal
from heliograph_kit.telemetry import extract, histogram, trace_id, tracer

_RETRY_AFTER_SECONDS = 5
_TITLES = {
    400: "This cannot be done",
    404: "Nothing here",
    405: "This cannot be done",
    408: "Too slow",
    413: "Too large",
    503: "Not now",
}
# What is left of the body is not wanted: the connection ends with the answer.
_ENDS = frozenset({408, 413})

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)
_requests = histogram("heliograph.gateway.requests")


def make_app(routes: Sequence[Route], ready: Callable[[], bool]) -> Starlette:
    """Return the application; `ready` tells whether requests should be sent here."""
    handlers: dict[Any, Any] = dict.fromkeys(
        (NothingHere, MessagingAway, RegistryAway, NotConfirmed, BodyTooLarge, BodyTooSlow), _refused
    )
    return Starlette(
        routes=[*_health(ready), *routes],
        middleware=[Middleware(Observed)],
        exception_handlers={**handlers, HTTPException: _not_routed, ClientDisconnect: _gone, Exception: _failed},
    )


def _health(ready: Callable[[], bool]) -> list[Route]:
    async def live(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def is_ready(_request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", 503)

    async def robots(_request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    return [Route("/livez", live), Route("/readyz", is_ready), Route("/robots.txt", robots)]


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    retry = _RETRY_AFTER_SECONDS if isinstance(error, MessagingAway | RegistryAway) else None
    page = refusal(error.status, _TITLES[error.status], error.message, retry_after=retry)
    if error.status in _ENDS:
        page.headers["connection"] = "close"
    return page


async def _not_routed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    page = refusal(error.status_code, _TITLES.get(error.status_code, "This cannot be done"), "there is nothing here")
    page.headers.update(error.headers or {})
    return page


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _failed(_request: Request, error: Exception) -> Response:
    _log.error("request failed", exc_info=error)
    return refusal(500, "Something went wrong", f"Tell the operator: {trace_id()}")


class Observed:
    """Traces and measures each request. Neither spans nor series carry a token: they belong to people."""

    def __init__(self, app: ASGIApp) -> None:
        """Take what answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as a child of whoever sent it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = extract({name: value for name, value in headers.items() if name in ("traceparent", "tracestate")})
        span = _tracer.start_span(scope["method"], parent, trace.SpanKind.SERVER)
        token = context_api.attach(trace.set_span_in_context(span, parent))
        try:
            await self._app(scope, receive, noting)
        finally:
            context_api.detach(token)
            route, status = _route_of(scope), status or 500
            attributes = {
                "http.request.method": scope["method"] if scope["method"] in _METHODS else "_OTHER",
                "http.route": route,
                "http.response.status_code": str(status),
            }
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes(attributes)
            if status >= 500:
                span.set_status(trace.StatusCode.ERROR)
            span.end()
            _requests.record(time.perf_counter() - began, attributes)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def _route_of(scope: Scope) -> str:
    """Return the route without what fills it; a path nobody serves has none."""
    endpoint = scope.get("endpoint")
    first = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
    return f"/{first}" if endpoint is not None else "(none)"

"""Calls of registries, handed to the 10DLC registry as they came in; answered when its decisions are written down."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from heliograph_gateway.errors import NothingHere
from heliograph_gateway.service.registry import Registry
from heliograph_gateway.servicers.bodies import read_body
from heliograph_gateway.servicers.calls import MAX_BODY, headers_of, target_of

_REGISTRAR = re.compile(r"[a-z][a-z0-9-]{0,62}")
_WORDS = {200: "ok\n", 400: "this cannot be read\n", 403: "forbidden\n"}


class RegistrarRoutes:
    """What registries, and providers that register, call."""

    def __init__(self, registry: Registry, *, body_seconds: float) -> None:
        """Take who understands the calls."""
        self._registry = registry
        self._body_seconds = body_seconds

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/registrars/{registrar}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Hand one call over."""
        registrar = request.path_params["registrar"]
        if not _REGISTRAR.fullmatch(registrar):
            raise NothingHere
        body = await read_body(request, most=MAX_BODY, seconds=self._body_seconds)
        status = await self._registry.receive(
            registrar, method=request.method, target=target_of(request), headers=headers_of(request), body=body
        )
        return PlainTextResponse(_WORDS.get(status, ""), status, {"cache-control": "no-store"})

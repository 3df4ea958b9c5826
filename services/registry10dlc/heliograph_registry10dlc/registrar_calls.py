"""The use case of calls that a registrar gets from outside: understood by the plugin, then written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from heliograph_channels import Decision, Forged, Registrar, WebhookRequest
from heliograph_kit.clock import Clock
from heliograph_kit.errors import NotFound, Unavailable

Take = Callable[[Sequence[Decision]], Awaitable[int]]
"""Write decisions down and return how many moves that made. Safe to repeat."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """How the caller is to be answered: an HTTP status, and how many moves the call led to."""

    status: int
    moves: int = 0


class RegistrarCalls:
    """Takes calls for the registrar that is in use."""

    def __init__(
        self, *, registrar: Registrar, take: Take, clock: Clock, public_url: str = "", seconds: float = 10.0
    ) -> None:
        """Take the plugin and who writes decisions down.

        `public_url` is the address under which the gateway is reached from outside, without a slash at the end;
        `seconds` is how long the plugin may take to understand a call.
        """
        self._registrar = registrar
        self._take = take
        self._clock = clock
        self._public_url = public_url
        self._seconds = seconds

    async def receive(self, registrar: str, call: WebhookRequest) -> Answer:
        """Let the plugin understand a call, write down what it tells, and return the answer. Safe to repeat.

        `call.url` is path and query as they were called.

        Raises:
            NotFound: no registrar of this name is in use.
            Unavailable: the plugin does not answer, so the registry has to call again.
        """
        if registrar != self._registrar.name:
            raise NotFound("no such registrar is in use", resource_type="registrar", resource=registrar)
        request = WebhookRequest(call.method, self._public_url + call.url, call.headers, call.body)
        try:
            async with asyncio.timeout(self._seconds):
                decisions = await self._registrar.webhook(request, self._clock.now())
        except Forged as error:
            _log.warning("a call for registrar %s is forged: %s", registrar, error)
            return Answer(403)
        except ValueError as error:
            _log.warning("a call for registrar %s cannot be read: %s", registrar, error)
            return Answer(400)
        except Exception as error:  # whatever a plugin raises: the registry calls again
            _log.warning("registrar %s did not understand a call", registrar, exc_info=True)
            raise Unavailable("the registrar does not answer; call again", dependency="registrar") from error
        return Answer(200, await self._take(decisions) if decisions else 0)

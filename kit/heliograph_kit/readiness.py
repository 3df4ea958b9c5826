"""Ready means that everything the process cannot work without answers a ping."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

PING_TIMEOUT_SECONDS = 3.0
PING_EVERY_SECONDS = 2.0

Ping = Callable[[], Awaitable[None]]


async def failing(pings: Mapping[str, Ping]) -> dict[str, str]:
    """Ping all at once; return the names of those that fail with what they said, empty when all is well."""

    async def said(ping: Ping) -> str | None:
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                await ping()
        except TimeoutError:
            return f"no answer within {PING_TIMEOUT_SECONDS:g} s"
        except Exception as error:  # whatever a dependency's driver raises, it is not there
            return str(error) or type(error).__name__
        return None

    answers = await asyncio.gather(*(said(ping) for ping in pings.values()))
    return {name: answer for name, answer in zip(pings, answers, strict=True) if answer is not None}


async def watch_readiness(
    pings: Mapping[str, Ping],
    announce: Callable[[bool], Awaitable[None]],
    stopping: asyncio.Event,
    *,
    every_seconds: float = PING_EVERY_SECONDS,
) -> None:
    """Announce each change until told to stop; the first round counts as one."""
    ready: bool | None = None
    while not stopping.is_set():
        troubles = await failing(pings)
        if stopping.is_set():
            return  # the stop has announced the end; nothing may come after it
        if ready != (not troubles):
            ready = not troubles
            if troubles:
                log.warning("not ready", extra={"failing": troubles})
            else:
                log.info("ready")
            await announce(ready)
        try:
            # While away, look more often: everybody waits for it.
            async with asyncio.timeout(every_seconds if ready else every_seconds / 8):
                await stopping.wait()
        except TimeoutError:
            pass

"""A service of one RPC without a database, run as a real process by the runtime's tests."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any, ClassVar

from heliograph_kit.auth import KeyInvalid, Principal
from heliograph_kit.runtime import Runtime, run_service
from heliograph_kit.settings import ServiceSettings
from tests.kit.rpc.echo import SERVICE, Echo, add_echo

_log = logging.getLogger(__name__)


class TinySettings(ServiceSettings):
    """Settings of the service for tests."""

    service: ClassVar[str] = "tiny"


class Nobody:
    """Knows no key."""

    async def authenticate(self, key: str) -> Principal:
        raise KeyInvalid()


async def _slow(request: Any, _context: Any) -> None:
    if request.text == "slow":
        _log.info("%d objects are frozen, rounds begin at %s", gc.get_freeze_count(), gc.get_threshold())
        await asyncio.sleep(1)


async def build(runtime: Runtime[TinySettings]) -> None:
    """Wire the service."""
    runtime.authenticator = Nobody()
    runtime.add_servicer(add_echo, Echo(_slow), SERVICE)


if __name__ == "__main__":
    run_service(TinySettings, build, package="tests.kit.rpc", metadata=None)

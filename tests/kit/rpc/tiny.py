"""A service of one RPC without a database, run as a real process by the runtime's tests."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from heliograph_kit.auth import KeyInvalid, Principal
from heliograph_kit.runtime import Runtime, run_service
from heliograph_kit.settings import ServiceSettings
from tests.kit.rpc.echo import SERVICE, Echo, add_echo


class TinySettings(ServiceSettings):
    """Settings of the service for tests."""

    service: ClassVar[str] = "tiny"


class Nobody:
    """Knows no key."""

    async def authenticate(self, key: str) -> Principal:
        raise KeyInvalid()


async def _slow(request: Any, _context: Any) -> None:
    if request.text == "slow":
        await asyncio.sleep(1)


async def build(runtime: Runtime[TinySettings]) -> None:
    """Wire the service."""
    runtime.authenticator = Nobody()
    runtime.add_servicer(add_echo, Echo(_slow), SERVICE)


if __name__ == "__main__":
    run_service(TinySettings, build, package="tests.kit.rpc", metadata=None)

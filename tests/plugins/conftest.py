"""What the tests of several channels share: a certificate, and the servers of providers that speak TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.plugins.apns_peer import FakeApple
from tests.plugins.http2_peer import tls_of
from tests.plugins.push_service import FakePushService
from tests.plugins.smtp_sender import plain_server, secure_server
from tests.plugins.smtp_servers import make_certificate

__all__ = ["apple", "certificate", "plain_server", "push_service", "secure_server"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody vouches for but who is given its file, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture
async def apple(certificate: tuple[Path, Path]) -> AsyncIterator[FakeApple]:
    """Apple's server over HTTP/2."""
    async with FakeApple().running(tls_of(certificate)) as peer:
        yield peer


@pytest_asyncio.fixture
async def push_service(certificate: tuple[Path, Path]) -> AsyncIterator[FakePushService]:
    """A push service of browsers over HTTP/1.1."""
    async with FakePushService().running(tls_of(certificate, protocol="http/1.1")) as peer:
        yield peer

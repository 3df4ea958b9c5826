"""The messaging service in the test's own event loop, on a real database and a real bus, with a plugin under control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from heliograph.messaging.v1 import (
    channels_pb2_grpc,
    edge_pb2_grpc,
    files_pb2_grpc,
    messages_pb2_grpc,
    opt_outs_pb2_grpc,
    origination_pb2_grpc,
    otp_pb2_grpc,
    phone_numbers_pb2_grpc,
    suppressions_pb2_grpc,
    templates_pb2_grpc,
)
from heliograph_channels import ChannelProvider
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import running
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_messaging import main
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.providers import load_catalogue
from heliograph_messaging.tables import metadata
from tests.messaging.hostile_campaign import hostile, hostile_site, nothing_left
from tests.messaging.isolated import echo_site, load
from tests.messaging.scripted import ScriptedChannel
from tests.messaging.service_at_hand import PARENT, PROJECT, SECRET, Service, Started, Values, a_batch

__all__ = [
    "PARENT",
    "PROJECT",
    "SECRET",
    "Service",
    "Started",
    "Values",
    "a_batch",
    "echo_site",
    "hostile",
    "hostile_site",
    "load",
    "nothing_left",
]


@pytest.fixture
def values(migrated_database: MigratedDatabase, nats_url: str, tmp_path: Path) -> Values:
    """Settings of a service on a fresh database, with short pauses."""
    return {
        "database_url": migrated_database((main.PACKAGE, "messaging")),
        "nats_url": nats_url,
        "listen": "127.0.0.1:0",
        "internal_secret": SECRET,
        "drain_seconds": 0,
        "shutdown_grace_seconds": 3,
        "secret_key": "k" * 32,
        "retry_first_seconds": 0.05,
        "retry_longest_seconds": 0.2,
        "breaker_pause_seconds": 0.2,
        "lease_seconds": 3,
    }


@pytest_asyncio.fixture
async def start(values: Values, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Started]:
    """Start services; all of them see the same two scripted plugins beside the simulator."""
    scripted, second = ScriptedChannel(), ScriptedChannel("second")

    def with_scripted(*_: Any) -> dict[str, ChannelProvider]:
        return {**load_catalogue(["simulator"]), "scripted": scripted, "second": second}

    monkeypatch.setattr(main, "load_catalogue", with_scripted)
    opened: list[Any] = []

    async def one(**changes: Any) -> Service:
        settings = MessagingSettings.model_validate({**values, **changes})
        context = running(settings, main.build, package=main.PACKAGE, metadata=metadata)
        runtime = await context.__aenter__()
        to: grpc.aio.Channel = channel(runtime.address, tokens=InternalTokens(SECRET), caller="tests")
        opened.append((context, to))
        return Service(
            runtime,
            templates_pb2_grpc.TemplateServiceStub(to),
            channels_pb2_grpc.ChannelServiceStub(to),
            messages_pb2_grpc.MessageServiceStub(to),
            suppressions_pb2_grpc.SuppressionServiceStub(to),
            origination_pb2_grpc.OriginationServiceStub(to),
            opt_outs_pb2_grpc.OptOutServiceStub(to),
            edge_pb2_grpc.EdgeServiceStub(to),
            otp_pb2_grpc.OtpServiceStub(to),
            phone_numbers_pb2_grpc.PhoneNumberServiceStub(to),
            scripted,
            second,
            files_pb2_grpc.FileServiceStub(to),
        )

    yield one
    for plugin in (scripted, second):
        plugin.release.set()
    for context, to in reversed(opened):
        await to.close(grace=None)
        await context.__aexit__(None, None, None)


@pytest_asyncio.fixture
async def service(start: Started) -> Service:
    """One service."""
    return await start()

"""A plugin that takes long to look at settings holds up nobody, and what others change meanwhile is not lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
import pytest
from google.protobuf import field_mask_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2
from heliograph_channels import ChannelProvider, Problem
from heliograph_messaging.contained import settings_problems
from heliograph_messaging.service import provider_settings
from heliograph_messaging.service.channels import TRIES
from tests.messaging.conftest import PARENT, Service

pytestmark = pytest.mark.integration
CHANNEL, ROUTE = f"{PARENT}/channels/EMAIL", f"{PARENT}/channels/EMAIL/routes/spare"
Meanwhile = Callable[[], Awaitable[object]]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Meanwhile]:
    """Return what happens, each once and in order, while settings are being looked at."""
    happens: list[Meanwhile] = []

    async def slow(provider: ChannelProvider, settings: Mapping[str, object]) -> Sequence[Problem]:
        if happens:
            await happens.pop(0)()
        return await settings_problems(provider, settings)

    monkeypatch.setattr(provider_settings, "settings_problems", slow)
    return happens


async def rival(service: Service, table: str) -> None:
    """Change the row as another process does: nothing may hold it."""
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text(f"SELECT 1 FROM messaging.{table} WHERE kind = 'EMAIL' FOR UPDATE NOWAIT"))
        await conn.execute(
            text(f"UPDATE messaging.{table} SET version = version + 1, enabled = false WHERE kind = 'EMAIL'")
        )


async def set_host(service: Service, host: str) -> channels_pb2.Channel:
    wanted = channels_pb2.Channel(name=CHANNEL)
    wanted.settings["host"] = host
    mask = field_mask_pb2.FieldMask(paths=["settings"])
    return await service.channels.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=wanted, update_mask=mask))


async def set_route_host(service: Service, host: str) -> channels_pb2.Route:
    wanted = channels_pb2.Route(name=ROUTE)
    wanted.settings["host"] = host
    mask = field_mask_pb2.FieldMask(paths=["settings"])
    return await service.channels.UpdateRoute(channels_pb2.UpdateRouteRequest(route=wanted, update_mask=mask))


@pytest.mark.parametrize("table", ["channels", "routes"])
async def test_a_change_while_settings_are_looked_at_is_built_upon(
    service: Service, meanwhile: list[Meanwhile], table: str
) -> None:
    made = await service.set_up("EMAIL", host="a")
    spare = await service.add_route("EMAIL", "spare", host="a")
    change = set_host if table == "channels" else set_route_host
    before = made.version if table == "channels" else spare.version
    meanwhile.extend([lambda: rival(service, table)] * (TRIES - 1))
    changed = await change(service, "b")
    assert (changed.settings["host"], changed.enabled, changed.version) == ("b", False, before + TRIES)
    meanwhile.extend([lambda: rival(service, table)] * TRIES)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await change(service, "c")
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert not meanwhile
    assert (await change(service, "d")).settings["host"] == "d"


async def test_a_channel_that_somebody_else_sets_up_first_is_changed(
    service: Service, meanwhile: list[Meanwhile]
) -> None:
    async def first() -> None:
        await service.set_up("EMAIL", host="a")

    meanwhile.append(first)
    made = await service.set_up("EMAIL", host="b")
    assert (made.settings["host"], made.version) == ("b", 2)

"""gRPC face of channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from google.protobuf import field_mask_pb2, json_format, struct_pb2

from heliograph.messaging.v1 import channels_pb2, channels_pb2_grpc
from heliograph_channels import ChannelProvider
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, parse_pattern, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_messaging.service.channels import ChannelChange, Channels
from heliograph_messaging.service.routes import RouteChange, Routes
from heliograph_messaging.servicers.callers import caller
from heliograph_messaging.store.channels import StoredChannel
from heliograph_messaging.store.routes import StoredRoute

_TRACKING: Sequence[Literal["open_tracking", "click_tracking"]] = ("open_tracking", "click_tracking")
_MASKS = frozenset({"provider", "settings", "from_address", "enabled", *_TRACKING})
_ROUTE_MASKS = frozenset({"provider", "settings", "priority", "enabled"})


class ChannelServicer(channels_pb2_grpc.ChannelServiceServicer):
    """gRPC face of channels."""

    def __init__(self, channels: Channels, routes: Routes) -> None:
        """Take the use cases."""
        self._channels = channels
        self._routes = routes

    async def UpdateChannel(self, request: channels_pb2.UpdateChannelRequest, context: Any) -> channels_pb2.Channel:
        """Set a channel up."""
        name = parse_name(request.channel.name, "channels", field="channel.name")
        change = _change(request)
        return _proto(await self._channels.update(name.project, name.id, change, by=caller()))

    async def GetChannel(self, request: channels_pb2.GetChannelRequest, context: Any) -> channels_pb2.Channel:
        """Return a channel."""
        name = parse_name(request.name, "channels")
        return _proto(await self._channels.get(name.project, name.id))

    async def ListChannels(
        self, request: channels_pb2.ListChannelsRequest, context: Any
    ) -> channels_pb2.ListChannelsResponse:
        """Return a page of channels."""
        project = project_of(request.parent, field="parent")
        call = f"ListChannels {project}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._channels.list(project, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1].kind]) if len(found) > page.size else ""
        return channels_pb2.ListChannelsResponse(
            channels=[_proto(channel) for channel in found[: page.size]], next_page_token=token
        )

    async def DisableChannel(self, request: channels_pb2.DisableChannelRequest, context: Any) -> channels_pb2.Channel:
        """Switch a channel off."""
        name = parse_name(request.name, "channels")
        return _proto(await self._channels.disable(name.project, name.id, by=caller()))

    async def UpdateRoute(self, request: channels_pb2.UpdateRouteRequest, context: Any) -> channels_pb2.Route:
        """Set a route up."""
        project, kind, id = _route_name(request.route.name, field="route.name")
        return _route(await self._routes.update(project, kind, id, _route_change(request), by=caller()))

    async def GetRoute(self, request: channels_pb2.GetRouteRequest, context: Any) -> channels_pb2.Route:
        """Return a route."""
        return _route(await self._routes.get(*_route_name(request.name)))

    async def ListRoutes(
        self, request: channels_pb2.ListRoutesRequest, context: Any
    ) -> channels_pb2.ListRoutesResponse:
        """Return the routes of a channel."""
        name = parse_name(request.parent, "channels", field="parent")
        found = await self._routes.list(name.project, name.id)
        return channels_pb2.ListRoutesResponse(routes=[_route(route) for route in found])

    async def DeleteRoute(self, request: channels_pb2.DeleteRouteRequest, context: Any) -> channels_pb2.Route:
        """Delete a route."""
        return _route(await self._routes.delete(*_route_name(request.name)))

    async def CheckChannel(
        self, request: channels_pb2.CheckChannelRequest, context: Any
    ) -> channels_pb2.CheckChannelResponse:
        """Ask the providers of a channel how they are."""
        name = parse_name(request.name, "channels")
        found = await self._routes.check(name.project, name.id)
        return channels_pb2.CheckChannelResponse(
            providers=[channels_pb2.RouteHealth(**dataclasses.asdict(health)) for health in found]
        )

    async def ListProviders(
        self, request: channels_pb2.ListProvidersRequest, context: Any
    ) -> channels_pb2.ListProvidersResponse:
        """Return the installed plugins."""
        return channels_pb2.ListProvidersResponse(providers=[_provider(one) for one in self._channels.providers()])


def _change(request: channels_pb2.UpdateChannelRequest) -> ChannelChange:
    channel = request.channel
    implied = {"enabled"} | {path for path in ("provider", "from_address") if getattr(channel, path)}
    implied |= {"settings"} if channel.HasField("settings") else set()
    implied |= {name for name in _TRACKING if channel.HasField(name)}
    mask = _mask(request.update_mask, _MASKS, implied)
    return ChannelChange(
        provider=channel.provider if "provider" in mask else None,
        settings=_plain(channel.settings) if "settings" in mask else None,
        from_address=channel.from_address if "from_address" in mask else None,
        enabled=channel.enabled if "enabled" in mask else None,
        tracking={
            name: getattr(channel, name) if channel.HasField(name) else None for name in _TRACKING if name in mask
        },
    )


def _route_change(request: channels_pb2.UpdateRouteRequest) -> RouteChange:
    route = request.route
    implied = {"enabled"} | ({"provider"} if route.provider else set())
    implied |= {path for path in ("settings", "priority") if route.HasField(path)}
    mask = _mask(request.update_mask, _ROUTE_MASKS, implied)
    return RouteChange(
        provider=route.provider if "provider" in mask else None,
        settings=_plain(route.settings) if "settings" in mask else None,
        priority=route.priority if "priority" in mask and route.HasField("priority") else None,
        enabled=route.enabled if "enabled" in mask else None,
    )


def _mask(given: field_mask_pb2.FieldMask, known: frozenset[str], implied: set[str]) -> set[str]:
    """Return the fields to take: those given, all for `*`, the implied ones when none is given."""
    mask, found = set(given.paths), Violations()
    for path in sorted(mask - known - {"*"}):
        found.add("update_mask", f"{path} cannot be updated", "INVALID_ARGUMENT")
    found.check()
    return set(known) if "*" in mask else mask or implied


def _route_name(name: str, *, field: str = "name") -> tuple[str, str, str]:
    parts = parse_pattern(name, "projects/{project}/channels/{kind}/routes/{route}", field=field)
    return parts["project"], parts["kind"], parts["route"]


def _route(route: StoredRoute) -> channels_pb2.Route:
    return channels_pb2.Route(
        name=f"{format_name(route.project, 'channels', route.kind)}/routes/{route.id}",
        provider=route.provider,
        settings=_struct(route.settings),
        priority=route.priority,
        enabled=route.enabled,
        secret_names=route.secret_names,
        version=route.version,
        create_time=timestamp(route.create_time),
        update_time=timestamp(route.update_time),
        updated_by=route.updated_by,
    )


def _plain(settings: struct_pb2.Struct) -> dict[str, object]:
    """Return a Struct as plain values; it knows only doubles, so whole numbers become int again."""
    return {name: _whole(value) for name, value in json_format.MessageToDict(settings).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def _struct(values: Mapping[str, object]) -> struct_pb2.Struct:
    return json_format.ParseDict(dict(values), struct_pb2.Struct())


def _proto(channel: StoredChannel) -> channels_pb2.Channel:
    return channels_pb2.Channel(
        name=format_name(channel.project, "channels", channel.kind),
        provider=channel.provider,
        settings=_struct(channel.settings),
        from_address=channel.from_address,
        enabled=channel.enabled,
        secret_names=channel.secret_names,
        version=channel.version,
        create_time=timestamp(channel.create_time),
        update_time=timestamp(channel.update_time),
        updated_by=channel.updated_by,
        open_tracking=channel.open_tracking,
        click_tracking=channel.click_tracking,
    )


def _provider(provider: ChannelProvider) -> channels_pb2.Provider:
    able = provider.capabilities
    return channels_pb2.Provider(
        name=provider.name,
        kinds=sorted(str(kind) for kind in provider.kinds),
        settings_schema=_struct(provider.settings_schema),
        batch_size=able.batch_size,
        concurrency=able.concurrency,
        idempotency_key=able.idempotency_key,
        receipts=able.receipts,
        inbound=able.inbound,
        webhook=able.webhook,
        media=able.media,
        platforms=sorted(provider.platforms),
    )

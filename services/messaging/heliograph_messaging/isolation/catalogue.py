"""Which plugins run in this process and which in one of their own, and all of them by channel name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires
from typing import Any, cast

from heliograph_channels import ChannelProvider, Kind, PluginError, load_channels
from heliograph_messaging.isolation import codec
from heliograph_messaging.isolation.channel import IsolatedChannel
from heliograph_messaging.isolation.child import Limits
from heliograph_messaging.isolation.codec import Garbled
from heliograph_messaging.isolation.process import PluginProcess

_DISTRIBUTION = "heliograph-messaging"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")


def load(enabled: Sequence[str] | None, isolated: Sequence[str] | None, limits: Limits) -> dict[str, ChannelProvider]:
    """Load the plugins that are enabled (None: all that are installed), and return their channels by name.

    `isolated` names those that get a process of their own: None is each that does not come with this service, `["*"]` is
    all, `["none"]` is none.

    Raises:
        PluginError: a plugin cannot be used, or a name in either list is none of an installed plugin.
    """
    points = {point.name: point for point in entry_points(group=limits.group)}
    strangers = _outside(points, isolated)
    names = sorted(points) if enabled is None else list(dict.fromkeys(enabled))
    processes = {name: PluginProcess(name, limits) for name in names if name in strangers}
    # All at once: what takes time is what they import.
    starting = {name: process.run(process.start) for name, process in processes.items()}
    catalogue: dict[str, ChannelProvider] = {}
    owners: dict[str, str] = {}
    try:
        for name in names:
            if name in processes:
                channels = _offered(processes[name], starting[name].result().channels)
            else:
                channels = list(load_channels([name], group=limits.group).values())
            for channel in channels:
                if channel.name in owners:
                    problem = f"the name {channel.name!r} is taken by plugin {owners[channel.name]!r}"
                    raise PluginError(name, problem)
                owners[channel.name] = name
                catalogue[channel.name] = channel
    except BaseException:
        for process in processes.values():
            process.close()
        raise
    return catalogue


async def close(catalogue: Mapping[str, ChannelProvider]) -> None:
    """End the processes of isolated plugins."""
    processes = {channel.process for channel in catalogue.values() if isinstance(channel, IsolatedChannel)}
    await asyncio.gather(*(asyncio.to_thread(process.close) for process in processes))


def _outside(points: Mapping[str, EntryPoint], isolated: Sequence[str] | None) -> frozenset[str]:
    if isolated is None:
        bundled = _bundled()
        return frozenset(name for name, point in points.items() if _distribution(point) not in bundled)
    if list(isolated) == ["*"]:
        return frozenset(points)
    if list(isolated) == ["none"]:
        return frozenset()
    for name in isolated:
        if name not in points:
            # A misspelt name must not let a stranger in.
            there = ", ".join(sorted(points)) or "none"
            raise PluginError(name, f"is to be isolated and is not installed (installed: {there})")
    return frozenset(isolated)


def _bundled() -> frozenset[str]:
    """Return the distributions that this service requires: its channels are among them, and no stranger's is."""
    try:
        required = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        return frozenset()
    names = [match[0] for text in required if (match := _REQUIRED.match(text))]
    return frozenset(map(_canonical, names))


def _distribution(point: EntryPoint) -> str:
    return _canonical(point.dist.name) if point.dist is not None else ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _offered(process: PluginProcess, offers: Sequence[object]) -> list[ChannelProvider]:
    try:
        return [_channel(process, offer) for offer in offers]
    except Garbled as error:
        raise PluginError(process.plugin, f"offers something else than {error}") from None


def _channel(process: PluginProcess, offer: object) -> ChannelProvider:
    match offer:
        case [str() as name, [*kinds], [*platforms], able, dict() as schema] if _NAME.fullmatch(name) and kinds:
            if not all(isinstance(platform, str) for platform in platforms) or schema.get("type") != "object":
                raise Garbled("platforms and a schema")
            try:
                carried = frozenset(Kind(cast(Any, kind)) for kind in kinds)
            except ValueError:
                raise Garbled("kinds") from None
            return IsolatedChannel(
                process,
                name,
                carried,
                frozenset(cast("list[str]", platforms)),
                codec.capabilities(able),
                cast("dict[str, object]", schema),
            )
    raise Garbled("a channel")

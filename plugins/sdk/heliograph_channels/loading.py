"""Finding plugins and asking each for what it offers, one by one, so that an error can name the plugin."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from heliograph_channels import hooks
from heliograph_channels.providers import Capabilities, ChannelProvider
from heliograph_channels.registrars import Registrar

__all__ = ["PluginError", "load_channels", "load_registrars"]

Offer = TypeVar("Offer", ChannelProvider, Registrar)
_HOOKS = frozenset(name for name in vars(hooks) if name.startswith("heliograph_"))
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class PluginError(Exception):
    """A plugin cannot be used. `plugin` is its entry point name; the message names it, too."""

    def __init__(self, plugin: str, problem: str) -> None:
        """Say what is wrong with which plugin."""
        super().__init__(f"plugin {plugin!r}: {problem}")
        self.plugin = plugin


def load_channels(enabled: Sequence[str] | None = None, *, group: str = hooks.CHANNELS) -> dict[str, ChannelProvider]:
    """Load the channels of the installed plugins, by channel name.

    `enabled` lists the plugins (entry point names) to load; None = all that are installed. A plugin that is not enabled
    is not imported, so it can do no harm.

    Raises:
        PluginError: a plugin is not installed, cannot be imported, misspells a hook, raises, offers something that is
            no channel, or offers a channel name that is taken.
    """
    return _load(enabled, group, "heliograph_channels", _channel)


def load_registrars(enabled: Sequence[str] | None = None, *, group: str = hooks.REGISTRARS) -> dict[str, Registrar]:
    """Load the registrars of the installed plugins, by registrar name; otherwise as `load_channels`."""
    return _load(enabled, group, "heliograph_registrars", _registrar)


def _load(enabled: Sequence[str] | None, group: str, hook: str, check: Callable[[object], Offer]) -> dict[str, Offer]:
    manager = pluggy.PluginManager("heliograph")
    manager.add_hookspecs(hooks)
    offers: dict[str, Offer] = {}
    owners: dict[str, str] = {}
    for point in _wanted(enabled, group):
        module = _register(manager, point, hook)
        for thing in _ask(manager, module, point.name, hook):
            try:
                offer = check(thing)
            except (TypeError, ValueError) as error:
                raise PluginError(point.name, str(error)) from None
            if offer.name in owners:
                raise PluginError(point.name, f"the name {offer.name!r} is taken by plugin {owners[offer.name]!r}")
            owners[offer.name] = point.name
            offers[offer.name] = offer
    return offers


def _wanted(enabled: Sequence[str] | None, group: str) -> Iterable[EntryPoint]:
    # An editable install can show the same distribution twice on the path, hence the dict by name and value.
    found = {(point.name, point.value): point for point in entry_points(group=group)}
    by_name: dict[str, EntryPoint] = {}
    for (name, value), point in sorted(found.items()):
        if enabled is not None and name not in enabled:
            continue
        if name in by_name:
            raise PluginError(name, f"is installed twice, as {by_name[name].value} and as {value}")
        by_name[name] = point
    for name in enabled or ():
        if name not in by_name:
            there = ", ".join(sorted({name for name, _ in found})) or "none"
            raise PluginError(name, f"is enabled and not installed (installed in {group}: {there})")
    return by_name.values()


def _register(manager: pluggy.PluginManager, point: EntryPoint, hook: str) -> object:
    try:
        module: object = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(point.name, f"cannot be imported: {type(error).__name__}: {error}") from error
    for name, member in inspect.getmembers(module, callable):
        if not name.startswith("heliograph_"):
            continue
        if name not in _HOOKS:
            raise PluginError(point.name, f"{name} is no hook; the hooks are {', '.join(sorted(_HOOKS))}")
        if not hasattr(member, "heliograph_impl"):
            raise PluginError(point.name, f"{name} lacks the @hookimpl mark")
    try:
        manager.register(module, name=point.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(point.name, str(error)) from error
    callers: list[Any] = manager.get_hookcallers(module) or []
    if hook not in {caller.name for caller in callers}:
        raise PluginError(point.name, f"implements no {hook}")
    return module


def _ask(manager: pluggy.PluginManager, module: object, plugin: str, hook: str) -> Sequence[object]:
    # One plugin at a time: in a call over all of them the first exception would take every other plugin down with it.
    others = [other for other in manager.get_plugins() if other is not module]
    try:
        answers = manager.subset_hook_caller(hook, remove_plugins=others)()
    except Exception as error:
        raise PluginError(plugin, f"{hook} raised {type(error).__name__}: {error}") from error
    offers = answers[0] if answers else None  # pluggy leaves out the answer None
    if inspect.iscoroutine(offers):
        offers.close()
        raise PluginError(plugin, f"{hook} must not be async")
    if not isinstance(offers, list | tuple):
        raise PluginError(plugin, f"{hook} must return a list, not a {type(offers).__name__}")
    return offers


def _channel(thing: object) -> ChannelProvider:
    if not isinstance(thing, ChannelProvider):
        raise TypeError(f"offers a {type(thing).__name__}, which is no ChannelProvider")
    _check_offer(thing)
    if not getattr(thing, "kinds", None):
        raise ValueError(f"{thing.name}: kinds must name at least one Kind")
    if not isinstance(getattr(thing, "capabilities", None), Capabilities):
        raise TypeError(f"{thing.name}: capabilities must be Capabilities")
    return thing


def _registrar(thing: object) -> Registrar:
    if not isinstance(thing, Registrar):
        raise TypeError(f"offers a {type(thing).__name__}, which is no Registrar")
    _check_offer(thing)
    return thing


def _check_offer(thing: ChannelProvider | Registrar) -> None:
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{type(thing).__name__}.name must match {_NAME.pattern}")
    schema = getattr(thing, "settings_schema", None)
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise ValueError(f'{name}: settings_schema must be a JSON schema of type "object"')

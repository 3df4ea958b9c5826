"""Everything that is asked of a plugin but a send, contained: a plugin that fails is named and fails alone."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    Forged,
    Health,
    Kind,
    Problem,
    ProviderContext,
    Received,
    Sender,
    WebhookRequest,
    address_problem,
    secret_fields,
)
from heliograph_messaging.answers import (
    DETAIL_LENGTH,
    Unsound,
    check_addresses,
    clean_capabilities,
    clean_problems,
    clean_received,
    drop,
    plain,
    type_name,
)
from heliograph_messaging.faults import Fault, PluginFault, tell
from heliograph_messaging.isolation.channel import IsolatedChannel
from heliograph_messaging.redaction import Secrets

_log = logging.getLogger(__name__)
_CANCEL_SECONDS = 1.0
_FORGED = object()
T = TypeVar("T")


async def settings_problems(provider: ChannelProvider, settings: Mapping[str, object]) -> Sequence[Problem]:
    """Return what is wrong with settings; no secret among them is repeated.

    Raises:
        PluginFault: the plugin does not say.
    """
    try:
        if isinstance(provider, IsolatedChannel):
            problems = await provider.ask_settings(settings)
        else:
            problems = _asked(provider, lambda: clean_problems(provider.check_settings(settings)))
    except PluginFault as fault:
        tell(provider.name, fault.fault, f"did not check settings: it {fault.problem}")
        raise
    secrets = Secrets(settings[name] for name in secret_fields(provider.settings_schema) if name in settings)
    return [Problem(one.field, secrets.hide(one.description)) for one in problems]


async def capabilities_under(provider: ChannelProvider, settings: Mapping[str, object]) -> Capabilities:
    """Return what a channel can do under these settings.

    Raises:
        PluginFault: the plugin does not say.
    """
    if isinstance(provider, IsolatedChannel):
        return await provider.ask_capabilities(settings)
    return _asked(provider, lambda: clean_capabilities(provider.capabilities_for(settings)))


async def address_problems(provider: ChannelProvider, kind: Kind, addresses: Sequence[str]) -> Sequence[str | None]:
    """Return for each address why it can never be sent to, or None. Where a check fails, the syntax alone decides.

    Raises:
        PluginFault: the plugin's process does not run or does not answer.
    """
    if not addresses:
        return []
    if isinstance(provider, IsolatedChannel):
        return await provider.ask_addresses(kind, addresses)
    problems, wrong = check_addresses(provider, kind, addresses)
    if wrong:
        tell(provider.name, Fault.RAISED, wrong)
    return problems


async def likely_address_problems(
    provider: ChannelProvider, kind: Kind, addresses: Sequence[str]
) -> Sequence[str | None]:
    """Return the same, by syntax alone while the plugin's process does not answer: it will be asked again."""
    try:
        return await address_problems(provider, kind, addresses)
    except PluginFault:
        return [address_problem(kind, address) for address in addresses]


async def open_sender(
    provider: ChannelProvider, settings: Mapping[str, object], context: ProviderContext, *, seconds: float
) -> tuple[Capabilities, Sender]:
    """Open a sender within so many seconds, and say what it can do under its settings.

    Raises:
        PluginFault: it was not opened; that is told and counted.
    """
    try:
        able = await capabilities_under(provider, settings)
        sender = await _ended(provider.name, lambda: provider.open(settings, context), seconds, "open")
        if not isinstance(sender, Sender):
            drop(sender)
            problem = f"opened a {type_name(sender)}, which is no Sender"
            raise PluginFault(provider.name, Fault.WRONG_TYPE, problem)
    except PluginFault as fault:
        tell(provider.name, fault.fault, f"was not opened: it {fault.problem}")
        raise
    return able, sender


async def health_of(provider: ChannelProvider, sender: Sender, secrets: Secrets, *, seconds: float) -> Health:
    """Return whether a sender could send, asked for so many seconds at most. Never raises."""
    try:
        health = await _ended(provider.name, sender.health, seconds, "tell its health")
        if not isinstance(health, Health):
            drop(health)
            raise PluginFault(provider.name, Fault.WRONG_TYPE, f"told a {type_name(health)} as its health")
        return Health(health.ok is True, secrets.hide(plain(health.detail, DETAIL_LENGTH)))
    except PluginFault as fault:
        tell(provider.name, fault.fault, fault.problem)
        return Health(ok=False, detail=secrets.hide(str(fault)))


async def understood(
    provider: ChannelProvider, sender: Sender, request: WebhookRequest, secrets: Secrets, *, seconds: float
) -> Received | None:
    """Return what a call of a provider says, asked for so many seconds at most; None when it is forged.

    Raises:
        PluginFault: the plugin does not say, or says something that is no answer; that is told and counted.
    """

    async def ask() -> object:
        try:
            return await sender.receive(request)
        except Forged:
            return _FORGED

    try:
        said = await _ended(provider.name, ask, seconds, "understand a call of its provider")
        return None if said is _FORGED else clean_received(said, secrets.hide)
    except Unsound as error:
        fault = PluginFault(provider.name, Fault.WRONG_TYPE, str(error))
        tell(provider.name, fault.fault, fault.problem)
        raise fault from None
    except PluginFault as fault:
        tell(provider.name, fault.fault, fault.problem)
        raise


async def close_sender(provider: ChannelProvider, sender: Sender, *, seconds: float) -> None:
    """Close a sender; one that does not close within so many seconds is left behind."""
    try:
        await _ended(provider.name, sender.close, seconds, "close")
    except PluginFault as fault:
        tell(provider.name, fault.fault, f"was not closed: it {fault.problem}")


async def abandon(plugin: str, task: asyncio.Future[object]) -> None:
    """Cancel a call of a plugin and wait a moment for its end; one that goes on is named and left behind."""
    task.cancel()
    await asyncio.wait((task,), timeout=_CANCEL_SECONDS)
    if not task.done():
        tell(plugin, Fault.IGNORED_CANCELLATION, "ignores cancellation; its call is abandoned")
    task.add_done_callback(_looked_at)


async def answered(call: Callable[[], object]) -> object:
    """Call a method of a plugin and await what it returns, whatever it makes of the method."""
    try:
        answer = call()
        return await answer if inspect.isawaitable(answer) else answer
    except SystemExit as error:  # it would end the event loop, and with it the service
        raise RuntimeError("the plugin wants to exit") from error


async def _ended(plugin: str, call: Callable[[], object], seconds: float, what: str) -> object:
    # Not by wait_for: that waits for a call that ignores being cancelled.
    task = asyncio.ensure_future(answered(call))
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        if not task.done():
            await abandon(plugin, task)
    if not task.done() or task.cancelled():
        raise PluginFault(plugin, Fault.TIMED_OUT, f"did not {what} in {seconds:g} s")
    error = task.exception()
    if isinstance(error, PluginFault):
        raise error
    if error is not None:
        # The text may hold anything: it goes to the operator's log, where secrets are hidden; its type goes further.
        _log.error("the channel plugin %s raised", plugin, exc_info=error)
        raise PluginFault(plugin, Fault.RAISED, f"raised {type_name(error)}")
    return task.result()


def _looked_at(task: asyncio.Future[object]) -> None:
    if not task.cancelled():
        task.exception()


def _asked(provider: ChannelProvider, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Unsound as error:
        raise PluginFault(provider.name, Fault.WRONG_TYPE, str(error)) from None
    except (Exception, SystemExit) as error:  # whatever a plugin raises; its text may hold a secret
        raise PluginFault(provider.name, Fault.RAISED, f"raised {type_name(error)}") from None

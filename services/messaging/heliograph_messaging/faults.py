"""What plugins do wrong: one name for each, told in the log and counted, always with the plugin's name."""

from __future__ import annotations

import logging
from enum import StrEnum

from heliograph_kit.telemetry import counter

_log = logging.getLogger(__name__)


class Fault(StrEnum):
    """A way in which a plugin fails. The words are attributes of metrics, so they are few and stay."""

    RAISED = "RAISED"
    """A call raised an exception."""
    TIMED_OUT = "TIMED_OUT"
    """A call did not end in time."""
    IGNORED_CANCELLATION = "IGNORED_CANCELLATION"
    """A call that was cancelled went on."""
    WRONG_TYPE = "WRONG_TYPE"
    """An answer, or one of its parts, is not what it should be."""
    WRONG_COUNT = "WRONG_COUNT"
    """There are more or fewer results than messages."""
    DIED = "DIED"
    """Its process ended by itself."""
    BLOCKED = "BLOCKED"
    """Its process did not answer: its event loop is blocked."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """It needs more memory than its process may have."""
    GARBLED = "GARBLED"
    """Its process said something that is not in the protocol."""
    NOT_RUNNING = "NOT_RUNNING"
    """Its process cannot be started, or is left alone for a while after it failed."""


class PluginFault(Exception):
    """A call of a plugin failed through its own fault. The text names the plugin and holds nothing the plugin said."""

    def __init__(self, plugin: str, fault: Fault, problem: str) -> None:
        """Say which plugin did what: `problem` continues "the channel plugin 'x' "."""
        super().__init__(f"the channel plugin {plugin!r} {problem}")
        self.plugin = plugin
        self.fault = fault
        self.problem = problem


def count(plugin: str, fault: Fault) -> None:
    """Count a fault that is told elsewhere."""
    counter("heliograph.messaging.plugin.faults").add(
        1, {"heliograph.provider": plugin, "heliograph.reason": str(fault)}
    )


def tell(plugin: str, fault: Fault, problem: str) -> None:
    """Log and count a fault that has no other consequence."""
    _log.warning("the channel plugin %s %s", plugin, problem)
    count(plugin, fault)

"""Heliograph's simulator: a channel of every kind and a 10DLC registrar, with outcomes that are scripted."""

from collections.abc import Sequence

from heliograph_channel_simulator.channel import SimulatorChannel
from heliograph_channel_simulator.registrar import SimulatorRegistrar
from heliograph_channels import ChannelProvider, Registrar, hookimpl

__all__ = ["SimulatorChannel", "SimulatorRegistrar"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the simulator channel."""
    return [SimulatorChannel()]


@hookimpl
def heliograph_registrars() -> Sequence[Registrar]:
    """Offer the simulator registrar."""
    return [SimulatorRegistrar()]

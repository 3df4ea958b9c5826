"""Heliograph's registrar for whoever registers by hand."""

from collections.abc import Sequence

from heliograph_channels import Registrar, hookimpl
from heliograph_registrar_manual.registrar import ManualRegistrar

__all__ = ["ManualRegistrar"]


@hookimpl
def heliograph_registrars() -> Sequence[Registrar]:
    """Offer the registrar."""
    return [ManualRegistrar()]

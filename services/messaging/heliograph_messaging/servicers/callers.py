"""Who is calling, as the audit fields show it."""

from __future__ import annotations

from heliograph_kit.auth import current_principal


def caller() -> str:
    """Return `apiKeys/{key}`, or the name of a service."""
    principal = current_principal()
    return f"apiKeys/{principal.id}" if principal.kind == "key" else principal.id

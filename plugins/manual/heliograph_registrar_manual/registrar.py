"""The registrar `manual`: an operator carries the papers and writes the decisions down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from heliograph_channels import Decision, Registrar, Submission

__all__ = ["ManualRegistrar"]


class ManualRegistrar(Registrar):
    """Gives references and decides nothing."""

    name = "manual"
    decides_by_operator = True
    # Whoever buys by hand can choose where the portal lets choose.
    chooses_area_code = True

    async def submit(self, submission: Submission) -> str:
        """Return a reference made of kind, id and time; the papers wait on the desk."""
        time = submission.submitted_at.astimezone(UTC).isoformat()
        return f"manual:{submission.kind}:{submission.id}:{time}"

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Tell nothing: decisions are written down by an operator."""
        return []

"""Erasing a user: what is known of it, and who has to answer before it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

ASKED = ("analytics", "journeys", "messaging")
"""The services that hold something of endpoints and users beside this one."""


class ErasureState(StrEnum):
    """Where an erasure stands. Stored."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETE = "COMPLETE"


@dataclass(frozen=True)
class Erasure:
    """One erasure. The endpoints are forgotten when it is complete; how many they were is not."""

    project: str
    erasure_id: str
    user_id: str
    state: ErasureState
    endpoint_ids: Sequence[str]
    ordinals: Sequence[int]
    endpoint_count: int
    snapshot_count: int
    snapshot_done: str
    answered: Sequence[str]
    asks: int
    created_at: datetime
    completed_at: datetime | None = None

    @property
    def waiting_for(self) -> list[str]:
        """The services that have not answered."""
        return [service for service in ASKED if service not in self.answered]

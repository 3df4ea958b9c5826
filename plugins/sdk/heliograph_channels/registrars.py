"""The class a registrar plugin writes: it carries 10DLC papers to a registry and brings decisions back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from heliograph_channels.schema import Problem, problems_of

__all__ = ["Decision", "DecisionState", "Registrar", "Submission", "SubmissionKind"]


class SubmissionKind(StrEnum):
    """What is submitted. Each needs the one before approved: brand, then use case, then number (pinpoint-2 4.1)."""

    BRAND = "BRAND"
    USE_CASE = "USE_CASE"
    NUMBER = "NUMBER"


class DecisionState(StrEnum):
    """What a registry decided. A submission without a decision is pending."""

    VERIFIED = "VERIFIED"
    """BRAND: the company is who it says it is. `vetting_score` (0..100) may be among the attributes."""
    APPROVED = "APPROVED"
    """USE_CASE: numbers may be associated with it."""
    READY = "READY"
    """NUMBER: associated with its use case at every carrier; messages may leave from it."""
    REJECTED = "REJECTED"
    """Any kind: `cause` says why and `field` what to mend."""
    SUSPENDED = "SUSPENDED"
    """USE_CASE: a carrier withdrew an approval given before."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One set of papers. `id` is ours (32 hex); `fields` are the form's fields; `submitted_at` is aware UTC."""

    kind: SubmissionKind
    id: str
    fields: Mapping[str, str]
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about a submission: `at` is aware UTC; `cause` is a word of pinpoint-2 4.7 when it is a refusal."""

    reference: str
    state: DecisionState
    at: datetime
    cause: str = ""
    field: str = ""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Registrar(ABC):
    """A way to a registry. `name` follows the rule of channel names; the default schema takes no settings."""

    name: str
    settings_schema: Mapping[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """List everything wrong with `settings`, at once; empty = good."""
        return problems_of(self.settings_schema, settings)

    def configured(self, settings: Mapping[str, object]) -> Registrar:
        """Return a registrar with these settings. What the hook hands over works with the defaults.

        Raises:
            ValueError: settings were given and this registrar takes none.
        """
        if settings:
            raise ValueError(f"registrar {self.name} takes no settings")
        return self

    @abstractmethod
    async def submit(self, submission: Submission) -> str:
        """Hand in the papers and return the registry's reference (1 to 1,000 characters).

        Safe to repeat: the same kind, id and time give the same reference and no second submission.
        """

    @abstractmethod
    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Return every decision up to `now` about the references, each reference's own in order of time.

        Safe to repeat; a later poll returns all of an earlier one and perhaps more. An unknown reference has no
        decisions.
        """

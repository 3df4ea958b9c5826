"""The class a registrar plugin writes: it carries papers to a registry, buys numbers, and brings decisions back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from heliograph_channels.inbound import WebhookRequest
from heliograph_channels.schema import Problem, problems_of

__all__ = ["ERRANDS", "Decision", "DecisionState", "Finding", "Refused", "Registrar", "Submission", "SubmissionKind"]


class SubmissionKind(StrEnum):
    """What is handed in. Each needs the one before: brand, perhaps vetting, use case, number (pinpoint-2 4.1)."""

    BRAND = "BRAND"
    """A company, for the first time or changed. Decided by VERIFIED, NEEDS_AUTHENTICATION, REJECTED, DECLINED."""
    VETTING = "VETTING"
    """Somebody from outside is to give a verified brand a score. Decided by SCORED or FAILED."""
    USE_CASE = "USE_CASE"
    """Decided by APPROVED, REJECTED, DECLINED."""
    NUMBER = "NUMBER"
    """A number is to be associated with a use case, or a long code converted for it. Decided by READY or REJECTED."""
    TOLL_FREE = "TOLL_FREE"
    """What a toll-free number is used for. Decided by APPROVED, REJECTED, DECLINED."""
    ORDER = "ORDER"
    """A number is to be bought. Decided by BOUGHT or FAILED."""
    DISASSOCIATION = "DISASSOCIATION"
    """A number is to leave its use case. Decided by DETACHED."""
    RENEWAL = "RENEWAL"
    """A brand or use case in force is to stay so. Decided by RENEWED or REJECTED."""
    AMENDMENT = "AMENDMENT"
    """An approved use case has other replies or samples (pinpoint-2 4.8). An errand: nothing is decided."""
    RELEASE = "RELEASE"
    """A number is given up. An errand: nothing is decided."""
    WITHDRAWAL = "WITHDRAWAL"
    """A brand or use case is deleted. An errand: nothing is decided."""


ERRANDS = frozenset({SubmissionKind.AMENDMENT, SubmissionKind.RELEASE, SubmissionKind.WITHDRAWAL})
"""What is done with once it is handed in."""


class DecisionState(StrEnum):
    """What a registry decided. A submission without a decision is pending."""

    VERIFIED = "VERIFIED"
    """BRAND: the company is who it says it is, or again after a suspension. `score` (0..100) may come with it."""
    NEEDS_AUTHENTICATION = "NEEDS_AUTHENTICATION"
    """BRAND: somebody must follow the link in a mail first, within seven days."""
    APPROVED = "APPROVED"
    """USE_CASE, TOLL_FREE: numbers may send for it, or again after a suspension."""
    READY = "READY"
    """NUMBER: associated with its use case at every carrier; messages may leave from it."""
    REJECTED = "REJECTED"
    """To be mended and handed in again: `cause` says why and `findings` or `field` what."""
    DECLINED = "DECLINED"
    """Refused for good."""
    SUSPENDED = "SUSPENDED"
    """BRAND, USE_CASE, TOLL_FREE: a carrier or the registry withdrew what was given before."""
    EXPIRED = "EXPIRED"
    """BRAND, USE_CASE: it ran out at the registry."""
    RENEWED = "RENEWED"
    """RENEWAL: it stays in force, until `expires_at` if that is known."""
    SCORED = "SCORED"
    """VETTING: `score` is the result."""
    FAILED = "FAILED"
    """VETTING: no score. ORDER: no number."""
    BOUGHT = "BOUGHT"
    """ORDER: `number` is ours."""
    DETACHED = "DETACHED"
    """DISASSOCIATION: the number is free."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend: the form's field (empty: all of it), a word of pinpoint-2 4.7, the registry's own words."""

    field: str
    cause: str
    words: str = ""


class Refused(Exception):
    """The registry did not even take the papers in: to be mended and handed in again."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Take what is wrong; at least one finding."""
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{one.field or 'papers'}: {one.cause} {one.words}".strip() for one in findings))


@dataclass(frozen=True, slots=True)
class Submission:
    """One set of papers. `id` is ours (32 hex); `fields` are the form's fields; `submitted_at` is aware UTC.

    Of a NUMBER, a DISASSOCIATION and a RELEASE the fields are `number` (E.164) and `number_type`; of an ORDER
    `number_type`, `capabilities` (`SMS,VOICE`), `area_code` (may be empty) and `quantity` `1`; of a TOLL_FREE those of its form
    and `number`; of a RENEWAL and an AMENDMENT those of what is renewed or amended; of a VETTING none.
    """

    kind: SubmissionKind
    id: str
    fields: Mapping[str, str]
    submitted_at: datetime
    parent_reference: str = ""
    """The registry's lasting id of the brand of a VETTING or USE_CASE, of the use case of a NUMBER or ORDER; empty: none yet."""
    registered_id: str = ""
    """The registry's lasting id of the thing itself, once a decision told it; empty before."""
    earlier_reference: str = ""
    """What the submission before this one was answered with. Decisions about a thing are told under its newest reference."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about a submission: `at` is aware UTC; `cause` is a word of pinpoint-2 4.7 when it is a refusal.

    `field` is the first thing to mend, `findings` are all of them when there is more to say.
    """

    reference: str
    state: DecisionState
    at: datetime
    cause: str = ""
    field: str = ""
    words: str = ""
    findings: tuple[Finding, ...] = ()
    score: int | None = None
    number: str = ""
    registered_id: str = ""
    expires_at: datetime | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Registrar(ABC):
    """A way to a registry. `name` follows the rule of channel names; the default schema takes no settings."""

    name: str
    settings_schema: Mapping[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}
    secrets: frozenset[str] = frozenset()
    """Names of the settings that are never shown."""
    kinds: frozenset[SubmissionKind] = frozenset(SubmissionKind)
    """What it takes; the service refuses the rest with REGISTRAR_CANNOT."""
    decides_by_operator: bool = False
    """True: nothing ever comes out of `poll`; an operator writes decisions down."""
    chooses_area_code: bool = False
    """Whether an ORDER may name an area code (S113)."""

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

        Raises:
            Refused: the registry says at once what to mend.
            Exception: anything else, for example that it does not answer; the submission is repeated later.
        """

    @abstractmethod
    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Return every decision up to `now` about the references, each reference's own in order of time.

        Safe to repeat; a later poll returns all of an earlier one and perhaps more. An unknown reference has no
        decisions.
        """

    async def webhook(self, request: WebhookRequest, now: datetime) -> Sequence[Decision]:
        """Return the decisions a call of the registry tells; `poll` tells them, too.

        Raises:
            Forged: the call does not carry the registry's signature.
            ValueError: it cannot be read. The default takes no calls.
        """
        raise ValueError(f"registrar {self.name} takes no webhooks")

    async def close(self) -> None:
        """Let go of connections; called once, at the end."""
        return

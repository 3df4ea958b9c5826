"""What a campaign is: its content, treatments and schedule, the states it moves through, and who gets which treatment.

Pure: no clock, no randomness, no IO. The rules are those of pinpoint-1 section 4.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COHORTS = 100
MAX_ADDITIONAL_TREATMENTS = 4
MAX_LEAD = timedelta(days=365)
MAX_DISPLAY_NAME = 128
MAX_DESCRIPTION = 1_000
MAX_CUSTOM_DATA_BYTES = 5 * 1024
MAX_TAGS = 50
MAX_LIMIT = 100
DEFAULT_TREATMENT = "0"
HOLDOUT = "holdout"
CHANNELS = frozenset({"EMAIL", "SMS", "PUSH", "VOICE", "CUSTOM", "IN_APP"})
INLINE_FIELDS: Mapping[str, frozenset[str]] = {
    "EMAIL": frozenset({"email_subject", "email_html", "email_text"}),
    "SMS": frozenset({"sms_body"}),
    "CUSTOM": frozenset({"custom_data"}),
}

# Told to the collector of violations: field path, what to do, reason.
Complain = Callable[[str, str, str], None]


class CampaignState(StrEnum):
    """What a campaign is doing (pinpoint-1 4.3)."""

    SCHEDULED = "SCHEDULED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    DELETED = "DELETED"
    INVALID = "INVALID"


class RunState(StrEnum):
    """What a run is doing (pinpoint-1 4.5)."""

    PENDING = "PENDING"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


EDITABLE = frozenset({CampaignState.SCHEDULED, CampaignState.PAUSED})
FINISHED_RUNS = frozenset({RunState.COMPLETED, RunState.CANCELLED})


@dataclass(frozen=True)
class Content:
    """What a treatment says: a template, or inline fields; the sender always comes from here (pinpoint-1 4.6).

    `further` is the rest of the message's content as JSON (notifications, voice, files ...): campaigns carry it to
    messaging, which knows what it means.
    """

    template: str = ""
    template_version: int = 0
    email_subject: str = ""
    email_html: str = ""
    email_text: str = ""
    from_address: str = ""
    sms_body: str = ""
    origination_number: str = ""
    origination_pool: str = ""
    custom_data: str = ""
    further: str = ""

    def inline_fields(self) -> frozenset[str]:
        """Name the inline fields that say something."""
        every = frozenset().union(*INLINE_FIELDS.values())
        return frozenset(name for name in every if getattr(self, name))


@dataclass(frozen=True)
class Treatment:
    """One further treatment: its share in percent and what it says."""

    size_percent: int
    content: Content
    display_name: str = ""


@dataclass(frozen=True)
class Limits:
    """Messages one endpoint may be the target of, in 24 hours and ever; 0 is no limit of one's own."""

    daily: int = 0
    total: int = 0


@dataclass(frozen=True)
class QuietTime:
    """From `start` to `end`, both `HH:MM` and inside."""

    start: str
    end: str


@dataclass(frozen=True)
class Inherited:
    """What the project's settings said when the campaign was created; later changes of theirs do not reach it."""

    limits: Limits = Limits()
    quiet_time: QuietTime | None = None


@dataclass(frozen=True)
class Draft:
    """Everything about a campaign that its author decides, and what it inherited when it was created."""

    display_name: str
    segment: str
    channel: str
    content: Content
    description: str = ""
    segment_version: int = 0
    additional_treatments: tuple[Treatment, ...] = ()
    holdout_percent: int = 0
    start_time: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    quiet_time: QuietTime | None = None
    inherited: Inherited = Inherited()

    def check(self, now: datetime, complain: Complain) -> None:
        """Tell `complain` everything that is wrong, whatever the state of anything else.

        Segment and template names are checked where they are looked up.
        """
        if not 1 <= len(self.display_name) <= MAX_DISPLAY_NAME:
            complain(
                "display_name",
                f"must be 1 to {MAX_DISPLAY_NAME} characters",
                "INVALID_LENGTH",
            )
        if len(self.description) > MAX_DESCRIPTION:
            complain(
                "description",
                f"must be at most {MAX_DESCRIPTION} characters",
                "INVALID_LENGTH",
            )
        if self.channel not in CHANNELS:
            complain(
                "channel",
                f"must be one of {', '.join(sorted(CHANNELS))}",
                "UNKNOWN_CHANNEL",
            )
        if self.segment_version < 0:
            complain(
                "segment_version",
                "must not be negative; 0 means the latest",
                "OUT_OF_RANGE",
            )
        self._check_shares(complain)
        _check_content(self.content, self.channel, "content", complain)
        for number, treatment in enumerate(self.additional_treatments):
            path = f"additional_treatments[{number}]"
            if len(treatment.display_name) > MAX_DISPLAY_NAME:
                complain(
                    f"{path}.display_name",
                    f"must be at most {MAX_DISPLAY_NAME} characters",
                    "INVALID_LENGTH",
                )
            _check_content(treatment.content, self.channel, f"{path}.content", complain)
        if self.start_time is not None and not now < self.start_time <= now + MAX_LEAD:
            complain(
                "schedule.start_time",
                f"must be in the future and within {MAX_LEAD.days} days; leave it out to start at once",
                "OUT_OF_RANGE",
            )
        _check_tags(self.tags, complain)
        self._check_limits(complain)

    def _check_limits(self, complain: Complain) -> None:
        for name in ("daily", "total"):
            if not 0 <= getattr(self.limits, name) <= MAX_LIMIT:
                complain(f"limits.{name}", f"must be 0 to {MAX_LIMIT}; 0 inherits the project's", "OUT_OF_RANGE")
        for name in ("start", "end") if self.quiet_time else ():
            if not _CLOCK.fullmatch(getattr(self.quiet_time, name)):
                words = "must be a time of day of the form HH:MM, from 00:00 to 23:59"
                complain(f"quiet_time.{name}", words, "NOT_A_CLOCK_TIME")

    def _check_shares(self, complain: Complain) -> None:
        treatments = self.additional_treatments
        if len(treatments) > MAX_ADDITIONAL_TREATMENTS:
            complain(
                "additional_treatments",
                f"must be at most {MAX_ADDITIONAL_TREATMENTS}",
                "TOO_MANY",
            )
        for number, treatment in enumerate(treatments):
            if not 1 <= treatment.size_percent <= 100:
                complain(
                    f"additional_treatments[{number}].size_percent",
                    "must be 1 to 100",
                    "OUT_OF_RANGE",
                )
        if not 0 <= self.holdout_percent <= 100:
            complain("holdout_percent", "must be 0 to 100", "OUT_OF_RANGE")
        total = self.holdout_percent + sum(treatment.size_percent for treatment in treatments)
        if total > 100:
            complain(
                "additional_treatments",
                f"the sizes and the holdout sum up to {total} percent; at most 100 is possible",
                "SHARES_EXCEED_100",
            )


def _check_content(content: Content, channel: str, path: str, complain: Complain) -> None:
    inline = content.inline_fields()
    if content.template and inline:
        complain(path, "set either a template or inline content", "CONTENT_AMBIGUOUS")
    elif not (content.template or inline or content.further):
        complain(path, "set either a template or inline content", "CONTENT_MISSING")
    for name in sorted(inline - INLINE_FIELDS.get(channel, frozenset())):
        complain(
            f"{path}.{name}",
            f"is not used on channel {channel}",
            "CONTENT_CHANNEL_MISMATCH",
        )
    if channel == "EMAIL" and inline and not content.email_subject:
        complain(f"{path}.email_subject", "is required for inline e-mail", "REQUIRED")
    if content.template_version < 0:
        complain(
            f"{path}.template_version",
            "must not be negative; 0 means the active version",
            "OUT_OF_RANGE",
        )
    if channel == "SMS" and content.origination_number and not _NUMBER.fullmatch(content.origination_number):
        words = "must be a number in E.164 form (+12065550100) or a short code of 3 to 8 digits"
        complain(f"{path}.origination_number", words, "INVALID_NUMBER")
    if len(content.custom_data.encode()) > MAX_CUSTOM_DATA_BYTES:
        complain(
            f"{path}.custom_data",
            f"must be at most {MAX_CUSTOM_DATA_BYTES} bytes",
            "INVALID_LENGTH",
        )


def _check_tags(tags: Mapping[str, str], complain: Complain) -> None:
    if len(tags) > MAX_TAGS:
        complain("tags", f"must be at most {MAX_TAGS}", "TOO_MANY")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or key.startswith("aws:"):
            complain(
                f"tags[{key[:128]}]",
                "key must be 1 to 128 characters and not begin with aws:",
                "INVALID_TAG",
            )
        if len(value) > 256:
            complain(
                f"tags[{key[:128]}]",
                "value must be at most 256 characters",
                "INVALID_TAG",
            )


@dataclass(frozen=True)
class Campaign:
    """A stored campaign in its latest version."""

    project: str
    id: str
    draft: Draft
    state: CampaignState
    state_reason: str
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """A value that differs after every change."""
        return f"{self.version}-{self.update_time.timestamp():.6f}"

    @property
    def revision(self) -> int:
        """A number that grows with every change: microseconds since 1970."""
        return (self.update_time - _EPOCH) // timedelta(microseconds=1)

    def changed_at(self, now: datetime) -> datetime:
        """Return when a change that is made now happens: later than the one before, whatever clocks say.

        Without it two changes could share an etag, and who hears of them could not tell which was the last.
        """
        return max(now, self.update_time + timedelta(microseconds=1))

    def contents(self) -> tuple[Content, ...]:
        """What each treatment says; the default treatment first, so the index is the treatment id."""
        return (
            self.draft.content,
            *(treatment.content for treatment in self.draft.additional_treatments),
        )


def assignment(campaign_id: str, draft: Draft) -> tuple[str, ...]:
    """Decide for each cohort (0 to 99) which treatment it gets, `"0"` to `"4"`, or HOLDOUT.

    The cohorts are put into an order that depends on the campaign, so that the same people are not held out of
    everything; within a campaign an endpoint's place never changes, also over runs and versions (pinpoint-1 4.7).
    """

    def place(cohort: int) -> bytes:
        return hashlib.blake2b(f"{campaign_id}:{cohort}".encode(), digest_size=8).digest()

    table = [DEFAULT_TREATMENT] * COHORTS
    order = iter(sorted(range(COHORTS), key=place))
    shares: Sequence[tuple[str, int]] = [
        (HOLDOUT, draft.holdout_percent),
        *((str(n), treatment.size_percent) for n, treatment in enumerate(draft.additional_treatments, start=1)),
    ]
    for label, percent in shares:
        for _ in range(percent):
            table[next(order)] = label
    return tuple(table)


def split(cohorts: Sequence[int], table: Sequence[str]) -> dict[str, list[int]]:
    """Group the positions of a page's members by what the assignment gives their cohort; order is kept."""
    groups: dict[str, list[int]] = {}
    for position, cohort in enumerate(cohorts):
        groups.setdefault(table[cohort % COHORTS], []).append(position)
    return groups


def resumed_state(draft: Draft, now: datetime) -> CampaignState:
    """Decide what a paused campaign becomes: a start that passed meanwhile is not made up for (pinpoint-1 4.3).

    An immediate campaign that was created paused has no start that could have passed; it starts when resumed.
    """
    if draft.start_time is not None and draft.start_time <= now:
        return CampaignState.COMPLETED
    return CampaignState.SCHEDULED

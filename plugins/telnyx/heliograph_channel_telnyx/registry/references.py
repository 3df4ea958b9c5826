"""References of what was handed in, and the mark that it carries at Telnyx. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit, urlunsplit

from heliograph_channels import Submission, SubmissionKind

__all__ = ["Reference", "mark_of", "marked_url", "thing_in", "url_mark"]

_PREFIX = "telnyx"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THING = re.compile(r"[A-Za-z0-9+_-]{1,100}")
_QUERY = "submission"


@dataclass(frozen=True, slots=True)
class Reference:
    """What, which of Telnyx's things, of which handing in; `other` is the campaign a number is for."""

    kind: SubmissionKind
    thing: str
    id: str
    time: datetime
    other: str = ""

    def __str__(self) -> str:
        """Return the text that the service keeps."""
        parts = [_PREFIX, self.kind, self.thing, self.id, str(_microseconds(self.time)), self.other]
        return ":".join(parts)

    @classmethod
    def of(cls, submission: Submission, thing: str, other: str = "") -> Reference:
        """Return the reference of a submission."""
        return cls(submission.kind, thing, submission.id, submission.submitted_at.astimezone(UTC), other)

    @classmethod
    def read(cls, text: str) -> Reference | None:
        """Return what a text means, None when it is no reference of ours."""
        parts = text.split(":")
        if len(parts) != 6 or parts[0] != _PREFIX or not parts[4].isdecimal() or not _THING.fullmatch(parts[2]):
            return None
        if parts[5] and not _THING.fullmatch(parts[5]):
            return None
        try:
            time = _EPOCH + timedelta(microseconds=int(parts[4]))
            return cls(SubmissionKind(parts[1]), parts[2], parts[3], time, parts[5])
        except (ValueError, OverflowError):
            return None


def thing_in(text: str) -> str:
    """Return Telnyx's id in a lasting id or in a reference; empty when there is none."""
    if reference := Reference.read(text):
        return reference.thing
    return text if _THING.fullmatch(text) else ""


def mark_of(submission: Submission) -> str:
    """Return what makes one handing in unmistakable at Telnyx; at most 50 characters for an id of 32."""
    return f"{submission.id}-{_microseconds(submission.submitted_at):x}"


def marked_url(url: str, submission: Submission) -> str:
    """Return the address for webhooks with the mark in its query: Telnyx keeps it, so it can be found again."""
    parts = urlsplit(url)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{_QUERY}={mark_of(submission)}"))


def url_mark(url: object) -> str:
    """Return the mark in an address; empty when there is none."""
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=100).get(_QUERY, [""])[-1] if isinstance(url, str) else ""
    except ValueError:
        return ""


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)

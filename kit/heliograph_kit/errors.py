"""The refusals of the product: one class per reason, turned into a gRPC status at one place (`rpc.interceptors`).

Nothing here knows gRPC. A service derives its own classes in its `errors.py`, sets `reason` and writes the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """One thing wrong with one field: its dotted path in the request, what to do about it, and a reason for code."""

    field: str
    description: str
    reason: str


class HeliographError(Exception):
    """A refusal the caller is told about.

    `code` is the name of a gRPC status code, `reason` a value of `heliograph.common.v1.ErrorReason` without its prefix.
    The message reaches the caller: it says what to do and assumes no knowledge of our insides.
    """

    code: ClassVar[str] = "UNKNOWN"
    reason: ClassVar[str] = "UNSPECIFIED"
    retry_after: ClassVar[timedelta | None] = None

    def __init__(self, message: str, /, **metadata: str) -> None:
        """Take the sentence for people and the facts for code."""
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = metadata


class InvalidArgument(HeliographError):
    """The request is wrong whatever the state is; carries every violation, not the first one only."""

    code = "INVALID_ARGUMENT"
    reason: ClassVar[str] = "INVALID_ARGUMENT"

    def __init__(self, violations: Sequence[Violation], message: str | None = None, /, **metadata: str) -> None:
        """Take all violations; without a message the first ones are told."""
        self.violations = tuple(violations)
        super().__init__(message or _told(self.violations), **metadata)


class NotFound(HeliographError):
    """There is no such thing."""

    code = "NOT_FOUND"
    reason: ClassVar[str] = "NOT_FOUND"

    def __init__(self, message: str, /, *, resource_type: str = "", resource: str = "", **metadata: str) -> None:
        """Take the kind of thing, as in `segment`, and its full name."""
        self.resource_type = resource_type
        self.resource = resource
        super().__init__(message, **metadata)


class AlreadyExists(HeliographError):
    """The name or the request id is taken."""

    code = "ALREADY_EXISTS"
    reason: ClassVar[str] = "ALREADY_EXISTS"

    def __init__(self, message: str, /, *, resource_type: str = "", resource: str = "", **metadata: str) -> None:
        """Take the kind of thing, as in `segment`, and its full name."""
        self.resource_type = resource_type
        self.resource = resource
        super().__init__(message, **metadata)


class RequestIdReused(AlreadyExists):
    """A request id came again with other content."""

    reason: ClassVar[str] = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        """Take the id that was used before."""
        super().__init__(
            "request_id was used before for a request with other content; use a new one", request_id=request_id
        )


class FailedPrecondition(HeliographError):
    """Not allowed in the present state; asking again without a change elsewhere will not help."""

    code = "FAILED_PRECONDITION"
    reason: ClassVar[str] = "FAILED_PRECONDITION"

    def __init__(self, message: str, /, *, subject: str = "", **metadata: str) -> None:
        """Take the name of what is in the wrong state."""
        self.subject = subject
        super().__init__(message, **metadata)


class Aborted(HeliographError):
    """The row or the etag changed under the caller: read again, then try again."""

    code = "ABORTED"
    reason: ClassVar[str] = "CONFLICT"
    retry_after: ClassVar[timedelta | None] = timedelta(milliseconds=100)


class ResourceExhausted(HeliographError):
    """A quota, a rate or a limit is used up."""

    code = "RESOURCE_EXHAUSTED"
    reason: ClassVar[str] = "RESOURCE_EXHAUSTED"
    retry_after: ClassVar[timedelta | None] = timedelta(seconds=1)

    def __init__(self, message: str, /, *, subject: str = "", **metadata: str) -> None:
        """Take what the limit belongs to, as in `projects/shop`."""
        self.subject = subject
        super().__init__(message, **metadata)


class Unavailable(HeliographError):
    """Something we depend on is away; the same request may work soon."""

    code = "UNAVAILABLE"
    reason: ClassVar[str] = "DEPENDENCY_UNAVAILABLE"
    retry_after: ClassVar[timedelta | None] = timedelta(seconds=1)


class Unauthenticated(HeliographError):
    """We do not know who is asking."""

    code = "UNAUTHENTICATED"
    reason: ClassVar[str] = "KEY_MISSING"


class PermissionDenied(HeliographError):
    """We know who is asking, and it may not do this."""

    code = "PERMISSION_DENIED"
    reason: ClassVar[str] = "ROLE_NOT_ALLOWED"


class Violations:
    """Collects what is wrong with a request, so that the caller hears everything at once."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: list[Violation] = []

    def add(self, field: str, description: str, reason: str) -> None:
        """Note one violation; the field is a dotted path such as `segment.rules[2].value`."""
        self._found.append(Violation(field, description, reason))

    def extend(self, violations: Sequence[Violation], *, under: str = "") -> None:
        """Take over violations of a part whose own path is `under`."""
        for violation in violations:
            field = ".".join(part for part in (under, violation.field) if part)
            self._found.append(Violation(field, violation.description, violation.reason))

    @property
    def found(self) -> tuple[Violation, ...]:
        """What was noted so far."""
        return tuple(self._found)

    def __bool__(self) -> bool:
        """Tell whether anything was noted."""
        return bool(self._found)

    def check(self) -> None:
        """Let the request pass when nothing was noted.

        Raises:
            InvalidArgument: with every violation noted.
        """
        if self._found:
            raise InvalidArgument(self._found)


def _told(violations: Sequence[Violation]) -> str:
    if not violations:
        return "the request is not valid"
    shown = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations[:3])
    return shown if len(violations) <= 3 else f"{shown}; and {len(violations) - 3} more"

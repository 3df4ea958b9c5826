"""What the journeys service refuses, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from heliograph_kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, Violation


class JourneyNotFound(NotFound):
    """There is no such journey, or it was deleted."""

    reason = "JOURNEY_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the full name."""
        super().__init__("there is no such journey", resource_type="journey", resource=name)


class RunNotFound(NotFound):
    """The journey has no such run."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the full name."""
        super().__init__("the journey has no such run", resource_type="run", resource=name)


class JourneyNotEditable(FailedPrecondition):
    """Only a draft can be changed."""

    reason = "JOURNEY_NOT_EDITABLE"

    def __init__(self, name: str, state: str) -> None:
        """Take the full name and the state it is in."""
        super().__init__(f"the journey is {state}; only a draft can be changed", subject=name, state=state)


class JourneyRunning(FailedPrecondition):
    """Participants are inside, or are to come."""

    reason = "JOURNEY_RUNNING"

    def __init__(self, name: str, state: str) -> None:
        """Take the full name and the state it is in."""
        words = f"the journey is {state}; cancel it, or wait until it is completed, before deleting it"
        super().__init__(words, subject=name, state=state)


class JourneyNotPublishable(FailedPrecondition):
    """Only a draft can be published."""

    reason = "JOURNEY_NOT_PUBLISHABLE"

    def __init__(self, name: str, state: str) -> None:
        """Take the full name and the state it is in."""
        super().__init__(f"the journey is {state}; only a draft can be published", subject=name, state=state)


class JourneyNotCancellable(FailedPrecondition):
    """Only a journey that runs can be cancelled."""

    reason = "JOURNEY_NOT_CANCELLABLE"

    def __init__(self, name: str, state: str) -> None:
        """Take the full name and the state it is in."""
        words = f"the journey is {state}; only an active or closed journey can be cancelled"
        super().__init__(words, subject=name, state=state)


class JourneyNotReady(InvalidArgument):
    """The review found errors; all of them come as violations. The request is fine, the journey is not."""

    code: ClassVar[str] = "FAILED_PRECONDITION"
    reason: ClassVar[str] = "JOURNEY_NOT_READY"

    def __init__(self, name: str, violations: Sequence[Violation]) -> None:
        """Take the full name and what the review found."""
        super().__init__(violations, None, journey=name)


class SegmentUnusable(JourneyNotReady):
    """Nothing is wrong with the journey but its segment, which does not exist."""

    reason = "SEGMENT_UNUSABLE"


class TemplateUnusable(JourneyNotReady):
    """Nothing is wrong with the journey but a template, which is missing or for another channel."""

    reason = "TEMPLATE_UNUSABLE"


class StaleEtag(Aborted):
    """The journey changed since the caller read it."""

    reason = "CONFLICT"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("the journey changed since you read it; read it again and repeat the change")


class PoolUnusable(JourneyNotReady):
    """Nothing is wrong with the journey but a pool that SMS are to leave from, which does not exist."""

    reason = "POOL_UNUSABLE"

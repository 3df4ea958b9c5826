"""What can go wrong in the segments service."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from heliograph_kit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Violation,
)
from heliograph_kit.names import format_name
from heliograph_segments.domain.problems import Problem


def refuse(problems: Iterable[Problem]) -> None:
    """Let input pass that has no problems.

    Raises:
        InvalidArgument: with a violation for every problem.
    """
    violations = [Violation(found.field, found.description, found.reason) for found in problems]
    if violations:
        raise InvalidArgument(violations)


class EndpointNotFound(NotFound):
    """No such endpoint."""

    reason = "ENDPOINT_NOT_FOUND"

    def __init__(self, project: str, endpoint_id: str) -> None:
        """Take the endpoint asked for."""
        name = format_name(project, "endpoints", endpoint_id)
        super().__init__("there is no such endpoint", resource_type="endpoint", resource=name)


class UserNotFound(NotFound):
    """No such user, or he has no endpoints."""

    reason = "USER_NOT_FOUND"

    def __init__(self, project: str, user_id: str) -> None:
        """Take the user asked for."""
        name = format_name(project, "users", user_id)
        super().__init__("there is no user of that id with endpoints", resource_type="user", resource=name)


class SegmentNotFound(NotFound):
    """No such segment, or no such version of it."""

    reason = "SEGMENT_NOT_FOUND"

    def __init__(self, project: str, segment_id: str, version: int = 0) -> None:
        """Take the segment asked for; version 0 is the latest."""
        name = format_name(project, "segments", segment_id)
        words = f"the segment has no version {version}" if version else "there is no such segment"
        super().__init__(words, resource_type="segment", resource=name)


class SnapshotNotFound(NotFound):
    """No such snapshot."""

    reason = "SNAPSHOT_NOT_FOUND"

    def __init__(self, project: str, snapshot_id: str) -> None:
        """Take the snapshot asked for."""
        name = format_name(project, "snapshots", snapshot_id)
        super().__init__("there is no such snapshot", resource_type="snapshot", resource=name)


class SnapshotIdTaken(AlreadyExists):
    """The snapshot id belongs to a snapshot of another segment or version."""

    reason = "SNAPSHOT_ID_TAKEN"

    def __init__(self, project: str, snapshot_id: str) -> None:
        """Take the snapshot that is there."""
        name = format_name(project, "snapshots", snapshot_id)
        super().__init__(
            "that snapshot was made from another segment or version; choose another id",
            resource_type="snapshot",
            resource=name,
        )


class ExportJobNotFound(NotFound):
    """No such export job."""

    reason = "EXPORT_JOB_NOT_FOUND"

    def __init__(self, project: str, job_id: str) -> None:
        """Take the job asked for."""
        name = format_name(project, "exportJobs", job_id)
        super().__init__("there is no such export job", resource_type="export job", resource=name)


class ImportJobNotFound(NotFound):
    """No such import job."""

    reason = "IMPORT_JOB_NOT_FOUND"

    def __init__(self, project: str, job_id: str) -> None:
        """Take the job asked for."""
        name = format_name(project, "importJobs", job_id)
        super().__init__("there is no such import job", resource_type="import job", resource=name)


class ErasureNotFound(NotFound):
    """No such erasure."""

    reason = "ERASURE_NOT_FOUND"

    def __init__(self, project: str, erasure_id: str) -> None:
        """Take the erasure asked for."""
        name = format_name(project, "erasures", erasure_id)
        super().__init__("there is no such erasure", resource_type="erasure", resource=name)


class SegmentCycle(FailedPrecondition):
    """A segment leads back to itself through its source segments."""

    reason = "SEGMENT_CYCLE"


class SourceSegmentMissing(FailedPrecondition):
    """A source segment was deleted, or its version does not exist."""

    reason = "SOURCE_SEGMENT_MISSING"


class SegmentTooLarge(FailedPrecondition):
    """With its sources written out, the segment has more conditions than can be evaluated."""

    reason = "SEGMENT_TOO_LARGE"


class IndexNotLoaded(FailedPrecondition):
    """What is asked for needs the index, which does not fit into the memory."""

    reason = "INDEX_NOT_LOADED"

    def __init__(self, project: str) -> None:
        """Take the project."""
        words = "the index of the project does not fit into HELIOGRAPH_SEGMENTS_INDEX_MEMORY_BYTES"
        super().__init__(words, subject=f"projects/{project}")


class TooManyActiveJobs(ResourceExhausted):
    """The project has as many unfinished jobs as it may have."""

    reason = "TOO_MANY_ACTIVE_JOBS"
    retry_after = timedelta(seconds=10)

    def __init__(self, project: str, limit: int) -> None:
        """Take the project and how many jobs it may have."""
        super().__init__(
            f"at most {limit} jobs may be unfinished; wait for one to end",
            subject=f"projects/{project}",
            limit=str(limit),
        )

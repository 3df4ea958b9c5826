"""Import jobs: what they are and how they move on (pinpoint-1 3.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from heliograph_segments.domain.checking import MAX_DISPLAY_NAME
from heliograph_segments.domain.endpoints import check_text
from heliograph_segments.domain.import_rows import MAX_FAILURES, RowFailure
from heliograph_segments.domain.problems import Problem

MAX_SOURCE = 1024
_SOURCE = re.compile(r"file:[^\x00]+|https://[^\x00-\x20]+|s3://[^/\x00]+/[^\x00]*")


class JobFormat(StrEnum):
    """What the file of an import holds."""

    CSV = "CSV"
    NDJSON = "NDJSON"


class JobState(StrEnum):
    """Where a job stands; the order of pinpoint-1 3.5."""

    CREATED = "CREATED"
    INITIALIZING = "INITIALIZING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self in (JobState.COMPLETED, JobState.FAILED)


@dataclass(frozen=True)
class Job:
    """An import with its progress."""

    project: str
    job_id: str
    format: JobFormat
    source: str
    created_at: datetime
    state: JobState = JobState.CREATED
    failure_reason: str = ""
    failure_message: str = ""
    total_pieces: int = 0
    completed_pieces: int = 0
    failed_pieces: int = 0
    processed_count: int = 0
    failed_count: int = 0
    created_count: int = 0
    size_bytes: int = 0
    done_bytes: int = 0
    # The objects of the source, and those of them that are done or passed over.
    object_count: int = 0
    completed_objects: int = 0
    skipped_objects: int = 0
    # What the source was when the job began: another one is not continued.
    listing: str = ""
    # The object in hand: its version, and the bytes and lines of it that are written or counted as failed.
    object_version: str = ""
    object_bytes: int = 0
    done_lines: int = 0
    failures: tuple[RowFailure, ...] = ()
    completed_at: datetime | None = None
    skip_endpoints: bool = False
    # Of the segment it makes: the name of a new one, or the one that gets a version.
    segment_name: str = ""
    segment_id: str = ""

    @property
    def defines(self) -> bool:
        """Whether a segment is made of the rows."""
        return bool(self.segment_name or self.segment_id)

    @property
    def begun(self) -> bool:
        """Whether anything of the source was written or passed over."""
        return bool(self.object_bytes or self.done_objects)

    @property
    def done_objects(self) -> int:
        """How many objects nobody has to look at again."""
        return self.completed_objects + self.skipped_objects

    def listed(self, sizes: Sequence[int], listing: str, piece_bytes: int) -> Job:
        """Return the job with the objects of its source, of these sizes as they are stored."""
        job = replace(self, state=JobState.INITIALIZING, object_count=len(sizes), listing=listing)
        return job._sized(0, sizes, piece_bytes)

    def opened(self, version: str, size: int, later: Sequence[int], piece_bytes: int) -> Job:
        """Return the job with its next object looked at; those of the sizes `later` come behind it."""
        return replace(self, object_version=version)._sized(size, later, piece_bytes)

    def skipped(self, later: Sequence[int], piece_bytes: int) -> Job:
        """Return the job with its next object passed over."""
        return replace(self, skipped_objects=self.skipped_objects + 1)._sized(0, later, piece_bytes)

    def _sized(self, size: int, later: Sequence[int], piece_bytes: int) -> Job:
        # A piece is every line that begins in so many bytes of an object.
        pieces = sum(-(-each // piece_bytes) for each in (size, *later)) - self.object_bytes // piece_bytes
        return replace(
            self,
            size_bytes=self.done_bytes - self.object_bytes + size + sum(later),
            total_pieces=self.completed_pieces + pieces,
        )

    def advanced(
        self,
        *,
        object_bytes: int,
        done_lines: int,
        whole: bool,
        rows: int,
        failures: Sequence[RowFailure],
    ) -> Job:
        """Return the job after a piece, the last of its object when that is `whole`: `rows` read, the failed included."""
        return replace(
            self,
            state=JobState.PROCESSING,
            done_bytes=self.done_bytes + object_bytes - self.object_bytes,
            completed_objects=self.completed_objects + int(whole),
            object_version="" if whole else self.object_version,
            object_bytes=0 if whole else object_bytes,
            done_lines=0 if whole else done_lines,
            completed_pieces=self.completed_pieces + 1,
            processed_count=self.processed_count + rows,
            failed_count=self.failed_count + len(failures),
            failures=(*self.failures, *failures)[:MAX_FAILURES],
        )

    def with_refused(self, failures: Sequence[RowFailure]) -> Job:
        """Return the job with rows of the last piece that the record refused."""
        told = sorted((*self.failures, *failures), key=lambda row: (row.object, row.line))[:MAX_FAILURES]
        return replace(self, failed_count=self.failed_count + len(failures), failures=tuple(told))

    def with_created(self, count: int) -> Job:
        """Return the job with so many more endpoints that did not exist before."""
        return replace(self, created_count=self.created_count + count)

    def completed(self, now: datetime) -> Job:
        """Return the job at its good end."""
        # Lines longer than a piece make fewer of them than there were to be.
        return replace(self, state=JobState.COMPLETED, total_pieces=self.completed_pieces, completed_at=now)

    def failed(self, reason: str, message: str, now: datetime, *, piece: bool = False) -> Job:
        """Return the job at its bad end; what was written stays written."""
        return replace(
            self,
            state=JobState.FAILED,
            failure_reason=reason,
            failure_message=message,
            failed_pieces=self.failed_pieces + int(piece),
            completed_at=now,
        )

    @property
    def imported_count(self) -> int:
        """How many rows were written."""
        return self.processed_count - self.failed_count


def check_source(source: str) -> list[Problem]:
    """Say what is wrong with the source of an import; where it leads is looked at elsewhere."""
    if not source:
        return [Problem("import_job.source", "REQUIRED", "is required")]
    if len(source) > MAX_SOURCE:
        return [Problem("import_job.source", "TOO_LONG", f"must have at most {MAX_SOURCE} characters")]
    if not _SOURCE.fullmatch(source):
        words = "must be file: and a path, https:// and a URL, or s3://{bucket}/{key}"
        return [Problem("import_job.source", "MALFORMED", words)]
    return []


def check_definition(*, given: bool, name: str, segment: bool, skip_endpoints: bool) -> list[Problem]:
    """Say what is wrong with the segment an import is to make; `segment` tells whether one is named that there is."""
    path = "import_job.segment_definition"
    if not given:
        words = "is required with skip_endpoints: otherwise the import does nothing"
        return [Problem(path, "REQUIRED", words)] if skip_endpoints else []
    if bool(name) == segment:
        return [Problem(path, "REQUIRED", "needs either a display_name or a segment")]
    return check_text(f"{path}.display_name", name, MAX_DISPLAY_NAME)

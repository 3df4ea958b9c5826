"""Export jobs: what they are, how they move on, and what they write of an endpoint (pinpoint-1 3.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from heliograph_segments.domain.endpoints import Endpoint
from heliograph_segments.domain.jobs import MAX_SOURCE, JobState
from heliograph_segments.domain.problems import Problem

_DESTINATION = re.compile(r"file:[^\x00]*|s3://[^/\x00]+/[^\x00]*")


@dataclass(frozen=True)
class ExportJob:
    """An export with its progress. A piece is one object of up to `piece_endpoints` endpoints."""

    project: str
    job_id: str
    destination: str
    created_at: datetime
    segment_id: str = ""
    segment_version: int = 0
    state: JobState = JobState.CREATED
    failure_reason: str = ""
    failure_message: str = ""
    total_pieces: int = 0
    completed_pieces: int = 0
    failed_pieces: int = 0
    processed_count: int = 0
    piece_endpoints: int = 0
    completed_at: datetime | None = None

    def begun(self, members: int, piece_endpoints: int) -> ExportJob:
        """Return the job with so many endpoints to write."""
        pieces = -(-members // piece_endpoints)
        return replace(self, state=JobState.INITIALIZING, total_pieces=pieces, piece_endpoints=piece_endpoints)

    def advanced(self, endpoints: int) -> ExportJob:
        """Return the job after an object of so many endpoints; who was deleted meanwhile is in none."""
        return replace(
            self,
            state=JobState.PROCESSING,
            completed_pieces=self.completed_pieces + 1,
            processed_count=self.processed_count + endpoints,
        )

    def completed(self, now: datetime) -> ExportJob:
        """Return the job at its good end."""
        return replace(self, state=JobState.COMPLETED, completed_at=now)

    def failed(self, reason: str, message: str, now: datetime, *, piece: bool) -> ExportJob:
        """Return the job at its bad end; the objects that are written stay."""
        return replace(
            self,
            state=JobState.FAILED,
            failure_reason=reason,
            failure_message=message,
            failed_pieces=int(piece),
            completed_at=now,
        )

    def object_name(self, piece: int) -> str:
        """Return the name of the object of a piece, from 0: it sorts by the piece and is the same each time."""
        return f"{self.job_id}-{piece:06}.ndjson.gz"


def check_destination(destination: str) -> list[Problem]:
    """Say what is wrong with the destination of an export; where it leads is looked at elsewhere."""
    field = "export_job.destination"
    if not destination:
        return [Problem(field, "REQUIRED", "is required")]
    if len(destination) > MAX_SOURCE:
        return [Problem(field, "TOO_LONG", f"must have at most {MAX_SOURCE} characters")]
    if not _DESTINATION.fullmatch(destination):
        return [Problem(field, "MALFORMED", "must be file: and the path of a folder, or s3://{bucket}/{prefix}")]
    return []


def document_of(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint as an export tells it: what an import reads, and no member that is empty."""
    user = {"UserId": endpoint.user_id, "UserAttributes": endpoint.user_attributes}
    document: dict[str, Any] = {
        "Id": endpoint.endpoint_id,
        "ChannelType": endpoint.channel,
        "Address": endpoint.address,
        "EndpointStatus": "ACTIVE" if endpoint.active else "INACTIVE",
        "OptOut": "ALL" if endpoint.opted_out else "NONE",
        "EffectiveDate": endpoint.effective_at.isoformat(),
        "CohortId": str(endpoint.cohort),
        "CreationDate": endpoint.created_at.isoformat(),
        "RequestId": endpoint.request_id,
        "Attributes": endpoint.attributes,
        "Metrics": endpoint.metrics,
        "Demographic": endpoint.demographic,
        "Location": endpoint.location,
        "User": {member: held for member, held in user.items() if held},
    }
    return {member: held for member, held in document.items() if held}

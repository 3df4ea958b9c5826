"""What the segments service announces, and what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from heliograph.segments.v1 import events_pb2
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject
from heliograph_segments.domain.erasures import Erasure
from heliograph_segments.domain.jobs import Job

SERVICE = "segments"


def segment_updated(project: str, segment_id: str, version: int) -> Outgoing:
    """Return the announcement of a new version."""
    message = events_pb2.SegmentUpdated(segment=format_name(project, "segments", segment_id), version=version)
    subject = changes_subject(SERVICE, project, "segment_updated")
    return Outgoing(subject, message, derived_id("segment updated", project, segment_id, str(version)), project)


def segment_deleted(project: str, segment_id: str) -> Outgoing:
    """Return the announcement that a segment is gone."""
    message = events_pb2.SegmentDeleted(segment=format_name(project, "segments", segment_id))
    subject = changes_subject(SERVICE, project, "segment_deleted")
    return Outgoing(subject, message, derived_id("segment deleted", project, segment_id), project)


def membership_changed(
    project: str,
    segment_id: str,
    version: int,
    sequence: int,
    as_of: datetime,
    entered: Sequence[str],
    left: Sequence[str],
) -> Outgoing:
    """Return the announcement that endpoints entered and left a segment in use."""
    message = events_pb2.MembershipChanged(
        segment=format_name(project, "segments", segment_id),
        version=version,
        sequence=sequence,
        as_of_time=timestamp(as_of),
        entered_endpoint_ids=entered,
        left_endpoint_ids=left,
    )
    subject = changes_subject(SERVICE, project, "membership_changed")
    return Outgoing(subject, message, derived_id("membership changed", project, segment_id, str(sequence)), project)


def user_erased(erasure: Erasure) -> Outgoing:
    """Return the request to erase what others hold of a user; another one each time they are asked."""
    message = events_pb2.UserErased(
        erasure=format_name(erasure.project, "erasures", erasure.erasure_id),
        user_id=erasure.user_id,
        endpoint_ids=erasure.endpoint_ids,
        ordinals=erasure.ordinals,
        erase_time=timestamp(erasure.created_at),
    )
    subject = changes_subject(SERVICE, erasure.project, "user_erased")
    key = (erasure.project, erasure.erasure_id)
    return Outgoing(subject, message, derived_id("user erased", *key, str(erasure.asks)), erasure.project)


def import_finished(job: Job) -> Outgoing:
    """Return the announcement that an import ended, well or badly."""
    message = events_pb2.ImportFinished(
        job=format_name(job.project, "importJobs", job.job_id),
        imported_count=job.imported_count,
        failed_count=job.failed_count,
    )
    subject = changes_subject(SERVICE, job.project, "import_finished")
    return Outgoing(subject, message, derived_id("import finished", job.project, job.job_id), job.project)

"""The segments service as a program: `heliograph-segments --role {all,api,worker}`."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from heliograph.segments.v1 import (
    audience_pb2_grpc,
    endpoints_pb2_grpc,
    erasures_pb2_grpc,
    jobs_pb2_grpc,
    segments_pb2_grpc,
)
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, run_service
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.imports.worker import ImportWorker
from heliograph_segments.places.buckets import S3
from heliograph_segments.places.choosing import Places
from heliograph_segments.service.activity import ActivityRecorder, ProjectEraser
from heliograph_segments.service.attributes import Attributes
from heliograph_segments.service.audience import Audiences
from heliograph_segments.service.behaviors import Behaviors
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.erasures import Erasures, ErasureWorker
from heliograph_segments.service.exporting import ExportWorker
from heliograph_segments.service.exports import Exports
from heliograph_segments.service.imported import ImportedLists
from heliograph_segments.service.index_keeper import IndexKeeper
from heliograph_segments.service.jobs import Jobs
from heliograph_segments.service.listings import Listings
from heliograph_segments.service.marks import Marks
from heliograph_segments.service.memberships import MembershipWorker, Rhythm
from heliograph_segments.service.reading import Reader
from heliograph_segments.service.segments import Segments
from heliograph_segments.service.uses import Uses
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.servicers import (
    AudienceServicer,
    EndpointServicer,
    ErasureServicer,
    JobServicer,
    SegmentServicer,
)
from heliograph_segments.tables import mail, metadata

PACKAGE = "heliograph_segments"


async def build(runtime: Runtime[SegmentsSettings]) -> None:
    """Wire the service."""
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    runtime.use_mail(mail)
    inbox = Inbox(mail)

    limits = Limits(user_endpoints=settings.user_endpoints, attribute_names=settings.attribute_names)
    writer = EndpointWriter(clock, limits)
    attributes = Attributes(database, settings.attribute_names)
    places = Places(
        import_root=settings.import_root,
        import_hosts=settings.import_hosts,
        import_buckets=settings.import_buckets,
        most_bytes=settings.import_unpacked_bytes,
        export_root=settings.export_root,
        export_buckets=settings.export_buckets,
        s3=S3(settings.s3_endpoint, path_style=settings.s3_path_style),
    )
    importer = ImportWorker(database, runtime.outbox, clock, settings, writer, places)
    jobs = Jobs(database, clock, places=places, limit=settings.import_active_jobs, wake=importer.wake)
    keeper = IndexKeeper(
        database,
        folder=settings.index_folder,
        memory_bytes=settings.index_memory_bytes,
        retention=timedelta(hours=settings.audience_log_hours),
        save_seconds=settings.index_save_seconds,
    )
    runtime.on_close(keeper.close)
    behaviors = Behaviors(database, runtime.peer("analytics"))
    runtime.on_close(behaviors.close)
    reader = Reader(database, keeper, Listings(imported=ImportedLists(database).find, behaviors=behaviors.find))
    audiences = Audiences(database, clock, reader)
    exporter = ExportWorker(
        database,
        clock,
        reader,
        places=places,
        piece=settings.export_piece_endpoints,
        lease_seconds=settings.export_lease_seconds,
    )
    exports = Exports(database, clock, places=places, limit=settings.import_active_jobs, wake=exporter.wake)
    uses = Uses(database, inbox)
    area = "heliograph.segments.v1"
    runtime.add_servicer(
        endpoints_pb2_grpc.add_EndpointServiceServicer_to_server,
        EndpointServicer(Endpoints(database, writer), attributes, Marks(database, writer)),
        f"{area}.EndpointService",
    )
    runtime.add_servicer(
        segments_pb2_grpc.add_SegmentServiceServicer_to_server,
        SegmentServicer(Segments(database, runtime.outbox, clock, reader), uses),
        f"{area}.SegmentService",
    )
    runtime.add_servicer(
        jobs_pb2_grpc.add_JobServiceServicer_to_server, JobServicer(jobs, exports), f"{area}.JobService"
    )
    runtime.add_servicer(
        audience_pb2_grpc.add_AudienceServiceServicer_to_server,
        AudienceServicer(audiences, keeper),
        f"{area}.AudienceService",
    )
    eraser = ErasureWorker(database, runtime.outbox)
    erasures = Erasures(database, inbox, clock, wake=eraser.wake)
    runtime.add_servicer(
        erasures_pb2_grpc.add_ErasureServiceServicer_to_server, ErasureServicer(erasures), f"{area}.ErasureService"
    )
    runtime.add_consumer(erasures.consumer(runtime.bus))
    runtime.add_worker("erasures", eraser.run)
    runtime.add_consumer(ActivityRecorder(database, inbox, writer).consumer(runtime.bus))
    runtime.add_consumer(ProjectEraser(database, inbox).consumer(runtime.bus))
    runtime.add_consumer(uses.consumer(runtime.bus))
    rhythm = Rhythm(
        changes=timedelta(seconds=settings.membership_change_seconds),
        time=timedelta(seconds=settings.membership_time_seconds),
        lease=timedelta(seconds=settings.membership_lease_seconds),
        retention=timedelta(hours=settings.audience_log_hours),
    )
    runtime.add_worker("memberships", MembershipWorker(database, runtime.outbox, clock, reader, rhythm).run)
    runtime.add_worker("imports", importer.run)
    runtime.add_worker("exports", exporter.run)
    runtime.add_worker("removals", attributes.run)
    runtime.add_worker("indexes", keeper.run, every_role=True)
    if settings.snapshot_days:
        runtime.add_worker("snapshots", partial(audiences.forget_old, timedelta(days=settings.snapshot_days)))


def main() -> None:
    """Be the console command."""
    run_service(SegmentsSettings, build, package=PACKAGE, metadata=metadata)


if __name__ == "__main__":
    main()

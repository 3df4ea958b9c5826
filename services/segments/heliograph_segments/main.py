"""The segments service as a program: `heliograph-segments --role {all,api,worker}`."""

from __future__ import annotations

from heliograph.segments.v1 import audience_pb2_grpc, endpoints_pb2_grpc, jobs_pb2_grpc, segments_pb2_grpc
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, run_service
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.imports.worker import ImportWorker
from heliograph_segments.service.activity import ActivityRecorder, ProjectEraser
from heliograph_segments.service.audience import Audiences
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.jobs import Jobs
from heliograph_segments.service.segments import Segments
from heliograph_segments.servicers import AudienceServicer, EndpointServicer, JobServicer, SegmentServicer
from heliograph_segments.tables import mail, metadata

PACKAGE = "heliograph_segments"


async def build(runtime: Runtime[SegmentsSettings]) -> None:
    """Wire the service."""
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    runtime.use_mail(mail)
    inbox = Inbox(mail)

    importer = ImportWorker(database, runtime.outbox, clock, settings)
    jobs = Jobs(database, clock, root=settings.import_root, limit=settings.import_active_jobs, wake=importer.wake)
    area = "heliograph.segments.v1"
    runtime.add_servicer(
        endpoints_pb2_grpc.add_EndpointServiceServicer_to_server,
        EndpointServicer(Endpoints(database, clock)),
        f"{area}.EndpointService",
    )
    runtime.add_servicer(
        segments_pb2_grpc.add_SegmentServiceServicer_to_server,
        SegmentServicer(Segments(database, runtime.outbox, clock)),
        f"{area}.SegmentService",
    )
    runtime.add_servicer(jobs_pb2_grpc.add_JobServiceServicer_to_server, JobServicer(jobs), f"{area}.JobService")
    runtime.add_servicer(
        audience_pb2_grpc.add_AudienceServiceServicer_to_server,
        AudienceServicer(Audiences(database, clock)),
        f"{area}.AudienceService",
    )
    runtime.add_consumer(ActivityRecorder(database, inbox).consumer(runtime.bus))
    runtime.add_consumer(ProjectEraser(database, inbox).consumer(runtime.bus))
    runtime.add_worker("imports", importer.run)


def main() -> None:
    """Be the console command."""
    run_service(SegmentsSettings, build, package=PACKAGE, metadata=metadata)


if __name__ == "__main__":
    main()

"""`heliograph.registry10dlc.v1.LaunchService`: how long a send takes, and whether its text fits what was registered."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import launch_pb2, launch_pb2_grpc
from heliograph_kit.names import parse_name, project_of
from heliograph_registry10dlc.content_protos import check_bodies, check_content
from heliograph_registry10dlc.domain import Kind, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.launch_protos import plan_launch, read_request
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.servicers.reading import Context, check_same_project


class LaunchServicer(launch_pb2_grpc.LaunchServiceServicer):
    """Answers LaunchService. Reads only."""

    def __init__(self, book: Book) -> None:
        """Take the book."""
        self._book = book

    async def PlanLaunch(self, request: launch_pb2.PlanLaunchRequest, context: Context) -> launch_pb2.LaunchPlan:
        """Plan a send."""
        now, allowances = self._book.clock.now(), self._book.terms.allowances
        # All that is wrong with the request is told before anything is looked for.
        read_request(request, now=now)
        use_case, brand = await self._papers(request.parent, request.use_case)
        return plan_launch(request, use_case, brand, now=now, table=allowances.table, shares=allowances.shares)

    async def CheckContent(
        self, request: launch_pb2.CheckContentRequest, context: Context
    ) -> launch_pb2.CheckContentResponse:
        """Check texts against what was registered."""
        check_bodies(request)
        use_case, brand = await self._papers(request.parent, request.use_case)
        return check_content(request, use_case, brand)

    async def _papers(self, parent: str, use_case: str) -> tuple[Registration, Registration]:
        project = project_of(parent, field="parent")
        name = parse_name(use_case, COLLECTION[Kind.USE_CASE], field="use_case")
        check_same_project(project, name.project, "use_case")
        found = await self._book.read(project, Kind.USE_CASE, name.id)
        return found, await self._book.read(project, Kind.BRAND, found.parent_id)

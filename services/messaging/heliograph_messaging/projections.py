"""What messaging follows of others: numbers of the 10DLC registry, deleted projects, erased users; and what it asks of segments."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError

from heliograph.registry10dlc.v1 import events_pb2 as registry_pb2
from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc, endpoints_pb2, endpoints_pb2_grpc
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.database import Database
from heliograph_kit.errors import Unavailable
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox
from heliograph_messaging.domain.numbers import Number, Registration
from heliograph_messaging.events import erasure_done
from heliograph_messaging.pipeline.erasing import Eraser
from heliograph_messaging.store.channels import NumberStore, forget_project
from heliograph_messaging.store.marks import NewMark

NUMBERS_CONSUMER = "messaging-numbers"
PROJECTS_CONSUMER = "messaging-projects"
ERASURES_CONSUMER = "messaging-erasures"


class NumberProjection:
    """Keeps `messaging.numbers` as the registry announces it."""

    def __init__(self, database: Database, store: NumberStore, inbox: Inbox) -> None:
        """Take where numbers are kept."""
        self._database = database
        self._store = store
        self._inbox = inbox

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Take over announcements; safe to repeat and in any order, as older revisions change nothing.

        Raises:
            CannotEverWork: a payload is no announcement of a number.
        """
        announced = []
        for delivery in deliveries:
            try:
                announced.append((delivery, registry_pb2.NumberUpdated.FromString(delivery.payload)))
            except DecodeError as error:
                raise CannotEverWork("not a NumberUpdated") from error
        async with self._database.transaction() as conn:
            await self._inbox.first_seen(conn, NUMBERS_CONSUMER, [delivery.id for delivery in deliveries])
            for delivery, change in announced:
                await self._store.put(conn, delivery.project, _number(change), revision=change.revision)


def _number(change: registry_pb2.NumberUpdated) -> Number:
    registration = Registration(
        change.brand, change.parts_per_day, change.message_type, change.help_reply, change.stop_reply, change.lent_by,
        change.toll_free_registered,
    )  # fmt: skip
    return Number(
        change.number, change.kind, change.state, change.sms_capable, change.use_case, change.parts_per_second,
        voice_capable=change.voice_capable, registration=registration,
    )  # fmt: skip


class ProjectProjection:
    """Drops what messaging holds of a deleted project."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        """Take the database."""
        self._database = database
        self._inbox = inbox

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Delete the rows of each project named by the subject; safe to repeat."""
        for delivery in deliveries:
            async with self._database.transaction() as conn:
                await self._inbox.first_seen(conn, PROJECTS_CONSUMER, [delivery.id])
                await forget_project(conn, delivery.project)


class ErasureProjection:
    """Erases users whom segments has erased."""

    def __init__(self, database: Database, eraser: Eraser, inbox: Inbox, outbox: Outbox) -> None:
        """Take the database, what erases, what remembers applied messages, and the announcements."""
        self._eraser = eraser
        self._database = database
        self._inbox = inbox
        self._outbox = outbox

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Erase the user of each announcement and answer it; safe to repeat.

        Raises:
            CannotEverWork: a payload is no UserErased.
        """
        for delivery in deliveries:
            try:
                asked = segments_events_pb2.UserErased.FromString(delivery.payload)
            except DecodeError as error:
                raise CannotEverWork("not a UserErased") from error
            async with self._database.transaction() as conn:
                await self._inbox.first_seen(conn, ERASURES_CONSUMER, [delivery.id])
                await self._eraser.erase(conn, delivery.project, asked.erasure, asked.endpoint_ids, asked.ordinals)
                await self._outbox.add(conn, erasure_done(delivery.project, asked.erasure, delivery.id))


class SegmentsAudience:
    """Endpoints, asked of the segments service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Take the channel to segments."""
        self._stub = audience_pb2_grpc.AudienceServiceStub(channel)
        self._endpoints = endpoints_pb2_grpc.EndpointServiceStub(channel)

    async def read_endpoints(self, project: str, ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Return the endpoints that exist, in the order asked.

        Raises:
            Unavailable: segments does not answer.
        """
        request = audience_pb2.ReadEndpointsRequest(project=f"projects/{project}", endpoint_ids=ids, fields=fields)
        try:
            return await self._stub.ReadEndpoints(request)
        except grpc.aio.AioRpcError as error:
            raise _away() from error

    async def read_user_endpoints(
        self, project: str, users: Sequence[str], fields: Sequence[str]
    ) -> audience_pb2.MemberPage:
        """Return all endpoints of at most 100 users, user by user.

        Raises:
            Unavailable: segments does not answer.
        """
        request = audience_pb2.ReadUserEndpointsRequest(project=f"projects/{project}", user_ids=users, fields=fields)
        try:
            return await self._stub.ReadUserEndpoints(request)
        except grpc.aio.AioRpcError as error:
            raise _away() from error

    async def mark_endpoints(self, project: str, marks: Sequence[NewMark]) -> None:
        """Tell what was learnt of endpoints; safe to repeat.

        Raises:
            Unavailable: segments does not answer.
        """
        request = endpoints_pb2.MarkEndpointsRequest(
            parent=f"projects/{project}",
            marks=[
                endpoints_pb2.EndpointMark(
                    endpoint_id=mark.endpoint_id,
                    kind=endpoints_pb2.EndpointMark.Kind.Value(f"KIND_{mark.kind}"),
                    address=mark.address,
                    new_address=mark.new_address,
                )
                for mark in marks
            ],
        )
        try:
            await self._endpoints.MarkEndpoints(request)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"segments does not answer: {error.code().name}", dependency="segments") from error


def _away() -> Unavailable:
    return Unavailable("endpoints cannot be looked up now; try again in a moment", dependency="segments")

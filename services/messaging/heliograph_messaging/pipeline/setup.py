"""What a batch needs before anything is sent: is it well formed, which channel, which content, which numbers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_channels import Attachment, Kind
from heliograph_kit.consumer import Delivery
from heliograph_kit.errors import InvalidArgument
from heliograph_kit.names import parse_name, project_of
from heliograph_messaging.contained import address_problems
from heliograph_messaging.content import ContentCache, Marking, NoContent, Prepared
from heliograph_messaging.domain.handlebars import DoesNotCompile
from heliograph_messaging.domain.recipients import Recipients
from heliograph_messaging.events import CLASSES
from heliograph_messaging.faults import PluginFault
from heliograph_messaging.pipeline import extras
from heliograph_messaging.pipeline.lanes import Lane, Lanes, order
from heliograph_messaging.pipeline.page import recipients_of
from heliograph_messaging.pipeline.plan import Problem, Setup, addresses_to_check
from heliograph_messaging.pipeline.policy import policy_of
from heliograph_messaging.pipeline.simulated import SimulatedLanes
from heliograph_messaging.pipeline.sms import Sms, SmsReader
from heliograph_messaging.pipeline.tracking import NOWHERE, Tracking
from heliograph_messaging.providers import KINDS, CannotOpen, Senders
from heliograph_messaging.store.channels import ChannelStore, StoredChannel
from heliograph_messaging.store.files import FileStore
from heliograph_messaging.store.records import BatchKey, Lease, NewBatch
from heliograph_messaging.store.routes import Route, RouteStore, main_route
from heliograph_messaging.store.templates import TemplateStore
from heliograph_messaging.translate import named_files, read_inline

_ID = re.compile(r"[0-9a-f]{32}")
_AWAY_SECONDS = 2.0


class Away(Exception):
    """The provider cannot be called now; try again in so many seconds."""

    def __init__(self, detail: str, seconds: float) -> None:
        """Take words for people and the pause."""
        super().__init__(detail)
        self.detail = detail
        self.seconds = seconds


@dataclass(frozen=True)
class Found:
    """What the database holds for a batch. Exactly one of `channel` with `content`, and `problem`, is there."""

    channel: StoredChannel | None
    routes: list[Route]
    content: Prepared | None
    problem: Problem | None
    sms: Sms | None
    from_address: str
    version: int

    @property
    def provider_name(self) -> str:
        """The plugin, empty when there is no channel."""
        return self.channel.provider if self.channel else ""


def parse_batch(delivery: Delivery, *, now: datetime) -> tuple[dispatch_pb2.DispatchBatch, Recipients, NewBatch]:
    """Read the payload of a delivery.

    Raises:
        DecodeError, ValueError: it is no batch, or not one of this subject; that will never change.
    """
    batch = dispatch_pb2.DispatchBatch.FromString(delivery.payload)
    try:
        project = project_of(batch.project, field="project")
    except InvalidArgument as error:
        raise ValueError(error.message) from error
    if delivery.subject.split(".")[1:] != [CLASSES.get(batch.message_class, ""), project]:
        raise ValueError("project or class of the batch are not those of its subject")
    if not _ID.fullmatch(batch.batch_id):
        raise ValueError("batch_id is not 32 lowercase hexadecimal digits")
    recipients = recipients_of(batch.recipients)
    policy_of(batch)
    source = batch.source
    new = NewBatch(
        BatchKey(project, batch.batch_id), CLASSES[batch.message_class], source.name, source.run_id,
        source.treatment_id, source.activity_id, batch.channel, batch.content.template, batch.content.template_version,
        now, extras.written(batch),
    )  # fmt: skip
    return batch, recipients, new


class BatchSetup:
    """Finds and opens what batches need."""

    def __init__(
        self,
        channels: ChannelStore,
        routes: RouteStore,
        templates: TemplateStore,
        sms: SmsReader,
        cache: ContentCache,
        senders: Senders,
        files: FileStore,
        tracking: Tracking,
        simulated: SimulatedLanes,
    ) -> None:
        """Take the stores, the compiled content, the opened senders, what decides about links, and the way to simulator numbers."""
        self._channels = channels
        self._routes = routes
        self._templates = templates
        self._sms = sms
        self._cache = cache
        self._senders = senders
        self._files = files
        self._tracking = tracking
        self._simulated = simulated

    async def find(self, conn: AsyncConnection, batch: dispatch_pb2.DispatchBatch, lease: Lease) -> Found:
        """Read channel, content and numbers. A batch begun before keeps its template version."""
        project, content = lease.key.project, batch.content
        prepared: Prepared | None = None
        version = lease.template_version if lease.claimed else content.template_version
        channel = await self._channels.get(conn, project, batch.channel)
        problem = self._channel_problem(batch, channel)
        further = await self._routes.of_channel(conn, project, batch.channel) if channel and not problem else []
        ways = [main_route(channel)] if channel else []
        ways += [route.route() for route in further if route.enabled]
        if problem is None:
            try:
                marking = self._tracking.marking if channel and any(self._tracking.wanted(channel)) else None
                prepared = await self._content(conn, project, batch, version, marking)
                version = prepared.template_version
            except (NoContent, DoesNotCompile, InvalidArgument) as error:
                problem = Problem("FAILURE_PERMANENT", str(error))
        sms = None
        own = channel.from_address if channel else ""
        from_address = content.from_address or own
        if batch.channel == "VOICE" and content.origination_number:
            from_address = content.origination_number
            if problem is None and from_address != own:
                told = await self._sms.caller_problem(conn, project, from_address)
                problem = Problem("FAILURE_PERMANENT", told) if told else None
        if batch.channel == "SMS" and not problem:
            try:
                sms = await self._sms.read(conn, project, content, channel_sender_id=own)
            except InvalidArgument as error:
                problem = Problem("FAILURE_PERMANENT", f"INVALID_POOL_ID: {error}")
        return Found(channel, ways, prepared, problem, sms, from_address, version)

    async def open(self, found: Found) -> Setup | Problem:
        """Return how to send the batch, with the lanes that are open, or why there is nothing to send.

        Raises:
            Away: no plugin of the channel can be opened, or all are left alone after failures.
        """
        if found.problem is not None or found.channel is None or found.content is None:
            return found.problem or Problem("UNSUPPORTED_CHANNEL", "the channel is not set up")
        lanes = order([await self._lane(route) for route in found.routes], time.monotonic())
        if lanes[0].opened is None:
            raise Away(lanes[0].away, min(lane.seconds for lane in lanes))
        signer = await self._tracking.signer(found.channel.project) if found.channel.kind == "EMAIL" else None
        rewriting = self._tracking.rewriting(found.channel, found.content.marked, signer)
        sms = found.sms
        if sms is None:
            return Setup(found.content, Lanes(lanes), found.from_address, None, rewriting=rewriting, signer=signer)
        ways = Lanes(lanes, aside=[self._simulated.of(found.channel.project)])
        honour = sms.settings.honour_endpoint_opt_out
        return Setup(found.content, ways, found.from_address, sms.originations(lanes), sms.prices, honour)

    async def _lane(self, route: Route) -> Lane:
        provider = self._senders.provider(route.provider)
        if provider is None:
            missing = f"the channel plugin {route.provider!r} is not installed"
            return Lane(route.route, None, None, missing, _AWAY_SECONDS)
        try:
            opened = await self._senders.of(route)
        except CannotOpen as error:
            return Lane(route.route, provider, None, str(error), _AWAY_SECONDS)
        wait = opened.breaker.wait(time.monotonic())
        if wait:
            told = f"the channel plugin {provider.name!r} fails; it is left alone for {wait:.1f} s"
            return Lane(route.route, provider, None, told, wait)
        return Lane(route.route, provider, opened)

    async def bad_addresses(
        self,
        batch: dispatch_pb2.DispatchBatch,
        recipients: Recipients,
        setup: Setup | Problem,
        *,
        now: datetime,
        erased: frozenset[int],
    ) -> dict[int, str]:
        """Return by position what the plugins say against the addresses of those who are written to.

        Raises:
            Away: the last plugin that could be called does not answer.
        """
        bad: dict[int, str] = {}
        if isinstance(setup, Problem):
            return bad
        asked = addresses_to_check(batch, recipients, setup, now=now, erased=erased)
        for lane, addresses in asked:
            if lane.provider is None:
                continue
            try:
                problems = await address_problems(lane.provider, Kind(batch.channel), list(addresses.values()))
            except PluginFault as fault:
                if not setup.lanes.put_away(lane, str(fault), _AWAY_SECONDS):
                    raise Away(str(fault), _AWAY_SECONDS) from fault
                # Whoever went through it goes through another now, and that one has not been asked about them.
                return await self.bad_addresses(batch, recipients, setup, now=now, erased=erased)
            bad.update((position, problem) for position, problem in zip(addresses, problems, strict=True) if problem)
        return bad

    def _channel_problem(self, batch: dispatch_pb2.DispatchBatch, channel: StoredChannel | None) -> Problem | None:
        if batch.channel not in KINDS:
            return Problem("UNSUPPORTED_CHANNEL", f"there is no channel {batch.channel}")
        if channel is None:
            return Problem("UNSUPPORTED_CHANNEL", f"the channel {batch.channel} is not set up")
        # Direct e-mail goes even while the channel is switched off (pinpoint-2 1.3).
        direct_email = batch.channel == "EMAIL" and CLASSES[batch.message_class] == "transactional"
        if not channel.enabled and not direct_email:
            return Problem("UNSUPPORTED_CHANNEL", f"the channel {batch.channel} is switched off")
        return None

    async def _content(
        self,
        conn: AsyncConnection,
        project: str,
        batch: dispatch_pb2.DispatchBatch,
        version: int,
        marking: Marking | None,
    ) -> Prepared:
        content, inline = batch.content, read_inline(batch.channel, batch.content)
        if not content.template:
            prepared = self._cache.prepare(batch.channel, inline, marking=marking)
            return await self._with_files(conn, project, batch, prepared)
        name = parse_name(content.template, "templates", field="content.template")
        if name.project != project:
            raise NoContent("the template belongs to another project")
        # What was deleted meanwhile is still said by messages that use it (pinpoint-1 6.2).
        template = await self._templates.get(conn, project, name.id, version, deleted=True)
        if template is None:
            told = f" version {version}" if version else ""
            raise NoContent(f"the template {content.template}{told} does not exist")
        prepared = self._cache.prepare(batch.channel, inline, template, marking)
        return await self._with_files(conn, project, batch, prepared)

    async def _with_files(
        self, conn: AsyncConnection, project: str, batch: dispatch_pb2.DispatchBatch, prepared: Prepared
    ) -> Prepared:
        content = batch.content
        if batch.channel != "EMAIL":
            return prepared
        if prepared.one_click and not self._tracking.reachable:
            raise NoContent(NOWHERE)
        ids = named_files(project, content)
        data = await self._files.read(conn, project, ids) if ids else {}
        if gone := [id for id in ids if id not in data]:
            raise NoContent(f"{len(gone)} of the files that go with the message are no longer kept")
        taken = iter(ids)
        attachments = [
            Attachment(one.name, one.content_type, one.data or data[next(taken)]) for one in content.email_attachments
        ]
        raw = data[next(taken)] if content.email_raw_file else content.email_raw
        return prepared.with_files(attachments, raw)

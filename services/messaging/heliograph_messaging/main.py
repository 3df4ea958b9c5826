"""Wires the messaging service and runs it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from heliograph.messaging.v1 import (
    channels_pb2_grpc,
    edge_pb2_grpc,
    files_pb2_grpc,
    messages_pb2_grpc,
    opt_outs_pb2_grpc,
    origination_pb2_grpc,
    otp_pb2_grpc,
    phone_numbers_pb2_grpc,
    suppressions_pb2_grpc,
    templates_pb2_grpc,
)
from heliograph_channels import PluginError
from heliograph_kit.consumer import Consumer
from heliograph_kit.fair import FairConsumer
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, StartFailed, run_service
from heliograph_kit.secretbox import SecretBox
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.content import ContentCache
from heliograph_messaging.countries import BadCountries, load_countries
from heliograph_messaging.domain.breaker import Breaker
from heliograph_messaging.isolation.catalogue import close as close_catalogue
from heliograph_messaging.pipeline.allowances import Allowances
from heliograph_messaging.pipeline.calls import Calls
from heliograph_messaging.pipeline.door import Door
from heliograph_messaging.pipeline.erasing import Eraser
from heliograph_messaging.pipeline.inbound import Inbound
from heliograph_messaging.pipeline.leases import Leases
from heliograph_messaging.pipeline.listening import Listening
from heliograph_messaging.pipeline.marks import EndpointMarks
from heliograph_messaging.pipeline.opted_out import OptOutCheck
from heliograph_messaging.pipeline.pacing import Pacing
from heliograph_messaging.pipeline.policy import CapCheck, QuietCheck
from heliograph_messaging.pipeline.receipts import Receipts
from heliograph_messaging.pipeline.right_of_way import RightOfWay
from heliograph_messaging.pipeline.setup import BatchSetup
from heliograph_messaging.pipeline.simulated import SimulatedLanes
from heliograph_messaging.pipeline.sms import SmsReader
from heliograph_messaging.pipeline.spending import Spending
from heliograph_messaging.pipeline.suppressed import SuppressionCheck
from heliograph_messaging.pipeline.tracking import Tracking, TrackingKeys
from heliograph_messaging.pipeline.two_way import TwoWay
from heliograph_messaging.pipeline.worker import Pipeline
from heliograph_messaging.projections import (
    ERASURES_CONSUMER,
    NUMBERS_CONSUMER,
    PROJECTS_CONSUMER,
    ErasureProjection,
    NumberProjection,
    ProjectProjection,
    SegmentsAudience,
)
from heliograph_messaging.providers import Senders, load_catalogue
from heliograph_messaging.service.channels import Channels
from heliograph_messaging.service.days import Days
from heliograph_messaging.service.direct import DirectSends
from heliograph_messaging.service.direct_content import Contents
from heliograph_messaging.service.edge import Edge
from heliograph_messaging.service.files import Files
from heliograph_messaging.service.keywords import Keywords
from heliograph_messaging.service.messages import Messages
from heliograph_messaging.service.opt_outs import OptOuts
from heliograph_messaging.service.originations import Originations
from heliograph_messaging.service.otp import Limits, Otps
from heliograph_messaging.service.outcomes import Outcomes
from heliograph_messaging.service.phone_numbers import PhoneNumbers
from heliograph_messaging.service.pools import Pools
from heliograph_messaging.service.preview import Previews
from heliograph_messaging.service.provider_settings import ProviderSettings
from heliograph_messaging.service.retention import Retention
from heliograph_messaging.service.routes import Routes
from heliograph_messaging.service.sms_settings import SmsSettings
from heliograph_messaging.service.suppressions import Suppressions
from heliograph_messaging.service.templates import Templates
from heliograph_messaging.servicers.channels import ChannelServicer
from heliograph_messaging.servicers.edge import EdgeServicer
from heliograph_messaging.servicers.files import FileServicer
from heliograph_messaging.servicers.messages import MessageServicer
from heliograph_messaging.servicers.opt_outs import OptOutServicer
from heliograph_messaging.servicers.originations import OriginationServicer
from heliograph_messaging.servicers.otp import OtpServicer
from heliograph_messaging.servicers.phone_numbers import PhoneNumberServicer
from heliograph_messaging.servicers.suppressions import SuppressionServicer
from heliograph_messaging.servicers.templates import TemplateServicer
from heliograph_messaging.servicers.waiting import Patience
from heliograph_messaging.store.allowances import AllowanceStore
from heliograph_messaging.store.channels import NumberStore, RequestStore
from heliograph_messaging.store.conversations import ConversationStore
from heliograph_messaging.store.files import FileStore
from heliograph_messaging.store.inbound import InboundStore
from heliograph_messaging.store.keywords import KeywordStore
from heliograph_messaging.store.ledger import Ledger
from heliograph_messaging.store.marks import MarkStore
from heliograph_messaging.store.messages import MessageStore
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore
from heliograph_messaging.store.otps import OtpStore
from heliograph_messaging.store.receipts import ReceiptStore
from heliograph_messaging.store.recent import (
    Memory,
    RecentChannels,
    RecentPools,
    RecentRoutes,
    RecentTemplates,
    WatchedChannels,
    WatchedPools,
    WatchedRoutes,
    WatchedTemplates,
)
from heliograph_messaging.store.sms_settings import SmsSettingsStore, SpendingStore
from heliograph_messaging.store.suppressions import SuppressionStore
from heliograph_messaging.store.touches import TouchStore
from heliograph_messaging.store.turns import TurnStore
from heliograph_messaging.tables import mail, metadata

PACKAGE = "heliograph_messaging"
_HOUR_SECONDS = 3600
_WAITING_BATCHES = 20_000


async def build(runtime: Runtime[MessagingSettings]) -> None:
    """Put the service together.

    Raises:
        StartFailed: a channel plugin or the file of country rules cannot be used; the text names it.
    """
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    try:
        catalogue = load_catalogue(settings.plugins, settings.isolated_plugins, settings.plugin_limits())
        rules = load_countries(settings.countries_file)
    except (PluginError, BadCountries) as error:
        raise StartFailed(str(error)) from error
    runtime.on_close(partial(close_catalogue, catalogue))
    runtime.use_mail(mail)
    outbox, inbox = runtime.outbox, Inbox(mail)
    memory, numbers, requests = Memory(), NumberStore(), RequestStore()
    channels, templates, routes = WatchedChannels(memory), WatchedTemplates(memory), WatchedRoutes(memory)
    recent_channels, recent_templates = RecentChannels(memory, database), RecentTemplates(memory, database)
    # `person` is older than the box's place in the kit: another one would make stored secrets unreadable.
    box = SecretBox(settings.secret_key, service="messaging", person=b"heliograph-chan")
    cache, files = ContentCache(), FileStore()
    keys = TrackingKeys(database, settings.tracking_secrets())
    tracking = Tracking(keys, clock, public_url=settings.public_url, click_days=settings.tracking_days)
    audience = SegmentsAudience(runtime.peer("segments"))

    # -- calls
    previews = Previews(database, templates, audience, tracking, clock)
    runtime.add_servicer(
        templates_pb2_grpc.add_TemplateServiceServicer_to_server,
        TemplateServicer(Templates(database, templates, requests, clock, new_id), previews),
        "heliograph.messaging.v1.TemplateService",
    )
    runtime.add_servicer(
        files_pb2_grpc.add_FileServiceServicer_to_server,
        FileServicer(Files(database, files, clock)),
        "heliograph.messaging.v1.FileService",
    )
    recent_pools = RecentPools(memory, database)
    contents = Contents(database, recent_channels, recent_pools, recent_templates, files, catalogue, cache)
    message_store = MessageStore()
    right_of_way = RightOfWay()
    outcomes = Outcomes(database, message_store)
    runtime.on_close(outcomes.close)
    patience = Patience(outcomes)
    runtime.add_servicer(
        messages_pb2_grpc.add_MessageServiceServicer_to_server,
        MessageServicer(
            Messages(database, message_store),
            DirectSends(database, contents, files, requests, audience, outbox, right_of_way, clock, new_id),
            patience,
        ),
        "heliograph.messaging.v1.MessageService",
    )
    limits = Limits(settings.otp_per_destination, settings.otp_per_block)
    otps = Otps(
        database,
        OtpStore(),
        OriginationStore(),
        requests,
        contents,
        outbox,
        right_of_way,
        clock,
        new_id,
        pepper=settings.pepper,
        limits=limits,
    )
    runtime.add_servicer(
        otp_pb2_grpc.add_OtpServiceServicer_to_server,
        OtpServicer(otps, patience),
        "heliograph.messaging.v1.OtpService",
    )
    runtime.add_worker("forget old one-time passwords", otps.forget_old)
    phone_numbers = PhoneNumbers()
    runtime.on_close(phone_numbers.close)
    runtime.add_servicer(
        phone_numbers_pb2_grpc.add_PhoneNumberServiceServicer_to_server,
        PhoneNumberServicer(phone_numbers),
        "heliograph.messaging.v1.PhoneNumberService",
    )

    # -- numbers
    origins, pools, keywords, opt_outs = OriginationStore(), WatchedPools(memory), KeywordStore(), OptOutStore()
    sms_settings, spending, conversations = SmsSettingsStore(), SpendingStore(), ConversationStore()
    allowances = AllowanceStore()
    runtime.add_servicer(
        origination_pb2_grpc.add_OriginationServiceServicer_to_server,
        OriginationServicer(
            Originations(database, origins, opt_outs, routes, rules, clock),
            Days(database, allowances, clock, share=settings.day_cap_share),
            Pools(database, pools, origins, keywords, opt_outs, requests, rules, clock),
            Keywords(database, keywords, origins, pools),
            SmsSettings(database, sms_settings, spending, clock),
        ),
        "heliograph.messaging.v1.OriginationService",
    )
    runtime.add_servicer(
        opt_outs_pb2_grpc.add_OptOutServiceServicer_to_server,
        OptOutServicer(OptOuts(database, opt_outs, origins, requests, clock)),
        "heliograph.messaging.v1.OptOutService",
    )

    # -- what comes back
    suppressions, touches = SuppressionStore(), TouchStore()
    suppression_list = Suppressions(database, suppressions, clock)
    runtime.add_worker("key suppressions", suppression_list.rekey)
    runtime.add_servicer(
        suppressions_pb2_grpc.add_SuppressionServiceServicer_to_server,
        SuppressionServicer(suppression_list),
        "heliograph.messaging.v1.SuppressionService",
    )
    marks = EndpointMarks(database, MarkStore(), audience)
    runtime.add_worker("endpoint marks", marks.run)
    reported = ReceiptStore()
    receipts = Receipts(database, reported, suppressions, marks, outbox, clock)
    runtime.add_worker("receipts", receipts.run)
    two_way = TwoWay(origins, keywords, opt_outs, conversations, reported, outbox, clock)
    inbound = Inbound(database, InboundStore(), two_way, outbox)

    # -- sending

    async def forget(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            async with database.transaction() as conn:
                await touches.forget(conn, clock.now())
                await conversations.forget(conn, clock.now())
                await allowances.forget(conn, clock.now())
            try:
                await asyncio.wait_for(stopping.wait(), _HOUR_SECONDS)
            except TimeoutError:
                continue

    runtime.add_worker("forget old touches, conversations and days", forget)
    senders = Senders(
        catalogue,
        box,
        receipts.report,
        inbound.deliver,
        public_url=settings.public_url.rstrip("/"),
        now=clock.now,
        open_timeout=timedelta(seconds=settings.open_timeout_seconds),
        breaker=lambda: Breaker(
            settings.breaker_threshold, timedelta(seconds=settings.breaker_pause_seconds), timedelta(seconds=60)
        ),
    )
    runtime.on_close(senders.close)
    runtime.add_worker("listening", Listening(database, channels, routes, senders).run)
    edge = Edge(
        database, channels, routes, senders, receipts, inbound, keys, clock,
        public_url=settings.public_url.rstrip("/"), webhook_timeout=settings.webhook_timeout_seconds,
    )  # fmt: skip
    runtime.add_servicer(
        edge_pb2_grpc.add_EdgeServiceServicer_to_server,
        EdgeServicer(edge, clock),
        "heliograph.messaging.v1.EdgeService",
    )
    provider_settings = ProviderSettings(catalogue, box)
    runtime.add_servicer(
        channels_pb2_grpc.add_ChannelServiceServicer_to_server,
        ChannelServicer(
            Channels(database, channels, provider_settings, clock),
            Routes(database, channels, routes, provider_settings, senders, clock),
        ),
        "heliograph.messaging.v1.ChannelService",
    )
    ledger = Ledger(lease_seconds=settings.lease_seconds)
    leases = Leases(database, ledger)
    # Not a worker of the runtime: those end when draining begins, and batches in hand still need their leases then.
    beating = asyncio.create_task(leases.keep_alive(), name="leases")

    async def stop_beating() -> None:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

    runtime.on_close(stop_beating)
    setup = BatchSetup(
        recent_channels,
        RecentRoutes(memory),
        templates,
        SmsReader(origins, pools, sms_settings, rules),
        cache,
        senders,
        files,
        tracking,
        SimulatedLanes(receipts.report, clock.now),
    )
    paying = Spending(spending)
    door = Door(
        [
            SuppressionCheck(suppressions),
            OptOutCheck(opt_outs, origins, pools),
            CapCheck(touches),
            QuietCheck(),
            paying,
        ]
    )
    calls = Calls(ledger, door, paying, conversations, marks, outbox, inbox, clock, settings)
    pacing = Pacing(TurnStore(), Allowances(allowances, share=settings.day_cap_share), clock)
    pipeline = Pipeline(database, ledger, leases, setup, door, calls, pacing, right_of_way, inbox, clock, settings)
    for message_class, concurrency in (
        ("transactional", settings.transactional_concurrency),
        ("campaign", settings.campaign_concurrency),
        ("journey", settings.journey_concurrency),
    ):
        durable = f"messaging-{message_class}"
        runtime.add_consumer(
            # One delivery at a time, so that a batch is traced as a child of whoever produced it.
            FairConsumer(
                runtime.bus,
                service="messaging",
                stream="DISPATCH",
                durable=durable,
                subjects=[f"dispatch.{message_class}.*"],
                handler=partial(pipeline.handle, consumer=durable),
                concurrency=concurrency,
                share=settings.project_concurrency,
                # A batch may wait for its number's turns for hours, and for another day; the ledger counts the workers that died
                # with it. What waits at the broker must not keep others from being handed out.
                max_ack_pending=_WAITING_BATCHES,
                counts_crashes=False,
                # About as long as a lease: earlier, a batch that comes again would only find it alive.
                ack_wait=timedelta(seconds=settings.lease_seconds),
                on_dead=inbox.burial(database, durable),
            )
        )

    # -- what others say
    eraser = Eraser(message_store, suppressions)
    retention = Retention(
        database,
        eraser,
        inbound=timedelta(days=settings.inbound_retention_days),
        receipts=timedelta(days=settings.receipt_retention_days),
    )
    runtime.add_worker("retention", retention.run)
    number_projection = NumberProjection(database, numbers, inbox)
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="messaging",
            stream="CHANGES",
            durable=NUMBERS_CONSUMER,
            subjects=["changes.registry10dlc.*.number_updated"],
            handler=number_projection.handle,
        )
    )
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="messaging",
            stream="CHANGES",
            durable=PROJECTS_CONSUMER,
            subjects=["changes.projects.*.project_deleted"],
            handler=ProjectProjection(database, inbox).handle,
        )
    )
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="messaging",
            stream="CHANGES",
            durable=ERASURES_CONSUMER,
            subjects=["changes.segments.*.user_erased"],
            handler=ErasureProjection(database, eraser, inbox, outbox).handle,
            on_dead=inbox.burial(database, ERASURES_CONSUMER),
        )
    )


def main() -> None:
    """Run the console command `heliograph-messaging`."""
    run_service(MessagingSettings, build, package=PACKAGE, metadata=metadata)


if __name__ == "__main__":
    main()

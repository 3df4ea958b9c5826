"""What `build` wires a service with, top to bottom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

import grpc

from heliograph_kit.auth import Authenticator, Bearer, InternalTokens, KeyAuthenticator
from heliograph_kit.bus import Bus
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import Consumer
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import MailTables, Outbox, OutboxRelay
from heliograph_kit.readiness import Ping
from heliograph_kit.reconciler import Reconciler, answer_applied, applied_by_inbox
from heliograph_kit.rpc import Limits, RpcServer, channel
from heliograph_kit.settings import ServiceSettings
from heliograph_kit.streams import STREAMS
from heliograph_kit.workers import Run, Workers

log = logging.getLogger(__name__)

Kind = Literal["all", "api", "worker"]

S = TypeVar("S", bound=ServiceSettings)
Build = Callable[["Runtime[S]"], Awaitable[None]]


class Server(Protocol):
    """What answers callers: the gRPC server of most services, or another one that keeps the same promises."""

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here."""
        ...

    async def start(self) -> str:
        """Listen and return host:port; alive at once, ready only when told so.

        Raises:
            AddressTaken: the port is in use or the host is not ours.
        """
        ...

    async def set_ready(self, ready: bool) -> None:
        """Announce whether calls should be sent here; safe to repeat."""
        ...

    async def stop(self, *, drain_seconds: float, grace_seconds: float) -> None:
        """Take no new calls after the drain, give running ones the grace to end; safe to repeat."""
        ...


class Runtime(Generic[S]):
    """What `build` gets to wire a service with."""

    def __init__(
        self,
        settings: S,
        *,
        role: Kind,
        database: Database | None,
        bus: Bus | None,
        tokens: InternalTokens,
        clock: Clock,
    ) -> None:
        """Take the opened resources; whoever opened them closes them."""
        self.settings = settings
        self.role = role
        self.clock = clock
        self._bus = bus
        self.tokens = tokens
        self.address = ""
        """host:port of the server, once it listens."""
        self.authenticator: Authenticator | None = None
        """Knows API keys; `build` may set its own, as the service projects does. Else projects is asked."""
        self._database = database
        self._outbox: Outbox | None = None
        self._mail: MailTables | None = None
        self._consumers: list[Consumer] = []
        self._peers: dict[str, grpc.aio.Channel] = {}
        self._servicers: list[tuple[Callable[[Any, grpc.aio.Server], None], object, str]] = []
        self._server: Server | None = None
        self.workers = Workers()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.pings: dict[str, Ping] = {}
        if bus is not None:
            self.pings["bus"] = bus.ping
        if database is not None:
            self.pings["database"] = database.ping

    @property
    def works(self) -> bool:
        """Whether this process runs consumers and workers."""
        return self.role in ("all", "worker")

    @property
    def serves(self) -> bool:
        """Whether this process answers RPCs; health is served always."""
        return self.role in ("all", "api")

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the process begins to stop, after the drain."""
        return self.workers.stopping

    @property
    def database(self) -> Database:
        """The service's database.

        Raises:
            LookupError: the service was started without metadata, as one without tables is.
        """
        if self._database is None:
            raise LookupError("this service has no database")
        return self._database

    @property
    def bus(self) -> Bus:
        """The bus.

        Raises:
            LookupError: the service was started without one.
        """
        if self._bus is None:
            raise LookupError("this service has no bus")
        return self._bus

    @property
    def outbox(self) -> Outbox:
        """Where messages are put in the transaction of what they tell.

        Raises:
            LookupError: `use_mail` was not called.
        """
        if self._outbox is None:
            raise LookupError("call use_mail before outbox")
        return self._outbox

    def use_mail(self, tables: MailTables) -> OutboxRelay:
        """Send what the outbox holds, and let the reconciler see that it is applied; returns the relay to wake.

        The relay runs in every role, so that the process that commits also publishes, without a detour.
        """
        self._outbox = Outbox(tables, clock=self.clock)
        relay = OutboxRelay(self.database, tables, self.bus)
        self.add_worker("outbox relay", relay.run, every_role=True)
        self.add_worker("reconciler", Reconciler(self.database, tables, self.bus).run)
        self._mail = tables
        return relay

    def add_servicer(
        self, add_to_server: Callable[[Any, grpc.aio.Server], None], servicer: object, full_name: str
    ) -> None:
        """Serve a gRPC service in the roles api and all, by its full name (`heliograph.segments.v1.SegmentService`)."""
        self._servicers.append((add_to_server, servicer, full_name))

    def serve_with(self, server: Server) -> None:
        """Answer callers with this server and not over gRPC, as the HTTP edge does.

        Raises:
            ValueError: there is one already.
        """
        if self._server is not None:
            raise ValueError("this service has a server already")
        self._server = server

    def add_consumer(self, consumer: Consumer) -> None:
        """Run a consumer in the roles worker and all; one without a durable feeds this process and runs in every role."""
        self._consumers.append(consumer)
        name = consumer.durable or f"{consumer.stream} {len(self._consumers)}"
        self.add_worker(f"consumer {name}", consumer.run, every_role=consumer.durable is None)

    def add_worker(self, name: str, run: Run, *, every_role: bool = False) -> None:
        """Run a task in the roles worker and all, or in every role; when it fails it is started again."""
        if self.works or every_role:
            self.workers.add(name, run)

    def peer(self, service: str) -> grpc.aio.Channel:
        """Return the channel to another service, with our internal token, deadline and trace; closed by the runtime."""
        if service not in self._peers:
            self._peers[service] = channel(
                self.settings.peer(service),
                tokens=self.tokens,
                caller=self.settings.service,
                max_message_bytes=max(16 * 1024 * 1024, self.settings.max_message_bytes),
            )
        return self._peers[service]

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Call this at the end, after server and workers have stopped; the last added is called first."""
        self._closers.append(closer)

    def add_ping(self, name: str, ping: Ping) -> None:
        """Make readiness depend on this; the ping raises while its dependency is away.

        Raises:
            ValueError: the name is taken.
        """
        if name in self.pings:
            raise ValueError(f"there is a ping {name!r} already")
        self.pings[name] = ping

    async def answer_applied_here(self) -> None:
        """Tell other services' reconcilers what this service's inbox holds, where they wait for it."""
        service = self.settings.service
        for consumer in self._consumers:
            # Given up is settled too: without this the reconciler would send dead letters again for three days.
            if self._mail is not None and consumer.durable and consumer.on_dead is None:
                consumer.on_dead = Inbox(self._mail).burial(self.database, consumer.durable)
        waited_for = [c for c in self._consumers if service in STREAMS[c.stream].confirmed_by]
        if self._mail is None or not waited_for:
            return
        # Durables over the same subjects must each have a message; of durables that divide the subjects one has it.
        same = len({tuple(sorted(consumer.subjects)) for consumer in waited_for}) == 1
        durables = [consumer.durable for consumer in waited_for if consumer.durable] if same else []
        applied = applied_by_inbox(self.database, self._mail, durables)
        responder = await answer_applied(self.bus, service, applied)
        self.on_close(responder.close)

    async def close(self) -> None:
        """Close what `build` opened, and the channels; the runner calls this after everything has stopped."""
        for closer in reversed(self._closers):
            try:
                await closer()
            except Exception:
                log.exception("closing failed")
        for peer in self._peers.values():
            await peer.close(grace=None)

    def make_server(self) -> Server:
        """Return the server with everything `build` added; the runner starts it.

        Raises:
            MissingAccessRule: a method has no access rule.
        """
        if self._server is not None:
            return self._server
        settings = self.settings
        authenticator = self.authenticator or KeyAuthenticator(self.peer("projects"))
        server = RpcServer(
            settings.listen,
            Bearer(self.tokens, authenticator),
            limits=Limits(
                max_message_bytes=settings.max_message_bytes,
                max_connection_age_seconds=settings.max_connection_age_seconds,
                min_ping_interval_seconds=settings.min_ping_interval_seconds,
            ),
        )
        for servicer in self._servicers if self.serves else ():
            server.add(*servicer)
        return server

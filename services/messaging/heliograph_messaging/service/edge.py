"""Use cases of the HTTP edge: calls of providers, and what people do with the links of their messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from heliograph_channels import Received, WebhookRequest
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Unavailable, Violations
from heliograph_kit.names import format_name
from heliograph_kit.telemetry import counter
from heliograph_messaging.contained import understood
from heliograph_messaging.domain.tracking import Link, LinkKind, read_token
from heliograph_messaging.errors import ChannelNotFound, LinkInvalid
from heliograph_messaging.events import LINKS, UNSUBSCRIBED
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.pipeline.inbound import Inbound
from heliograph_messaging.pipeline.receipts import Receipts
from heliograph_messaging.pipeline.tracking import TrackingKeys
from heliograph_messaging.providers import CannotOpen, OpenChannel, Senders
from heliograph_messaging.store.channels import ChannelStore
from heliograph_messaging.store.receipts import NewReceipt
from heliograph_messaging.store.routes import RouteStore

MAX_EVENTS = 1000
_KINDS = {
    LinkKind.OPEN: ("OPENED",),
    LinkKind.CLICK: ("CLICKED",),
    LinkKind.UNSUBSCRIBE_CLICK: ("CLICKED", "OPTED_OUT"),
    LinkKind.UNSUBSCRIBE: (UNSUBSCRIBED,),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A call of a provider. `target` is path and query as they were called; names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Deed:
    """What somebody did with a link; `id` is the same each time the same is handed over."""

    id: str
    token: str
    time: datetime
    user_agent: str
    ip_address: str


class Edge:
    """Use cases of the HTTP edge."""

    def __init__(
        self,
        database: Database,
        channels: ChannelStore,
        routes: RouteStore,
        senders: Senders,
        receipts: Receipts,
        inbound: Inbound,
        keys: TrackingKeys,
        clock: Clock,
        *,
        public_url: str,
        webhook_timeout: float,
    ) -> None:
        """Take everything it asks; `webhook_timeout` in seconds is what a plugin has to understand a call."""
        self._database = database
        self._channels = channels
        self._routes = routes
        self._senders = senders
        self._receipts = receipts
        self._inbound = inbound
        self._keys = keys
        self._clock = clock
        self._public_url = public_url
        self._webhook_timeout = webhook_timeout

    async def receive(self, project: str, kind: str, route: str, call: Call) -> Received:
        """Let the plugin of a route (empty: the channel's own) understand a call, store what it says, and return the answer.

        Raises:
            ChannelNotFound: the channel or the route is not set up, or takes no calls.
            Unavailable: the plugin cannot be opened or does not answer in time.
        """
        opened = await self._opened(project, kind, route)
        request = WebhookRequest(call.method, f"{self._public_url}{call.target}", call.headers, call.body)
        said = await self._understood(opened, request)
        if said.receipts or said.inbound:
            async with self._database.transaction() as conn:
                await self._receipts.store(conn, project, opened.provider.name, said.receipts)
                await self._inbound.store(conn, project, opened.provider.name, said.inbound)
            self._receipts.wake()
        labels = {"heliograph.provider": opened.provider.name, "heliograph.outcome": str(said.status)}
        counter("heliograph.messaging.webhooks").add(1, labels)
        return said

    async def record(self, deeds: Sequence[Deed]) -> int:
        """Store what people did; return how many deeds were passed over because their tokens are not good.

        Raises:
            InvalidArgument: more than 1,000 deeds, or one without a usable id.
        """
        _check(deeds)
        return await self._store(deeds, frozenset(LinkKind))

    async def unsubscribe(self, deed: Deed) -> None:
        """Store that somebody opted out; it is done by a worker. Safe to repeat.

        Raises:
            InvalidArgument: the deed has no usable id.
            LinkInvalid: the token is forged, expired or of another kind.
        """
        _check([deed])
        if await self._store([deed], frozenset({LinkKind.UNSUBSCRIBE})):
            raise LinkInvalid

    async def keys(self) -> Sequence[bytes]:
        """Return the keys under which links are signed; the first signs, all are good."""
        return await self._keys.get()

    async def _opened(self, project: str, kind: str, route: str) -> OpenChannel:
        # Also one that is switched off: what it sent before is still told of.
        async with self._database.transaction() as conn:
            found = await self._routes.find(conn, self._channels, (project, kind, route))
        if found is None:
            raise ChannelNotFound(format_name(project, "channels", kind))
        try:
            # Looked at before it is opened: strangers must not make us open what takes no calls, such as a bound session.
            if not (await self._senders.capabilities(found)).webhook:
                raise ChannelNotFound(format_name(project, "channels", kind))
            return await self._senders.of(found)
        except CannotOpen as error:
            raise Unavailable(str(error), dependency="channel plugin") from error

    async def _understood(self, opened: OpenChannel, request: WebhookRequest) -> Received:
        name = opened.provider.name
        try:
            said = await understood(
                opened.provider, opened.sender, request, opened.secrets, seconds=self._webhook_timeout
            )
        except PluginFault as fault:
            if fault.fault in (Fault.RAISED, Fault.WRONG_TYPE):
                return Received(status=500, body=b"internal error\n")
            raise Unavailable(str(fault), dependency="channel plugin") from fault
        if said is None:
            _log.warning("a call for the channel plugin %s is forged", name)
            return Received(status=403, body=b"forbidden\n")
        return said

    async def _store(self, deeds: Sequence[Deed], kinds: frozenset[LinkKind]) -> int:
        keys, today = await self._keys.get(), self._clock.now().date()
        by_project: dict[str, list[NewReceipt]] = {}
        invalid = 0
        for deed in deeds:
            link = read_token(deed.token, keys, today=today)
            if link is None or link.kind not in kinds:
                invalid += 1
                continue
            by_project.setdefault(link.project, []).extend(_receipts_of(deed, link))
        if by_project:
            async with self._database.transaction() as conn:
                for project, receipts in sorted(by_project.items()):
                    await self._receipts.store_rows(conn, project, LINKS, receipts)
            self._receipts.wake()
        return invalid


def _receipts_of(deed: Deed, link: Link) -> list[NewReceipt]:
    return [
        NewReceipt(
            f"{deed.id}/{kind}", kind, deed.time, link.message_id, "", "", True,
            link.target if kind == "CLICKED" else "", deed.user_agent, deed.ip_address,
        )
        for kind in _KINDS[link.kind]
    ]  # fmt: skip


def _check(deeds: Sequence[Deed]) -> None:
    found = Violations()
    if len(deeds) > MAX_EVENTS:
        found.add("events", f"must hold at most {MAX_EVENTS}", "INVALID_ARGUMENT")
    for index, deed in enumerate(deeds):
        if not 1 <= len(deed.id) <= 64:
            found.add(f"events[{index}].id", "must have 1 to 64 characters", "INVALID_ARGUMENT")
    found.check()

"""What an SMS of a batch can leave from, and what it costs: read with the batch, decided for each recipient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_kit.names import InvalidName, parse_name
from heliograph_messaging.domain.countries import CountryRules, Prices
from heliograph_messaging.domain.numbers import Number, caller_problem
from heliograph_messaging.domain.origination import Originations, Pool, SenderRules, Wanted, Ways
from heliograph_messaging.events import MESSAGE_TYPES
from heliograph_messaging.pipeline.lanes import Lane
from heliograph_messaging.store.originations import OriginationStore, PoolStore
from heliograph_messaging.store.sms_settings import SmsSettingsStore, StoredSmsSettings


@dataclass(frozen=True)
class Sms:
    """Numbers, pools and settings of a project as they are when a batch is worked on, and what the batch asks for."""

    numbers: Sequence[Number]
    pools: Sequence[Pool]
    settings: StoredSmsSettings
    wanted: Wanted
    rules: CountryRules

    def originations(self, lanes: Sequence[Lane]) -> Originations:
        """Return what is asked for each destination; the lanes are the ways out of the channel."""
        settings = self.settings
        senders = SenderRules(
            self.rules, settings.registered, not settings.shared_routes_off, settings.default_message_type
        )
        ways = Ways(
            frozenset(lane.route for lane in lanes),
            frozenset(lane.route for lane in lanes if lane.opened is not None),
        )
        return Originations(self.numbers, self.wanted, self.pools, senders, ways)

    @property
    def prices(self) -> Prices:
        """What message parts cost."""
        return Prices(self.rules, self.settings.prices)


class SmsReader:
    """Reads what the SMS of a project can leave from."""

    def __init__(
        self, numbers: OriginationStore, pools: PoolStore, settings: SmsSettingsStore, rules: CountryRules
    ) -> None:
        """Take the stores and the country rules."""
        self._numbers = numbers
        self._pools = pools
        self._settings = settings
        self._rules = rules

    async def read(
        self, conn: AsyncConnection, project: str, content: dispatch_pb2.MessageContent, *, channel_sender_id: str
    ) -> Sms:
        """Read all of it; the sender id is the message's, else the project's, else the channel's.

        Raises:
            InvalidArgument: the pool that the content names is no name of a pool of this project.
        """
        pool = ""
        if content.origination_pool:
            name = parse_name(content.origination_pool, "pools", field="content.origination_pool")
            if name.project != project:
                raise InvalidName("content.origination_pool", f"projects/{project}/pools/{{pool}}")
            pool = name.id
        numbers = await self._numbers.of_project(conn, project)
        pools = await self._pools.of_project(conn, project) if any(number.pool for number in numbers) else []
        settings = await self._settings.get(conn, project)
        sender_id = content.from_address or settings.default_sender_id or channel_sender_id
        wanted = Wanted(content.origination_number, pool, sender_id, MESSAGE_TYPES.get(content.sms_message_type, ""))
        return Sms(numbers, [one.as_choice() for one in pools], settings, wanted, self._rules)

    async def caller_problem(self, conn: AsyncConnection, project: str, number: str) -> str:
        """Say why calls cannot come from the number that they name; empty: they can."""
        return caller_problem(await self._numbers.of_project(conn, project), number)

"""Everything a sender is chosen from, in one go."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.origination import Number, Pool
from heliograph_messaging.store.originations import OriginationStore, PoolStore
from heliograph_messaging.store.sms_settings import SmsSettingsStore, StoredSmsSettings


class OriginReader:
    """Reads what the SMS of a project can leave from."""

    def __init__(self, numbers: OriginationStore, pools: PoolStore, settings: SmsSettingsStore) -> None:
        """Take the stores."""
        self._numbers = numbers
        self._pools = pools
        self._settings = settings

    async def read(self, conn: AsyncConnection, project: str) -> tuple[list[Number], list[Pool], StoredSmsSettings]:
        """Return the numbers, pools and SMS settings of a project."""
        numbers = await self._numbers.of_project(conn, project)
        pools = await self._pools.of_project(conn, project) if any(number.pool for number in numbers) else []
        return numbers, [pool.as_choice() for pool in pools], await self._settings.get(conn, project)

"""Opt-out lists at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.pools import DEFAULT_LIST, Setup
from heliograph_messaging.pipeline.door import Passing, Refusal
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore, PoolStore


class OptOutCheck:
    """Refuses who is on the opt-out list of the number that would write to him, whatever the class (pinpoint-2 2.4)."""

    def __init__(self, store: OptOutStore, originations: OriginationStore, pools: PoolStore) -> None:
        """Take the lists, and which number has which."""
        self._store = store
        self._originations = originations
        self._pools = pools

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Look all recipients up at once.

        Nobody gets on these lists from here until the transaction ends, so that an opt-out whose call has returned is obeyed
        (reliability O4).
        """
        if passing.batch.channel != "SMS" or passing.batch.automatic_reply:
            return {}
        list_of = await self._lists(conn, passing, sorted({row.origination for row in passing.rows}))
        asked = {
            row.position: (list, row.address) for row in passing.rows if (list := list_of[row.origination]) is not None
        }
        found = await self._store.among(conn, passing.project, asked)
        return {
            position: Refusal("ENDPOINT_OPT_OUT", f"OPT_OUT: the number is on the opt-out list {asked[position][0]}")
            for position in found
        }

    async def _lists(
        self, conn: AsyncConnection, passing: Passing, originations: Sequence[str]
    ) -> Mapping[str, str | None]:
        """Return the list of each origination; None where somebody else looks after opt-outs."""
        numbers = await self._originations.some(conn, passing.project, originations)
        setups = {number: stored.settings.setup for number, stored in numbers.items()}
        content = passing.batch.content
        others = Setup(opt_out_list=DEFAULT_LIST)
        if content.origination_pool and not content.origination_number and len(setups) < len(originations):
            # Its sender ids and shared routes keep to the list of the pool.
            pool = await self._pools.get(conn, passing.project, content.origination_pool.rpartition("/")[2])
            others = pool.setup if pool else others
        return {one: _list(setups.get(one, others)) for one in originations}


def _list(setup: Setup) -> str | None:
    return None if setup.self_managed_opt_outs else setup.opt_out_list

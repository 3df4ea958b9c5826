"""What messaging learns of endpoints: somebody opted out, an address is gone, an address has a successor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_segments.domain.belonging import Held
from heliograph_segments.domain.endpoints import EndpointUpdate, check_update, endpoint_key
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import refuse
from heliograph_segments.service.writing import EndpointWriter
from heliograph_segments.store import audience_log, races
from heliograph_segments.store import endpoints as store
from heliograph_segments.store import marks as marking

MOST = 1000

_log = logging.getLogger(__name__)


class Mark(NamedTuple):
    """What was learnt of an endpoint, and of which address; `new_address` of a REPLACED one."""

    endpoint_id: str
    kind: Literal["OPTED_OUT", "ADDRESS_GONE", "ADDRESS_REPLACED"]
    address: str = ""
    new_address: str = ""


class Marks:
    """Notes what was learnt. It makes no endpoint, wakes none up, and is no activity of anybody."""

    def __init__(self, database: Database, writer: EndpointWriter) -> None:
        """Take the record, and what writes new addresses by the rules of all writes."""
        self._database = database
        self._writer = writer

    async def apply(self, project: str, marks: Sequence[Mark]) -> int:
        """Apply marks of endpoints that exist and still have the address; return how many endpoints changed.

        New addresses come before those that are gone. Safe to repeat.

        Raises:
            InvalidArgument: more than 1,000.
        """
        if len(marks) > MOST:
            refuse([Problem("marks", "OUT_OF_RANGE", f"must hold at most {MOST} marks")])

        async def work(conn: AsyncConnection) -> int:
            # Locked in one order, whatever the order of the marks; without a claim to any address.
            named = {endpoint_key(mark.endpoint_id): EndpointUpdate(mark.endpoint_id, active=False) for mark in marks}
            existing = await store.lock(conn, project, named)
            out = [endpoint_key(mark.endpoint_id) for mark in marks if mark.kind == "OPTED_OUT"]
            changed = set(await marking.opt_out(conn, project, out)) if out else set()
            if replaced := _replaced(marks, existing):
                written, problems = await self._writer.write_some(conn, project, replaced, bulk=False)
                changed.update(written.ordinals)
                for found in problems.values():
                    _log.warning("a new address is dropped: %s", found[0].reason, extra={"project": project})
            gone = {endpoint_key(mark.endpoint_id): mark.address for mark in marks if mark.kind == "ADDRESS_GONE"}
            if gone:
                changed.update(await marking.address_gone(conn, project, gone))
            await audience_log.note(conn, project, changed)
            return len(changed)

        return await races.run(self._database, project, work)


def _replaced(marks: Sequence[Mark], existing: Mapping[str, Held]) -> list[EndpointUpdate]:
    """Return the writes of new addresses, for endpoints that have the old ones."""
    held = {key: endpoint.address for key, endpoint in existing.items()}
    updates = []
    for mark in marks:
        key = endpoint_key(mark.endpoint_id)
        if mark.kind != "ADDRESS_REPLACED" or key not in held or held[key] != mark.address or not mark.new_address:
            continue
        update = EndpointUpdate(mark.endpoint_id, address=mark.new_address, active=existing[key].active)
        if not check_update(update):
            updates.append(update)
            held[key] = mark.new_address
    return updates

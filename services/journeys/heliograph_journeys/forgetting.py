"""Takes the endpoints of erased users out of the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys.state import Run


async def take_out_of_chunks(conn: AsyncConnection, run: Run, ordinals: Sequence[int]) -> None:
    """Take people out of the sets that are to be handed over.

    Who holds such a set under a lease loses it: he would write them back, and the set is taken again without them.
    """
    key = {"project": run.project, "run": run.id}
    await conn.execute(
        text(
            "UPDATE journeys.chunks AS c SET (endpoint_ids, ordinals) = ("
            "SELECT coalesce(array_agg(x.id ORDER BY x.place), '{}'), "
            "coalesce(array_agg(x.ordinal ORDER BY x.place), '{}') "
            "FROM unnest(c.endpoint_ids, c.ordinals) WITH ORDINALITY AS x (id, ordinal, place) "
            "WHERE x.ordinal <> ALL (CAST(:ordinals AS bigint[]))), "
            "lease_token = c.lease_token + 1, lease_until = NULL "
            "WHERE c.project = :project AND c.run_id = :run AND c.ordinals && CAST(:ordinals AS bigint[])"
        ),
        key | {"ordinals": list(ordinals)},
    )
    await conn.execute(
        text("DELETE FROM journeys.chunks WHERE project = :project AND run_id = :run AND ordinals = '{}'"), key
    )


async def forget(conn: AsyncConnection, run: Run, ordinals: Sequence[int]) -> None:
    """Forget who participants were that left, and what happened to their messages; they stay counted."""
    parameters = {"run": run.number, "ordinals": list(ordinals)}
    among = "WHERE run_no = :run AND ordinal = ANY(CAST(:ordinals AS bigint[]))"
    # Members are found by their endpoint, which the participants know until the last statement.
    await conn.execute(
        text(
            "DELETE FROM journeys.members WHERE run_no = :run AND endpoint_id IN "  # noqa: S608
            f"(SELECT endpoint_id FROM journeys.participants {among})"
        ),
        parameters,
    )
    await conn.execute(text(f"DELETE FROM journeys.happened {among}"), parameters)  # noqa: S608
    await conn.execute(text(f"UPDATE journeys.participants SET endpoint_id = '' {among}"), parameters)  # noqa: S608

"""Collecting the evidence: the database, providers' journals, the event log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nats
import psycopg
from nats.js.errors import NotFoundError
from psycopg.rows import namedtuple_row

from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph_kit.ids import derived_id
from heliograph_suite.check.evidence import (
    CapSeen,
    Evidence,
    LedgerRow,
    Letter,
    OptedOut,
    Planned,
    Sender,
    Stop,
    Told,
)

_CLASSES = {
    dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL: "transactional",
    dispatch_pb2.MESSAGE_CLASS_CAMPAIGN: "campaign",
    dispatch_pb2.MESSAGE_CLASS_JOURNEY: "journey",
}
_SCOPES = {
    dispatch_pb2.CAP_SCOPE_SOURCE: "SOURCE",
    dispatch_pb2.CAP_SCOPE_PROJECT: "PROJECT",
    dispatch_pb2.CAP_SCOPE_JOURNEYS: "JOURNEYS",
}
_OUTCOMES = {
    events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED: "ACCEPTED",
    events_pb2.MESSAGE_EVENT_TYPE_FAILED: "FAILED",
    events_pb2.MESSAGE_EVENT_TYPE_SKIPPED: "SKIPPED",
    events_pb2.MESSAGE_EVENT_TYPE_IN_DOUBT: "IN_DOUBT",
}
_SCHEMAS = ("campaigns", "journeys", "messaging")
_ROWS = """
    SELECT m.message_id, m.project, m.batch_id, b.run_id, b.source_name AS source, b.message_class, b.channel, m.address,
        m.status, m.reason, m.accept_time IS NOT NULL AS accepted, m.create_time AS created,
        extract(epoch FROM clock_timestamp() - b.started_at)::float8 AS age,
        b.finish_time IS NOT NULL AS finished,
        extract(epoch FROM b.lease_until - clock_timestamp())::float8 AS lease_left,
        coalesce(c.state, '') AS call_state, c.start_time AS call_started,
        coalesce(nullif(c.provider, ''), b.provider) AS provider, m.origination
    FROM messaging.messages m
    JOIN messaging.batches b ON b.project = m.project AND b.batch_id = m.batch_id
    LEFT JOIN messaging.chunks c ON c.project = m.project AND c.batch_id = m.batch_id AND c.chunk = m.chunk
    WHERE %(project)s IN ('', m.project)"""
_LETTERS = """
    SELECT id, project, subject, payload, extract(epoch FROM clock_timestamp() - created_at)::float8 AS age,
        published_at IS NOT NULL AS published, coalesce(refused, '') AS refused
    FROM {schema}.outbox WHERE %(project)s IN ('', project)"""
_FUNNELS = "SELECT project, run_id, outcome, sum(count)::bigint AS count FROM campaigns.funnel GROUP BY 1, 2, 3"
_SUPPRESSED = "SELECT project, channel, address, create_time AS since, cause AS why FROM messaging.suppressions WHERE address <> ''"
_LIST = "CASE WHEN NOT coalesce(self_managed_opt_outs, false) THEN coalesce(opt_out_list, 'Default') END"
_NUMBERS = f"""
    SELECT n.project, 'originations', n.number, {_LIST}, s.update_time
    FROM messaging.numbers n
    LEFT JOIN messaging.origination_settings s ON s.project = n.project AND s.number = n.number"""  # noqa: S608
_POOLS = f"SELECT project, 'pools', id, {_LIST}, update_time FROM messaging.pools"  # noqa: S608
# Of those that came off a list by a word of theirs it is not known when.
_OPTED_OUT = """
    SELECT project, list, number, greatest(noted_at, opt_out_time), CASE WHEN NOT opted_out THEN removed_at END
    FROM messaging.opted_out_numbers WHERE opted_out OR removed_at > greatest(noted_at, opt_out_time)"""
_FUNNEL_OUTCOMES = frozenset({"TARGETED", "ACCEPTED", "FAILED", "SKIPPED", "IN_DOUBT"})


def collect(
    dsn: str, *, project: str = "", journals: Iterable[Path] | None = None, log_ids: frozenset[str] | None = None
) -> Evidence:
    """Read everything. `project` empty: all. `journals` None: no provider's log is looked at.

    Raises:
        psycopg.Error: the database cannot be read.
        OSError: a journal cannot be read.
    """
    with psycopg.connect(dsn, row_factory=namedtuple_row) as conn:
        conn.read_only = True
        # One snapshot: what is written meanwhile must not look like a broken law.
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        letters, planned, told = _letters(conn, project)
        return Evidence(
            planned=planned,
            rows=[_row(row) for row in conn.execute(_ROWS, {"project": project})],
            told=told,
            letters=letters,
            stops=[Stop(*row) for row in _optional(conn, "messaging.suppressions", _SUPPRESSED)],
            senders=[
                *(Sender(*row) for row in _optional(conn, "messaging.origination_settings", _NUMBERS)),
                *(Sender(*row) for row in _optional(conn, "messaging.pools", _POOLS)),
            ],
            opted_out=[OptedOut(*row) for row in _optional(conn, "messaging.opted_out_numbers", _OPTED_OUT)],
            sent=None if journals is None else _sent(journals),
            knows_ids=_knowing(conn),
            in_log=log_ids,
            funnels=_funnels(conn),
        )


def _row(row: Any) -> LedgerRow:
    values = row._asdict()
    return LedgerRow(**{**values, "message_id": row.message_id.hex, "batch_id": row.batch_id.hex})


def _letters(conn: psycopg.Connection[Any], project: str) -> tuple[list[Letter], list[Planned], list[Told]]:
    letters: list[Letter] = []
    planned: list[Planned] = []
    told: list[Told] = []
    for schema in _SCHEMAS:
        query = _LETTERS.format(schema=schema)
        for row in _optional(conn, f"{schema}.outbox", query, {"project": project}):
            tokens = row.subject.split(".")
            addressed, said = "", ""
            if tokens[0] == "dispatch":
                batch = dispatch_pb2.DispatchBatch.FromString(row.payload)
                addressed, said = tokens[2], batch.project
                planned += _planned(batch)
            elif tokens[0] == "messages":
                events = events_pb2.MessageEventBatch.FromString(row.payload)
                addressed, said = tokens[1], events.project
                told += [Told(one.message_id, _OUTCOMES[one.type]) for one in events.events if one.type in _OUTCOMES]
            letters.append(
                Letter(
                    schema, row.id, tokens[0], row.project, addressed, said.removeprefix("projects/"), row.age, row.published,
                    row.refused,
                )
            )  # fmt: skip
    return letters, planned, told


def _planned(batch: dispatch_pb2.DispatchBatch) -> Iterator[Planned]:
    source, page, policy = batch.source, batch.recipients, batch.policy
    caps = tuple(
        CapSeen(_SCOPES[cap.scope], cap.limit, cap.window.ToTimedelta().total_seconds()) for cap in policy.caps
    )
    quiet = (policy.quiet_time.start, policy.quiet_time.end) if policy.HasField("quiet_time") else None
    content = batch.content
    pool = "" if content.origination_number else content.origination_pool.rpartition("/")[2]
    for position, address in enumerate(page.addresses):
        endpoint = page.endpoint_ids[position] if page.endpoint_ids else ""
        who = endpoint or f"address:{address}"
        yield Planned(
            derived_id(source.run_id, source.activity_id, who, str(batch.occurrence)),
            batch.project.removeprefix("projects/"),
            batch.batch_id,
            source.run_id,
            source.name,
            _CLASSES[batch.message_class],
            address,
            page.ordinals[position] if page.ordinals and endpoint else -1,
            page.time_zones[position] if page.time_zones else "",
            caps,
            quiet,
            pool,
            batch.automatic_reply,
        )


def _sent(journals: Iterable[Path]) -> Mapping[str, int]:
    sent: Counter[str] = Counter()
    for path in journals:
        for line in path.read_text().splitlines():
            # The last line may be cut off by a kill: the provider did not take that message.
            if line.endswith("}"):
                sent[json.loads(line)["message_id"]] += 1
    return sent


def _knowing(conn: psycopg.Connection[Any]) -> frozenset[tuple[str, str, str]]:
    """Find the simulators that were set up to know ids again; of other providers nothing is known from outside."""
    found: dict[tuple[str, str, str], bool] = {}
    for table in ("messaging.channels", "messaging.routes"):
        for row in _optional(conn, table, f"SELECT project, kind, provider, settings FROM {table}"):  # noqa: S608
            way = (row.project, row.kind, row.provider)
            knows = row.provider == "simulator" and bool(row.settings.get("idempotent"))
            found[way] = found.get(way, True) and knows
    return frozenset(way for way, knows in found.items() if knows)


def _funnels(conn: psycopg.Connection[Any]) -> Mapping[tuple[str, str], Mapping[str, int]]:
    funnels: dict[tuple[str, str], dict[str, int]] = {}
    for row in _optional(conn, "campaigns.funnel", _FUNNELS):
        if row.outcome in _FUNNEL_OUTCOMES:
            funnels.setdefault((row.project, row.run_id), {})[row.outcome] = row.count
    return funnels


def _optional(
    conn: psycopg.Connection[Any], table: str, query: str, parameters: Mapping[str, Any] | None = None
) -> Sequence[Any]:
    """Return what a query finds; nothing where the service of the table is not installed here."""
    there = conn.execute("SELECT to_regclass(%s) IS NOT NULL AS there", (table,)).fetchone()
    if there is None or not there.there:
        return []
    return conn.execute(query.encode(), parameters).fetchall()


async def ids_in_log(url: str) -> frozenset[str]:
    """Return the ids of all messages in the event log (stream MESSAGES).

    Raises:
        OSError, nats.errors.Error: the bus does not answer.
    """
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=5)
    try:
        stream = client.jetstream()
        try:
            state = (await stream.stream_info("MESSAGES")).state
        except NotFoundError:
            return frozenset()
        ids: set[str] = set()
        if state.messages:
            reader = await stream.subscribe("messages.*", ordered_consumer=True)
            for _ in range(state.messages):
                message = await reader.next_msg(timeout=10)
                ids.add((message.headers or {}).get("ce-id", ""))
            await reader.unsubscribe()
        return frozenset(ids)
    finally:
        await client.close()

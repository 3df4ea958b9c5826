"""Tables of the journeys service, schema `journeys`.

`participants` is the hot one: a row for each person, two indexes, moved in sets. Its keys are the number of the run (known
only through `runs`, whose key begins with the project) and the ordinal: with the names of project, run and endpoint as key
the same update was measured at half the speed. `moves` is the history: a row for each
set that went the same way, with the ordinals of who it was. `chunks` are sets that arrived at a message step and
whose message is not handed over yet. `happened` is what is known about messages that splits ask about.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="journeys")
mail = outbox_tables(metadata)

ID = Text(collation="C")
"""Ids compare as bytes: by the rules of a language each look-up costs several times as much."""

journeys = Table(
    "journeys",
    metadata,
    Column("project", ID, primary_key=True),
    Column("journey_id", ID, primary_key=True),
    Column("draft", JSONB, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text, nullable=False, server_default=""),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("publish_time", DateTime(timezone=True)),
    Column("request_id", Text),
    Column("request_hash", Text),
)
Index("journeys_request", journeys.c.project, journeys.c.request_id, unique=True)

runs = Table(
    "runs",
    metadata,
    Column("project", ID, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("run_no", BigInteger, Identity(always=True), nullable=False),
    Column("journey_id", ID, nullable=False),
    # The journey as it was published: participants stay with the version they entered.
    Column("draft", JSONB, nullable=False),
    Column("implicit_window_seconds", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("failure_reason", Text, nullable=False, server_default=""),
    Column("start_time", DateTime(timezone=True), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True)),
    Column("snapshot", Text, nullable=False, server_default=""),
    Column("member_count", BigInteger, nullable=False, server_default="0"),
    # The last ordinal that entered; moves in the transaction that lets a page in.
    Column("cursor", BigInteger, nullable=False, server_default="0"),
    Column("entered", BigInteger, nullable=False, server_default="0"),
    Column("entry_done", Boolean, nullable=False, server_default="false"),
    # True when nobody is left inside of a run that ended.
    Column("swept", Boolean, nullable=False, server_default="false"),
    # Grows with each worker that lets people in; one that lost its lease holds a smaller one and can write nothing.
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    # Database time.
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("traceparent", Text, nullable=False, server_default=""),
)
Index("runs_number", runs.c.run_no, unique=True)
Index("runs_of_journey", runs.c.project, runs.c.journey_id)
Index("runs_open", runs.c.run_id, postgresql_where=~runs.c.swept)

participants = Table(
    "participants",
    metadata,
    Column("run_no", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint_id", ID, nullable=False),
    Column("step", SmallInteger, nullable=False),
    # ACTIVE, COMPLETED, EXITED.
    Column("state", Text, nullable=False),
    Column("exit_reason", Text, nullable=False),
    # Null: in a chunk, or gone.
    Column("wake_at", DateTime(timezone=True)),
    Column("entered_at", DateTime(timezone=True), nullable=False),
    Column("arrived_at", DateTime(timezone=True), nullable=False),
)
Index(
    "participants_due",
    participants.c.run_no,
    participants.c.wake_at,
    postgresql_where=participants.c.wake_at.isnot(None),
)

# From endpoint to ordinal; beside `participants`, because each index there costs at every move.
members = Table(
    "members",
    metadata,
    Column("run_no", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint_id", ID, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("project", ID, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("chunk_id", ID, primary_key=True),
    Column("step", SmallInteger, nullable=False),
    Column("arrived_at", DateTime(timezone=True), nullable=False),
    Column("endpoint_ids", ARRAY(Text), nullable=False),
    Column("ordinals", ARRAY(BigInteger), nullable=False),
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    # Database time; null: nobody has it.
    Column("lease_until", DateTime(timezone=True)),
)

moves = Table(
    "moves",
    metadata,
    Column("project", ID, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("move_id", ID, primary_key=True),
    # Null: they entered.
    Column("from_step", SmallInteger),
    Column("branch", Text, nullable=False),
    # Null: they left the journey.
    Column("to_step", SmallInteger),
    Column("exit_reason", Text, nullable=False),
    Column("moved_at", DateTime(timezone=True), nullable=False),
    Column("count", Integer, nullable=False),
    Column("ordinals", ARRAY(BigInteger), nullable=False),
)

happened = Table(
    "happened",
    metadata,
    Column("run_no", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    # The message step.
    Column("step", SmallInteger, primary_key=True, autoincrement=False),
    # Sum of domain.journey.EVENT_BITS.
    Column("events", Integer, nullable=False),
)

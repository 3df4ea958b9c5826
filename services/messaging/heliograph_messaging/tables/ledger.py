"""The ledger: batches, calls of providers, messages and what was reported of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_messaging.tables.schema import TIME, metadata

# One row for each DispatchBatch, with what its messages share. `lease_until` is the database's clock, the other times are
# the product's, which a demonstration may hurry.
batches = Table(
    "batches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("message_class", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("treatment_id", Text, nullable=False),
    Column("activity_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False, server_default=text("''")),
    Column("template", Text, nullable=False),
    Column("template_version", Integer, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("started_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("progress_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    # Leases in a row that were not given back: -1 after one that was.
    Column("crash_count", Integer, nullable=False, server_default=text("0")),
    Column("claimed", Boolean, nullable=False, server_default=text("false")),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until", TIME, nullable=False),
    Column("finish_time", TIME),
    # What its messages tell beside that, as JSON: snapshot, policy, context, caller_trace_id. NULL: nothing.
    Column("extras", JSONB),
    Index("batches_run", "project", "run_id"),
    Index(
        "batches_runs", "project", "run_id", "activity_id", postgresql_where=text("message_class <> 'transactional'")
    ),
)

# One row for each call of a provider. It is there before the call; DISPATCHING without an end is a call in doubt.
chunks = Table(
    "chunks",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("provider", Text, nullable=False, server_default=text("''")),
    Column("route", Text, nullable=False, server_default=text("''")),
    Column("start_time", TIME, nullable=False),
    Column("end_time", TIME),
)

# The ledger. Indexes are few on purpose, and none holds a column that changes, so that updates stay on their page.
messages = Table(
    "messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("batch_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    # 128 bits of run, activity, occurrence, channel and address; NULL for messages that do not use their address up.
    Column("address_key", Uuid),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("origination", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("part_count", SmallInteger, nullable=False),
    Column("chunk", Integer),
    Column("failed_attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("provider_message_id", Text, nullable=False, server_default=text("''")),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("accept_time", TIME),
    # Millionths; NULL for what costs nothing, which takes no room.
    Column("cost", BigInteger),
    # The chunks it was in before `chunk`; NULL: none.
    Column("earlier_chunks", ARRAY(Integer)),
    # Of direct sends the endpoint or the bare address, by which they are listed; NULL in campaigns and journeys, whose
    # message ids can be told from the run and the endpoint: an index of all recipients would cost a third more an insert.
    # The first 600 characters: an address may have 4,096, of which an index takes 2,704 bytes and refuses the row otherwise.
    Column("direct_recipient", Text),
    Index("messages_batch", "project", "batch_id"),
    Index(
        "messages_address",
        "project",
        "address_key",
        unique=True,
        postgresql_where=text("address_key IS NOT NULL"),
    ),
    Index(
        "messages_direct",
        "project",
        "direct_recipient",
        "create_time",
        postgresql_where=text("direct_recipient IS NOT NULL"),
    ),
)

# Only for providers with receipts and ids of their own.
provider_messages = Table(
    "provider_messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("provider_message_id", Text, primary_key=True),
    Column("message_id", Uuid, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("receipt_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("time", TIME, nullable=False),
    Column("message_id", Uuid),
    Column("provider_message_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("permanent", Boolean, nullable=False),
    Column("link", Text, nullable=False),
    Column("received_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", Text, nullable=False),
    Column("user_agent", Text, nullable=False, server_default=text("''")),
    Column("ip_address", Text, nullable=False, server_default=text("''")),
    Column("carrier", Text, nullable=False, server_default=text("''")),
    Index("receipts_message", "project", "message_id"),
    Index("receipts_pending", "received_at", postgresql_where=text("state = 'PENDING'")),
    Index("receipts_age", "received_at", postgresql_using="brin"),
)

# Endpoints of erased users, for as long as a batch with them may still come.
erased = Table(
    "erased",
    metadata,
    Column("project", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_at", TIME, nullable=False),
    Index("erased_age", "erased_at"),
)

# Erasures that are looked after once more an hour later, and forgotten then.
erasures = Table(
    "erasures",
    metadata,
    Column("project", Text, primary_key=True),
    Column("erasure", Text, primary_key=True),
    Column("endpoint_ids", ARRAY(Text), nullable=False),
    Column("addresses", ARRAY(Text), nullable=False),
    Column("again_at", TIME, nullable=False),
)

"""Who is not written to now: limits, suppressions, and the turns and days of numbers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY

from heliograph_messaging.tables.schema import TIME, metadata

# Projects in which a batch with caps was seen: from then on all targets count.
counted_projects = Table("counted_projects", metadata, Column("project", Text, primary_key=True))

# What an endpoint was the target of lately: instants of its last 100 messages by kind of source.
touches = Table(
    "touches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("campaign_times", ARRAY(TIME), nullable=False, server_default=text("'{}'")),
    Column("journey_times", ARRAY(TIME), nullable=False, server_default=text("'{}'")),
    Column("last_time", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Index("touches_age", "last_time"),
)

# The same for one campaign or journey, and how many messages it ever was.
source_touches = Table(
    "source_touches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("times", ARRAY(TIME), nullable=False),
    Column("total", Integer, nullable=False),
)

# Addresses that nothing is sent to. The key is a hash, so that the entry can outlive the erasure of the person's address, which
# empties `address`. `keyed`: it is a hash under the key below; those of before it was there are looked for as well.
suppressions = Table(
    "suppressions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("address_hash", Uuid, primary_key=True),
    Column("address", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("message_id", Uuid),
    Column("detail", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("keyed", Boolean, nullable=False, server_default=text("false")),
    Index("suppressions_unkeyed", "create_time", postgresql_where=text("NOT keyed AND address <> ''")),
)

# One row, made by the migration. Whoever has it can find out whether an address he knows is on the list.
suppression_keys = Table(
    "suppression_keys",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=text("clock_timestamp()")),
)

# When each number (or use case, whose numbers share one) is free again, by the product's clock; `direct:` before the key
# for direct sends.
calendars = Table(
    "calendars",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("free_at", TIME, nullable=False),
)

# Turns that batches hold: so many parts from an instant on.
# Message parts handed over in a window of the US Pacific. `project` owns the brand, or the number, whoever sends.
allowances = Table(
    "allowances",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("start_time", TIME, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Index("allowances_age", "start_time"),
)

turns = Table(
    "turns",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("start_time", TIME, nullable=False),
    Column("part_count", Integer, nullable=False),
)

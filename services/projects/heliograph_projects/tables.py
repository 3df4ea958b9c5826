"""Tables of the projects service, schema `projects`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Identity, Index, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="projects")
mail = outbox_tables(metadata)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # Set when the project was deleted. The row stays, so that its id is never given to somebody else.
    Column("delete_time", DateTime(timezone=True)),
    Index("projects_newest", "create_time", "id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("projects", ARRAY(Text), nullable=False),
    Column("all_projects", Boolean, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("revoke_time", DateTime(timezone=True)),
    Index("api_keys_newest", "create_time", "id"),
)

# What campaigns and journeys of a project inherit; a project that never changed it has no row.
settings = Table(
    "settings",
    metadata,
    Column("project", Text, primary_key=True),
    Column("values", JSONB, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

# What was answered to a request id, for each caller: one caller's ids never meet another's.
requests = Table(
    "requests",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", JSONB),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Index("requests_age", "create_time"),
)

# Only ever appended to; written in the transaction of the change it tells of.
audit_log = Table(
    "audit_log",
    metadata,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    # What changed. Never a secret and never a hash of one.
    Column("details", JSONB, nullable=False),
    Index("audit_log_resource", "resource", "sequence"),
)

"""Tables of the campaigns service, schema `campaigns`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="campaigns")
mail = outbox_tables(metadata)

campaigns = Table(
    "campaigns",
    metadata,
    Column("project", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("draft", JSONB, nullable=False),
    Column("segment", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text, nullable=False, server_default=""),
    # Null: immediately.
    Column("start_time", DateTime(timezone=True)),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("request_id", Text),
    Column("request_hash", Text),
    # The trace of the call that made it due, so that one trace leads from the call to the provider.
    Column("traceparent", Text, nullable=False, server_default=""),
)
Index("campaigns_request", campaigns.c.project, campaigns.c.request_id, unique=True)
Index(
    "campaigns_due",
    campaigns.c.start_time,
    postgresql_where=campaigns.c.state == "SCHEDULED",
)
Index("campaigns_of_segment", campaigns.c.segment)

campaign_versions = Table(
    "campaign_versions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("draft", JSONB, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("project", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("campaign_id", Text, nullable=False),
    Column("campaign_version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("failure_reason", Text, nullable=False, server_default=""),
    Column("scheduled_time", DateTime(timezone=True), nullable=False),
    Column("start_time", DateTime(timezone=True)),
    Column("end_time", DateTime(timezone=True)),
    Column("snapshot", Text, nullable=False, server_default=""),
    # The last ordinal whose page was committed; moves in the transaction that holds the page's batches.
    Column("cursor", BigInteger, nullable=False, server_default="0"),
    Column("produced", BigInteger, nullable=False, server_default="0"),
    Column("holdout", BigInteger, nullable=False, server_default="0"),
    Column("dispatched", Boolean, nullable=False, server_default="false"),
    Column("lease_owner", Text, nullable=False, server_default=""),
    # Grows with each owner; a worker that lost its lease holds a smaller one and can write nothing.
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("traceparent", Text, nullable=False, server_default=""),
)
Index("runs_of_campaign", runs.c.project, runs.c.campaign_id)
Index(
    "runs_open",
    runs.c.lease_until,
    postgresql_where=runs.c.state.in_(["PENDING", "INITIALIZING", "RUNNING"]),
)

# The funnel: how many recipients of a run and treatment had an outcome, by reason. `TARGETED` is one of the outcomes.
funnel = Table(
    "funnel",
    metadata,
    Column("project", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("treatment_id", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

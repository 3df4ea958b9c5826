"""What comes from outside, and one-time passwords."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, LargeBinary, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_messaging.tables.schema import TIME, metadata

# What people sent to us, each once.
inbound_messages = Table(
    "inbound_messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("inbound_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("origination", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("time", TIME, nullable=False),
    Column("media_urls", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("received_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Index("inbound_messages_age", "received_at", postgresql_using="brin"),
    Index("inbound_messages_person", "project", "origination"),
)

# What segments is still to be told of endpoints. A row goes when segments has answered; `taken_until` keeps other workers
# from it meanwhile. `cause` is the message or the receipt it was learnt from, so that it is noted once.
endpoint_marks = Table(
    "endpoint_marks",
    metadata,
    Column("project", Text, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("new_address", Text, nullable=False),
    Column("noted_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("taken_until", TIME, nullable=False, server_default=text("'-infinity'")),
    Index("endpoint_marks_waiting", "taken_until"),
)

# One row, made on first use by an installation that was given no key: all processes sign with the same.
tracking_keys = Table(
    "tracking_keys",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=text("clock_timestamp()")),
)

# One-time passwords. `code_hash` is keyed with a pepper that is not in the database.
otps = Table(
    "otps",
    metadata,
    Column("project", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("reference_id", Text, primary_key=True),
    Column("code_hash", LargeBinary, nullable=False),
    Column("allowed_attempts", SmallInteger, nullable=False),
    Column("failed_attempts", SmallInteger, nullable=False),
    Column("used", Boolean, nullable=False),
    Column("expire_time", TIME, nullable=False),
    Index("otps_expired", "expire_time"),
)

# When one-time passwords went to a destination or a block of numbers lately: at most as many instants as may be in an hour.
otp_sends = Table(
    "otp_sends",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("times", ARRAY(TIME), nullable=False),
    Column("last_time", TIME, nullable=False),
    Index("otp_sends_age", "last_time"),
)

"""Channels, their routes, and the numbers that the registry announces."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_messaging.tables.schema import TIME, metadata

channels = Table(
    "channels",
    metadata,
    Column("project", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("secret_names", ARRAY(Text), nullable=False),
    Column("from_address", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
    # NULL: as the installation does it.
    Column("open_tracking", Boolean),
    Column("click_tracking", Boolean),
)

# Further providers of a channel. A version is never used twice for one id: a route made again under its old name begins
# behind the old one's versions, so that no worker keeps its old sender.
routes = Table(
    "routes",
    metadata,
    Column("project", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("secret_names", ARRAY(Text), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# What the 10DLC registry announced last of each number: a projection, filled from CHANGES.
numbers = Table(
    "numbers",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sms_capable", Boolean, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("parts_per_second", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("brand", Text, nullable=False),
    Column("parts_per_day", BigInteger, nullable=False),
    Column("registered_message_type", Text, nullable=False),
    Column("help_reply", Text, nullable=False),
    Column("stop_reply", Text, nullable=False),
    Column("lent_by", Text, nullable=False),
    Column("toll_free_registered", Boolean, nullable=False),
    Column("voice_capable", Boolean, nullable=False),
    Index("numbers_lent", "lent_by", postgresql_where=text("lent_by <> ''")),
)

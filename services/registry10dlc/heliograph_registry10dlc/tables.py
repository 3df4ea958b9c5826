"""Tables of the 10DLC registry, schema `registry10dlc`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="registry10dlc")
mail = outbox_tables(metadata)

registrations = Table(
    "registrations",
    metadata,
    Column("project", Text, primary_key=True),
    Column("registration_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("parent_id", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("state_cause", Text, nullable=False, server_default=""),
    Column("state_field", Text, nullable=False, server_default=""),
    Column("fields", JSONB, nullable=False),
    Column("vetting_score", Integer, nullable=False, server_default="0"),
    Column("revision", BigInteger, nullable=False),
    # The registrar's own name for the present submission; empty until it was handed in.
    Column("reference", Text, nullable=False, server_default=""),
    Column("submitted_at", DateTime(timezone=True)),
    # Only for numbers that are not released: one number is in one inventory.
    Column("number", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("request_id", Text),
    Column("request_hash", Text),
)
Index(
    "registrations_request",
    registrations.c.project,
    registrations.c.request_id,
    unique=True,
)
Index("registrations_number", registrations.c.number, unique=True)
Index("registrations_children", registrations.c.project, registrations.c.parent_id)
Index(
    "registrations_at_registrar",
    registrations.c.project,
    registrations.c.registration_id,
    postgresql_where=registrations.c.state.in_(["PENDING", "APPROVED", "SUSPENDED"]),
)

# Append only.
moves = Table(
    "moves",
    metadata,
    Column("project", Text, primary_key=True),
    Column("move_id", BigInteger, Identity(always=True), primary_key=True),
    Column("registration_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    # A registrar repeats its decisions with every poll; each is one move.
    Column("decision_key", Text),
)
Index(
    "moves_decision",
    moves.c.project,
    moves.c.registration_id,
    moves.c.decision_key,
    unique=True,
)

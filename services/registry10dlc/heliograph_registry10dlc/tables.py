"""Tables of the 10DLC registry, schema `registry10dlc`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, MetaData, Table, Text, and_, text
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
    # NULL: there is nothing the registrar is to decide.
    Column("submitted_at", DateTime(timezone=True)),
    # Only for numbers that are not released: one number is in one inventory.
    Column("number", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("request_id", Text),
    Column("request_hash", Text),
    # A list of {field, cause, words}.
    Column("findings", JSONB, nullable=False, server_default=text("'[]'")),
    Column("draft_fields", JSONB, nullable=False, server_default=text("'{}'")),
    Column("vetting_time", DateTime(timezone=True)),
    Column("expire_time", DateTime(timezone=True)),
    Column("registered_id", Text, nullable=False, server_default=""),
    Column("earlier_reference", Text, nullable=False, server_default=""),
    Column("external_reference", Text, nullable=False, server_default=""),
)
_c = registrations.c
Index("registrations_request", _c.project, _c.request_id, unique=True)
Index("registrations_number", _c.number, unique=True)
Index("registrations_children", _c.project, _c.parent_id)
Index(
    "registrations_at_registrar",
    _c.project,
    _c.registration_id,
    postgresql_where=and_(_c.submitted_at.is_not(None), _c.state.not_in(["DELETED", "RELEASED", "CLOSED"])),
)
Index("registrations_reference", _c.reference, postgresql_where=_c.reference != "")
Index("registrations_expiring", _c.expire_time, postgresql_where=_c.expire_time.is_not(None))
Index("registrations_authenticating", _c.update_time, postgresql_where=_c.state == "REQUIRES_AUTHENTICATION")

# Append only. Rows of a project become visible in the order of their numbers: whoever writes holds the project's lock.
moves = Table(
    "moves",
    metadata,
    Column("project", Text, primary_key=True),
    Column("move_id", BigInteger, Identity(always=True), primary_key=True),
    Column("registration_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # NULL: it was created, or moved before events were kept.
    Column("event", Text),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("words", Text, nullable=False, server_default=""),
    Column("time", DateTime(timezone=True), nullable=False),
    # A registrar repeats its decisions with every poll; each is one move.
    Column("decision_key", Text),
)
Index("moves_decision", moves.c.project, moves.c.registration_id, moves.c.decision_key, unique=True)

# What the registrar is told without deciding anything; gone once it knows.
errands = Table(
    "errands",
    metadata,
    Column("project", Text, primary_key=True),
    Column("errand_id", Text, primary_key=True),
    Column("registration_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    Column("registered_id", Text, nullable=False),
    Column("parent_reference", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

# Numbers of `project` that `borrower` sends from as well.
share_grants = Table(
    "share_grants",
    metadata,
    Column("project", Text, primary_key=True),
    Column("grant_id", Text, primary_key=True),
    Column("number_id", Text, nullable=False),
    Column("borrower", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
Index(
    "share_grants_number",
    share_grants.c.project,
    share_grants.c.number_id,
    share_grants.c.borrower,
    unique=True,
)

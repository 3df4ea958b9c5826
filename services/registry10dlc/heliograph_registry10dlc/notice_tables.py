"""Tables of the notices of moves, schema `registry10dlc`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, LargeBinary, Table, Text, func, text

from heliograph_registry10dlc.tables import metadata

notice_settings = Table(
    "notice_settings",
    metadata,
    Column("project", Text, primary_key=True),
    # Empty: nobody is told.
    Column("url", Text, nullable=False),
    # Sealed.
    Column("secret", LargeBinary, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    Column("last_error", Text, nullable=False, server_default=""),
    # In a row; they decide when the next attempt is made.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_time", DateTime(timezone=True), nullable=False),
    # Whose turn it is, and how long at most: notices of one project leave one after the other.
    Column("lease", Text, nullable=False, server_default=""),
    Column("leased_until", DateTime(timezone=True)),
)

# Delivered ones are deleted.
notices = Table(
    "notices",
    metadata,
    Column("project", Text, primary_key=True),
    Column("move_id", BigInteger, primary_key=True),
    Column("notice_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text, nullable=False, server_default=""),
    Column("gave_up_time", DateTime(timezone=True)),
)
Index(
    "notices_waiting",
    notices.c.project,
    notices.c.move_id,
    postgresql_where=notices.c.gave_up_time.is_(None),
)
Index(
    "notices_given_up",
    notices.c.gave_up_time,
    postgresql_where=notices.c.gave_up_time.is_not(None),
)

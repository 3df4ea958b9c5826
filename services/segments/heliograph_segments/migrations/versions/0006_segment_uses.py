"""Who uses segments, as campaigns and journeys announce it."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0002"

_STATEMENTS = (
    """
CREATE TABLE segments.segment_uses (
    project text NOT NULL,
    kind text NOT NULL,
    user_key text NOT NULL,
    revision bigint NOT NULL,
    state text NOT NULL,
    in_use boolean NOT NULL,
    segment_ids text[] NOT NULL,
    PRIMARY KEY (project, kind, user_key)
)""",
    "CREATE INDEX segment_uses_open ON segments.segment_uses (project) WHERE in_use",
)


def upgrade() -> None:
    """Create the table; it fills from the announcements that the bus still holds and from those that come."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

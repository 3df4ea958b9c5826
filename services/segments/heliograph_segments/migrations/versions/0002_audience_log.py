"""The log of changed endpoints, from which indexes follow the record."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = (
    """
CREATE TABLE segments.audience_log (
    project text NOT NULL,
    transaction_id bigint NOT NULL,
    entry bigint GENERATED ALWAYS AS IDENTITY,
    ordinals bytea NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (project, transaction_id, entry)
)""",
    # A change of a user touches all his endpoints.
    "CREATE INDEX endpoints_user ON segments.endpoints (project, user_id) WHERE user_id <> ''",
    "CREATE INDEX audience_log_age ON segments.audience_log (written_at)",
)


def upgrade() -> None:
    """Create the log."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

"""Whom imports listed, and the segments they make."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_STATEMENTS = (
    """
ALTER TABLE segments.import_jobs
    ADD COLUMN skip_endpoints boolean NOT NULL DEFAULT false,
    ADD COLUMN segment_name text NOT NULL DEFAULT '',
    ADD COLUMN segment_id text NOT NULL DEFAULT ''
""",
    """
CREATE TABLE segments.imported_endpoints (
    project text NOT NULL,
    list_id text NOT NULL,
    piece bigint NOT NULL,
    ordinals bytea NOT NULL,
    PRIMARY KEY (project, list_id, piece)
)""",
    """
CREATE TABLE segments.imported_users (
    project text NOT NULL,
    list_id text NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (project, list_id, user_id)
)""",
)


def upgrade() -> None:
    """Add columns and tables; the code of before makes no segments of imports."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

"""Export jobs."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    """
CREATE TABLE segments.export_jobs (
    project text NOT NULL,
    job_id text NOT NULL,
    destination text NOT NULL,
    segment_id text NOT NULL,
    segment_version integer NOT NULL,
    state text NOT NULL,
    failure_reason text NOT NULL,
    failure_message text NOT NULL,
    total_pieces integer NOT NULL,
    completed_pieces integer NOT NULL,
    failed_pieces integer NOT NULL,
    processed_count bigint NOT NULL,
    piece_endpoints integer NOT NULL,
    members bytea,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    lease_until timestamptz,
    fence bigint NOT NULL,
    PRIMARY KEY (project, job_id)
)""",
    "CREATE INDEX export_jobs_open ON segments.export_jobs (created_at) WHERE completed_at IS NULL",
)


def upgrade() -> None:
    """Create the table; the code of before neither reads nor writes it."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

"""Imports of several objects."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
    """
ALTER TABLE segments.import_jobs
    ADD COLUMN object_count integer NOT NULL DEFAULT 0,
    ADD COLUMN completed_objects integer NOT NULL DEFAULT 0,
    ADD COLUMN skipped_objects integer NOT NULL DEFAULT 0,
    ADD COLUMN listing text NOT NULL DEFAULT '',
    ADD COLUMN object_version text NOT NULL DEFAULT '',
    ADD COLUMN object_bytes bigint NOT NULL DEFAULT 0,
    ALTER COLUMN modified_ns SET DEFAULT 0
""",
    # What is under way goes on in its one object.
    """
UPDATE segments.import_jobs SET object_count = CASE WHEN size_bytes > 0 THEN 1 ELSE 0 END,
    completed_objects = CASE WHEN state = 'COMPLETED' THEN 1 ELSE 0 END,
    object_version = CASE WHEN completed_at IS NULL AND done_bytes > 0 THEN size_bytes || ' ' || modified_ns ELSE '' END,
    object_bytes = CASE WHEN completed_at IS NULL THEN done_bytes ELSE 0 END
""",
)


def upgrade() -> None:
    """Add columns and move the progress of what is under way; the code of before reads and writes as ever."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

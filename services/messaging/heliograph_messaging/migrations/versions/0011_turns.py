"""Turns at numbers, when a batch last moved on, and how many workers died with it."""

from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the columns; the code of before does not look at them."""
    op.execute(
        "CREATE TABLE messaging.calendars (project text, key text, free_at timestamptz NOT NULL, PRIMARY KEY (project, key))"
    )
    op.execute(
        """CREATE TABLE messaging.turns (project text, batch_id uuid, key text, start_time timestamptz NOT NULL,
            part_count integer NOT NULL, PRIMARY KEY (project, batch_id, key))"""
    )
    op.execute("ALTER TABLE messaging.batches ADD COLUMN progress_at timestamptz NOT NULL DEFAULT clock_timestamp()")
    op.execute("ALTER TABLE messaging.batches ADD COLUMN crash_count integer NOT NULL DEFAULT 0")

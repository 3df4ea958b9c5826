"""What caps count, and the suppression list."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; the code of before does not look at them."""
    op.execute("CREATE TABLE messaging.counted_projects (project text PRIMARY KEY)")
    op.execute(
        """CREATE TABLE messaging.touches (project text, ordinal bigint,
            campaign_times timestamptz[] NOT NULL DEFAULT '{}', journey_times timestamptz[] NOT NULL DEFAULT '{}',
            last_time timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (project, ordinal))"""
    )
    op.execute("CREATE INDEX touches_age ON messaging.touches (last_time)")
    op.execute(
        """CREATE TABLE messaging.source_touches (project text, source text, ordinal bigint, times timestamptz[] NOT NULL,
            total integer NOT NULL, PRIMARY KEY (project, source, ordinal))"""
    )
    op.execute(
        """CREATE TABLE messaging.suppressions (project text, channel text, address_hash uuid, address text NOT NULL,
            cause text NOT NULL, message_id uuid, detail text NOT NULL, added_by text NOT NULL,
            create_time timestamptz NOT NULL, PRIMARY KEY (project, channel, address_hash))"""
    )

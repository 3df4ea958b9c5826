"""Several providers for one channel: routes, and in each chunk the one it was handed to."""

from alembic import op

revision = "0008"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the columns; the code of before neither reads nor needs them."""
    op.execute(
        """CREATE TABLE messaging.routes (project text, kind text, id text, provider text NOT NULL,
            settings jsonb NOT NULL, secrets bytea NOT NULL, secret_names text[] NOT NULL, priority integer NOT NULL,
            enabled boolean NOT NULL, version bigint NOT NULL, create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL, updated_by text NOT NULL, PRIMARY KEY (project, kind, id))"""
    )
    op.execute("ALTER TABLE messaging.chunks ADD COLUMN provider text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE messaging.chunks ADD COLUMN route text NOT NULL DEFAULT ''")

"""What comes from outside: people's messages to us, what endpoints are to be told, and the key of tracked links."""

from alembic import op

revision = "0007"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """CREATE TABLE messaging.inbound_messages (
        project text, provider text, inbound_id text, channel text NOT NULL, origination text NOT NULL,
        destination text NOT NULL, body text NOT NULL, time timestamptz NOT NULL, media_urls text[] NOT NULL,
        attributes jsonb NOT NULL, received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (project, provider, inbound_id))""",
    """CREATE TABLE messaging.endpoint_marks (
        project text, cause text, kind text, endpoint_id text NOT NULL, address text NOT NULL,
        new_address text NOT NULL, noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        taken_until timestamptz NOT NULL DEFAULT '-infinity', PRIMARY KEY (project, cause, kind))""",
    "CREATE INDEX endpoint_marks_waiting ON messaging.endpoint_marks (taken_until)",
    """CREATE TABLE messaging.tracking_keys (
        id smallint PRIMARY KEY, key bytea NOT NULL, create_time timestamptz NOT NULL DEFAULT clock_timestamp())""",
    "ALTER TABLE messaging.channels ADD COLUMN open_tracking boolean, ADD COLUMN click_tracking boolean",
    # Constant defaults: PostgreSQL writes no row for them.
    """ALTER TABLE messaging.receipts ADD COLUMN user_agent text NOT NULL DEFAULT '',
        ADD COLUMN ip_address text NOT NULL DEFAULT ''""",
)


def upgrade() -> None:
    """Create the tables and columns; the code of before does not look at them."""
    for statement in _STATEMENTS:
        op.execute(statement)

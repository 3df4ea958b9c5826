"""The key of suppressed addresses, and which entries are stored under it."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the key. Entries stay as they are: the code of before still looks for them, and that of now for both forms."""
    op.execute("ALTER TABLE messaging.suppressions ADD COLUMN keyed boolean NOT NULL DEFAULT false")
    op.execute(
        "CREATE INDEX suppressions_unkeyed ON messaging.suppressions (create_time) WHERE NOT keyed AND address <> ''"
    )
    op.execute(
        """CREATE TABLE messaging.suppression_keys (id smallint PRIMARY KEY, key bytea NOT NULL,
            create_time timestamptz NOT NULL DEFAULT clock_timestamp())"""
    )
    statement = sa.text("INSERT INTO messaging.suppression_keys (id, key) VALUES (1, :key)")
    op.execute(statement.bindparams(sa.bindparam("key", secrets.token_bytes(32), sa.LargeBinary)))

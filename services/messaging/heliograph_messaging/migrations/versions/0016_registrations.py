"""What the registry says of brands, use cases and loans of numbers, what was sent in limited days, and carriers."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table, and columns that the code of before leaves out of its rows.

    Numbers that are known already go on as they did until they are announced again: without thresholds, and making calls.
    """
    op.execute(
        """ALTER TABLE messaging.numbers
            ADD COLUMN brand text NOT NULL DEFAULT '',
            ADD COLUMN parts_per_day bigint NOT NULL DEFAULT 0,
            ADD COLUMN registered_message_type text NOT NULL DEFAULT '',
            ADD COLUMN help_reply text NOT NULL DEFAULT '',
            ADD COLUMN stop_reply text NOT NULL DEFAULT '',
            ADD COLUMN lent_by text NOT NULL DEFAULT '',
            ADD COLUMN toll_free_registered boolean NOT NULL DEFAULT true,
            ADD COLUMN voice_capable boolean NOT NULL DEFAULT true"""
    )
    op.execute(
        """CREATE TABLE messaging.allowances (project text, key text, span text, start_time timestamptz,
            used bigint NOT NULL, PRIMARY KEY (project, key, span, start_time))"""
    )
    op.execute("ALTER TABLE messaging.receipts ADD COLUMN carrier text NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX allowances_age ON messaging.allowances (start_time)")
    op.execute("CREATE INDEX numbers_lent ON messaging.numbers (lent_by) WHERE lent_by <> ''")

"""What is found by its age and forgotten, and erasures that are looked after once more."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create indexes and a table; the code of before does not look at them."""
    # Rows are there in the order of their age: ranges of pages are enough, and cost nothing when a row is added.
    op.execute("CREATE INDEX receipts_age ON messaging.receipts USING brin (received_at)")
    op.execute("CREATE INDEX inbound_messages_age ON messaging.inbound_messages USING brin (received_at)")
    op.execute("CREATE INDEX inbound_messages_person ON messaging.inbound_messages (project, origination)")
    op.execute(
        """CREATE TABLE messaging.erasures (project text, erasure text, endpoint_ids text[] NOT NULL,
            addresses text[] NOT NULL, again_at timestamptz NOT NULL, PRIMARY KEY (project, erasure))"""
    )

"""What a batch tells beside its messages, and the attempts of a message."""

from alembic import op

revision = "0012"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the columns; the code of before neither reads nor needs them."""
    op.execute("ALTER TABLE messaging.batches ADD COLUMN extras jsonb")
    op.execute("ALTER TABLE messaging.messages ADD COLUMN earlier_chunks integer[]")
    op.execute("ALTER TABLE messaging.messages ADD COLUMN direct_recipient text")
    op.execute(
        """CREATE INDEX messages_direct ON messaging.messages (project, direct_recipient, create_time)
            WHERE direct_recipient IS NOT NULL"""
    )
    op.execute(
        """CREATE INDEX batches_runs ON messaging.batches (project, run_id, activity_id)
            WHERE message_class <> 'transactional'"""
    )

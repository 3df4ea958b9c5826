"""What a batch tells beside its messages, the attempts of a message, and one-time passwords."""

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
    op.execute(
        """CREATE TABLE messaging.otps (project text, destination text, reference_id text, code_hash bytea NOT NULL,
            allowed_attempts smallint NOT NULL, failed_attempts smallint NOT NULL, used boolean NOT NULL,
            expire_time timestamptz NOT NULL, PRIMARY KEY (project, destination, reference_id))"""
    )
    op.execute("CREATE INDEX otps_expired ON messaging.otps (expire_time)")
    op.execute(
        """CREATE TABLE messaging.otp_sends (project text, key text, times timestamptz[] NOT NULL,
            last_time timestamptz NOT NULL, PRIMARY KEY (project, key))"""
    )
    op.execute("CREATE INDEX otp_sends_age ON messaging.otp_sends (last_time)")

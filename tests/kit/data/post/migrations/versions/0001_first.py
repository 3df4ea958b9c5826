"""Create the letters and the mail tables."""

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    op.execute("CREATE TABLE post.letters (project text, id text, times integer NOT NULL, PRIMARY KEY (project, id))")
    create_mail_tables(op, "post")

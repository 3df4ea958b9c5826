"""Templates of every kind, versions that are overwritten and deleted, and files that go with e-mails."""

from alembic import op

revision = "0004"
down_revision = "0011"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Every column has a default or may be NULL: the code of before goes on writing rows, and reads those of e-mail and
    # SMS as ever, since their texts stay in the columns they had.
    "ALTER TABLE messaging.templates ADD COLUMN delete_time timestamptz",
    """ALTER TABLE messaging.template_versions
        ADD COLUMN content jsonb NOT NULL DEFAULT '{}'::jsonb,
        ADD COLUMN lenient boolean NOT NULL DEFAULT false,
        ADD COLUMN revision integer NOT NULL DEFAULT 0,
        ADD COLUMN create_time timestamptz,
        ADD COLUMN delete_time timestamptz""",
    """CREATE TABLE messaging.files (
        project text, id text, size_bytes integer NOT NULL, data bytea NOT NULL,
        used_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (project, id))""",
    # What is sent in files is packed already.
    "ALTER TABLE messaging.files ALTER COLUMN data SET STORAGE EXTERNAL",
    "CREATE INDEX files_used ON messaging.files (used_at)",
)


def upgrade() -> None:
    """Add the columns and the table."""
    for statement in _STATEMENTS:
        op.execute(statement)

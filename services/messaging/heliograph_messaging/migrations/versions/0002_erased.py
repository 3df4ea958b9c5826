"""The endpoints of erased users, to whom nothing is sent any more."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the code of before does not look at it."""
    op.execute(
        "CREATE TABLE messaging.erased (project text, ordinal bigint, erased_at timestamptz NOT NULL, "
        "PRIMARY KEY (project, ordinal))"
    )
    op.execute("CREATE INDEX erased_age ON messaging.erased (erased_at)")

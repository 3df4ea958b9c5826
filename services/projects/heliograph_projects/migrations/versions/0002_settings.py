"""What campaigns and journeys of a project inherit."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the code of before does not look at it."""
    op.execute(
        'CREATE TABLE projects.settings (project text PRIMARY KEY, "values" jsonb NOT NULL, '
        "update_time timestamptz NOT NULL)"
    )

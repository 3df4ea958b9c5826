"""Since when opt-outs are obeyed, and not only since when people wanted them."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the code of before neither reads nor needs it. Those of before are known from now on."""
    op.execute(
        "ALTER TABLE messaging.opted_out_numbers ADD COLUMN noted_at timestamptz NOT NULL DEFAULT clock_timestamp()"
    )

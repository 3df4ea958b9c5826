"""Create the tables of projects, keys, requests and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "projects"


def upgrade() -> None:
    """Create everything."""
    create_mail_tables(op, SCHEMA)
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("tags", postgresql.JSONB, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index("projects_newest", "projects", ["create_time", "id"], schema=SCHEMA)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("projects", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("all_projects", sa.Boolean, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index("api_keys_newest", "api_keys", ["create_time", "id"], schema=SCHEMA)
    op.create_table(
        "requests",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("answer", postgresql.JSONB),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("requests_age", "requests", ["create_time"], schema=SCHEMA)
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("details", postgresql.JSONB, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("audit_log_resource", "audit_log", ["resource", "sequence"], schema=SCHEMA)


def downgrade() -> None:
    """Never: what was stored is not thrown away by going back."""
    raise NotImplementedError("restore a backup instead")

"""Templates, channels, numbers, the ledger with its batches and chunks, receipts, outbox and inbox."""

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """CREATE TABLE messaging.templates (
        project text, id text, kind text NOT NULL, active_version integer NOT NULL, latest_version integer NOT NULL,
        create_time timestamptz NOT NULL, PRIMARY KEY (project, id))""",
    """CREATE TABLE messaging.template_versions (
        project text, id text, version integer, incarnation text NOT NULL, description text NOT NULL,
        subject text NOT NULL, html text NOT NULL, text text NOT NULL, body text NOT NULL,
        default_substitutions jsonb NOT NULL, variables text[] NOT NULL, substitution_names text[] NOT NULL,
        update_time timestamptz NOT NULL, updated_by text NOT NULL, PRIMARY KEY (project, id, version))""",
    """CREATE TABLE messaging.channels (
        project text, kind text, provider text NOT NULL, settings jsonb NOT NULL, secrets bytea NOT NULL,
        secret_names text[] NOT NULL, from_address text NOT NULL, enabled boolean NOT NULL, version integer NOT NULL,
        create_time timestamptz NOT NULL, update_time timestamptz NOT NULL, updated_by text NOT NULL,
        PRIMARY KEY (project, kind))""",
    """CREATE TABLE messaging.requests (
        project text, method text, request_id text, fingerprint text NOT NULL, answer bytea NOT NULL,
        create_time timestamptz NOT NULL, PRIMARY KEY (project, method, request_id))""",
    """CREATE TABLE messaging.numbers (
        project text, number text, kind text NOT NULL, state text NOT NULL, sms_capable boolean NOT NULL,
        use_case text NOT NULL, parts_per_second double precision NOT NULL, revision bigint NOT NULL,
        PRIMARY KEY (project, number))""",
    """CREATE TABLE messaging.batches (
        project text, batch_id uuid, message_class text NOT NULL, source_name text NOT NULL, run_id text NOT NULL,
        treatment_id text NOT NULL, activity_id text NOT NULL, channel text NOT NULL,
        provider text NOT NULL DEFAULT '', template text NOT NULL, template_version integer NOT NULL,
        trace_id text NOT NULL, create_time timestamptz NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(), claimed boolean NOT NULL DEFAULT false,
        lease_token bigint NOT NULL, lease_until timestamptz NOT NULL, finish_time timestamptz,
        PRIMARY KEY (project, batch_id)) WITH (fillfactor = 70)""",
    "CREATE INDEX batches_run ON messaging.batches (project, run_id)",
    """CREATE TABLE messaging.chunks (
        project text, batch_id uuid, chunk integer, state text NOT NULL, lease_token bigint NOT NULL,
        message_count integer NOT NULL, start_time timestamptz NOT NULL, end_time timestamptz,
        PRIMARY KEY (project, batch_id, chunk)) WITH (fillfactor = 70)""",
    # Each row is written twice, claim and outcome: room on the page keeps the second write there.
    """CREATE TABLE messaging.messages (
        project text, message_id uuid, batch_id uuid NOT NULL, "position" smallint NOT NULL,
        endpoint_id text NOT NULL, user_id text NOT NULL, address text NOT NULL, address_key uuid,
        status text NOT NULL, reason text NOT NULL, detail text NOT NULL, origination text NOT NULL,
        use_case text NOT NULL, part_count smallint NOT NULL, chunk integer,
        failed_attempts smallint NOT NULL DEFAULT 0, provider_message_id text NOT NULL DEFAULT '',
        create_time timestamptz NOT NULL, update_time timestamptz NOT NULL, accept_time timestamptz,
        PRIMARY KEY (project, message_id)) WITH (fillfactor = 50)""",
    "CREATE INDEX messages_batch ON messaging.messages (project, batch_id)",
    """CREATE UNIQUE INDEX messages_address ON messaging.messages (project, address_key)
        WHERE address_key IS NOT NULL""",
    """CREATE TABLE messaging.provider_messages (
        project text, provider text, provider_message_id text, message_id uuid NOT NULL,
        PRIMARY KEY (project, provider, provider_message_id))""",
    """CREATE TABLE messaging.receipts (
        project text, provider text, receipt_id text, kind text NOT NULL, time timestamptz NOT NULL, message_id uuid,
        provider_message_id text NOT NULL, detail text NOT NULL, permanent boolean NOT NULL, link text NOT NULL,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(), state text NOT NULL,
        PRIMARY KEY (project, provider, receipt_id))""",
    "CREATE INDEX receipts_message ON messaging.receipts (project, message_id)",
    "CREATE INDEX receipts_pending ON messaging.receipts (received_at) WHERE state = 'PENDING'",
)


def upgrade() -> None:
    """Create everything."""
    create_mail_tables(op, "messaging")
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything but the schema."""
    for table in (
        "receipts", "provider_messages", "messages", "chunks", "batches", "numbers", "requests", "channels",
        "template_versions", "templates", "inbox", "outbox",
    ):  # fmt: skip
        op.execute(f"DROP TABLE messaging.{table}")

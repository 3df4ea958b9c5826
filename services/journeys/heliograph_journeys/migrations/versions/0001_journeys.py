"""The first schema: journeys, runs, participants, chunks, moves, what happened to messages; outbox and inbox."""

from __future__ import annotations

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    """CREATE TABLE journeys.journeys (
        project text COLLATE "C" NOT NULL, journey_id text COLLATE "C" NOT NULL, draft jsonb NOT NULL, revision integer NOT NULL,
        state text NOT NULL, state_reason text NOT NULL DEFAULT '', create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL, publish_time timestamptz, request_id text, request_hash text,
        PRIMARY KEY (project, journey_id))""",
    "CREATE UNIQUE INDEX journeys_request ON journeys.journeys (project, request_id)",
    """CREATE TABLE journeys.runs (
        project text COLLATE "C" NOT NULL, run_id text COLLATE "C" NOT NULL,
        run_no bigint GENERATED ALWAYS AS IDENTITY NOT NULL, journey_id text COLLATE "C" NOT NULL, draft jsonb NOT NULL,
        implicit_window_seconds bigint NOT NULL, state text NOT NULL, failure_reason text NOT NULL DEFAULT '',
        start_time timestamptz NOT NULL, create_time timestamptz NOT NULL, end_time timestamptz,
        snapshot text NOT NULL DEFAULT '', member_count bigint NOT NULL DEFAULT 0, cursor bigint NOT NULL DEFAULT 0,
        entered bigint NOT NULL DEFAULT 0, entry_done boolean NOT NULL DEFAULT false,
        swept boolean NOT NULL DEFAULT false, lease_token bigint NOT NULL DEFAULT 0, lease_until timestamptz,
        attempts integer NOT NULL DEFAULT 0, traceparent text NOT NULL DEFAULT '', PRIMARY KEY (project, run_id))""",
    "CREATE UNIQUE INDEX runs_number ON journeys.runs (run_no)",
    "CREATE INDEX runs_of_journey ON journeys.runs (project, journey_id)",
    "CREATE INDEX runs_open ON journeys.runs (run_id) WHERE NOT swept",
    # Ids compare as bytes everywhere (COLLATE "C"): by the rules of a language each look-up costs several times as much.
    # Room on each page lets a moved row stay near, and dead rows are frequent: clean up early and without pauses.
    """CREATE TABLE journeys.participants (
        run_no bigint NOT NULL, ordinal bigint NOT NULL, endpoint_id text COLLATE "C" NOT NULL,
        step smallint NOT NULL, state text NOT NULL, exit_reason text NOT NULL, wake_at timestamptz,
        entered_at timestamptz NOT NULL, arrived_at timestamptz NOT NULL, PRIMARY KEY (run_no, ordinal))
        WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)""",
    "CREATE INDEX participants_due ON journeys.participants (run_no, wake_at) WHERE wake_at IS NOT NULL",
    """CREATE TABLE journeys.members (
        run_no bigint NOT NULL, endpoint_id text COLLATE "C" NOT NULL, ordinal bigint NOT NULL,
        PRIMARY KEY (run_no, endpoint_id))""",
    """CREATE TABLE journeys.chunks (
        project text COLLATE "C" NOT NULL, run_id text COLLATE "C" NOT NULL, chunk_id text COLLATE "C" NOT NULL, step smallint NOT NULL,
        arrived_at timestamptz NOT NULL, endpoint_ids text[] NOT NULL, ordinals bigint[] NOT NULL,
        lease_token bigint NOT NULL DEFAULT 0, lease_until timestamptz, PRIMARY KEY (project, run_id, chunk_id))""",
    """CREATE TABLE journeys.moves (
        project text COLLATE "C" NOT NULL, run_id text COLLATE "C" NOT NULL, move_id text COLLATE "C" NOT NULL, from_step smallint, branch text NOT NULL,
        to_step smallint, exit_reason text NOT NULL, moved_at timestamptz NOT NULL, count integer NOT NULL,
        ordinals bigint[] NOT NULL, PRIMARY KEY (project, run_id, move_id))""",
    """CREATE TABLE journeys.happened (
        run_no bigint NOT NULL, ordinal bigint NOT NULL, step smallint NOT NULL, events integer NOT NULL,
        PRIMARY KEY (run_no, ordinal, step))""",
)


def upgrade() -> None:
    """Create everything."""
    for statement in _STATEMENTS:
        op.execute(statement)
    create_mail_tables(op, "journeys")


def downgrade() -> None:
    """Remove everything."""
    for table in ("happened", "moves", "chunks", "members", "participants", "runs", "journeys", "inbox", "outbox"):
        op.execute(f"DROP TABLE journeys.{table}")

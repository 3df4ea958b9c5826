"""Endpoints, users, segments, snapshots, import jobs, and the mail tables."""

from __future__ import annotations

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None

# The grammar of domain/instants.py. The test of the format comes first: only what passes it is cast, and
# pg_input_is_valid (PostgreSQL 16) catches the 30th of February without an error.
_INSTANT_OF = r"""
CREATE FUNCTION segments.instant_of(given text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts text[] := regexp_match(given, '^([12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))'
        '(?:T((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9])?(\.[0-9]{1,9})?(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$');
    spelled text;
BEGIN
    -- A fraction needs seconds before it, which the expression alone does not say.
    IF parts IS NULL OR (parts[4] IS NOT NULL AND parts[3] IS NULL) THEN
        RETURN NULL;
    END IF;
    spelled := parts[1] || ' ' || coalesce(parts[2], '00:00') || coalesce(parts[3], ':00')
        || left(coalesce(parts[4], ''), 7) || coalesce(parts[5], 'Z');
    RETURN CASE WHEN pg_input_is_valid(spelled, 'timestamptz') THEN spelled::timestamptz END;
END
$$
"""

_TABLES = (
    """
CREATE TABLE segments.counters (
    project text PRIMARY KEY,
    last_ordinal bigint NOT NULL
)""",
    """
CREATE TABLE segments.endpoints (
    project text NOT NULL,
    endpoint_key text NOT NULL,
    endpoint_id text NOT NULL,
    ordinal bigint NOT NULL,
    cohort smallint NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    attributes jsonb NOT NULL,
    metrics jsonb NOT NULL,
    demographic jsonb NOT NULL,
    location jsonb NOT NULL,
    user_id text NOT NULL,
    active boolean NOT NULL,
    opted_out boolean NOT NULL,
    request_id text NOT NULL,
    created_at timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    last_active_at timestamptz NOT NULL,
    PRIMARY KEY (project, endpoint_key)
)""",
    "CREATE UNIQUE INDEX endpoints_ordinal ON segments.endpoints (project, ordinal)",
    """
CREATE TABLE segments.users (
    project text NOT NULL,
    user_id text NOT NULL,
    attributes jsonb NOT NULL,
    PRIMARY KEY (project, user_id)
)""",
    """
CREATE TABLE segments.segments (
    project text NOT NULL,
    segment_id text NOT NULL,
    version integer NOT NULL,
    tags jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project, segment_id)
)""",
    """
CREATE TABLE segments.segment_versions (
    project text NOT NULL,
    segment_id text NOT NULL,
    version integer NOT NULL,
    display_name text NOT NULL,
    rules jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project, segment_id, version)
)""",
    """
CREATE TABLE segments.snapshots (
    project text NOT NULL,
    snapshot_id text NOT NULL,
    segment_id text NOT NULL,
    segment_version integer NOT NULL,
    member_count bigint NOT NULL,
    as_of timestamptz NOT NULL,
    members bytea NOT NULL,
    PRIMARY KEY (project, snapshot_id)
)""",
    # The bitmap is compressed already; trying again costs time at each freeze.
    "ALTER TABLE segments.snapshots ALTER COLUMN members SET STORAGE EXTERNAL",
    """
CREATE TABLE segments.import_jobs (
    project text NOT NULL,
    job_id text NOT NULL,
    format text NOT NULL,
    source text NOT NULL,
    state text NOT NULL,
    failure_reason text NOT NULL,
    failure_message text NOT NULL,
    total_pieces integer NOT NULL,
    completed_pieces integer NOT NULL,
    failed_pieces integer NOT NULL,
    processed_count bigint NOT NULL,
    failed_count bigint NOT NULL,
    created_count bigint NOT NULL,
    size_bytes bigint NOT NULL,
    modified_ns bigint NOT NULL,
    done_bytes bigint NOT NULL,
    done_lines bigint NOT NULL,
    failures jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    lease_until timestamptz,
    fence bigint NOT NULL,
    PRIMARY KEY (project, job_id)
)""",
    "CREATE INDEX import_jobs_open ON segments.import_jobs (created_at) WHERE completed_at IS NULL",
    """
CREATE TABLE segments.requests (
    project text NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    fingerprint text NOT NULL,
    resource_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project, method, request_id)
)""",
)


def upgrade() -> None:
    """Create everything."""
    create_mail_tables(op, "segments")
    # Not through op.execute: it would take the colons of the regular expression for parameters.
    for statement in (_INSTANT_OF, *_TABLES):
        op.get_bind().exec_driver_sql(statement)

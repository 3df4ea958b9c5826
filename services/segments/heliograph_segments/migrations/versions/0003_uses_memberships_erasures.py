"""Who uses segments, who was in those in use when it was last announced, and erasures of users."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    """
CREATE TABLE segments.segment_uses (
    project text NOT NULL,
    kind text NOT NULL,
    user_key text NOT NULL,
    revision bigint NOT NULL,
    state text NOT NULL,
    in_use boolean NOT NULL,
    segment_ids text[] NOT NULL,
    PRIMARY KEY (project, kind, user_key)
)""",
    "CREATE INDEX segment_uses_open ON segments.segment_uses (project) WHERE in_use",
    """
CREATE TABLE segments.memberships (
    project text NOT NULL,
    segment_id text NOT NULL,
    version integer NOT NULL,
    fingerprint text NOT NULL,
    sequence bigint NOT NULL,
    as_of timestamptz,
    transaction_id bigint,
    read_at timestamptz,
    members bytea,
    checked_at timestamptz,
    lease_until timestamptz,
    fence bigint NOT NULL,
    PRIMARY KEY (project, segment_id)
)""",
    """
CREATE TABLE segments.deleted_endpoints (
    project text NOT NULL,
    ordinal bigint NOT NULL,
    endpoint_id text NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (project, ordinal)
)""",
    "CREATE INDEX deleted_endpoints_age ON segments.deleted_endpoints (deleted_at)",
    # A trigger, so that no way of deleting can forget it: without the name nobody can say who left.
    """
CREATE FUNCTION segments.remember_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO segments.deleted_endpoints (project, ordinal, endpoint_id, deleted_at)
    SELECT project, ordinal, endpoint_id, clock_timestamp() FROM gone
    ON CONFLICT (project, ordinal) DO UPDATE
    SET endpoint_id = excluded.endpoint_id, deleted_at = excluded.deleted_at;
    RETURN NULL;
END
$$""",
    """
CREATE TRIGGER remember_deleted AFTER DELETE ON segments.endpoints REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION segments.remember_deleted()""",
    """
CREATE TABLE segments.erasures (
    project text NOT NULL,
    erasure_id text NOT NULL,
    user_id text NOT NULL,
    state text NOT NULL,
    endpoint_ids text[] NOT NULL,
    ordinals bigint[] NOT NULL,
    endpoint_count integer NOT NULL,
    snapshot_count integer NOT NULL,
    snapshot_done text NOT NULL,
    answered text[] NOT NULL,
    asks integer NOT NULL,
    asked_at timestamptz,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    lease_until timestamptz,
    fence bigint NOT NULL,
    PRIMARY KEY (project, erasure_id)
)""",
    "CREATE INDEX erasures_open ON segments.erasures (created_at) WHERE state <> 'COMPLETE'",
)


def upgrade() -> None:
    """Create the tables and the trigger; the code of before neither reads nor writes them."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

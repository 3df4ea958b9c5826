"""Who was in each segment in use when its changes were last announced, and the names of deleted endpoints."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
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
)


def upgrade() -> None:
    """Create both tables and the trigger; the code of before neither reads nor writes them."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

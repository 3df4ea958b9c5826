"""One active endpoint per address, and the names of attributes."""

from __future__ import annotations

from itertools import groupby

from alembic import op
from pyroaring import BitMap

revision = "0004"
down_revision = "0003"

# The last writer keeps the address, as from now on.
_SETTLE = """
UPDATE segments.endpoints AS e SET active = false FROM (
    SELECT project, endpoint_key, row_number() OVER (
        PARTITION BY project, channel, address ORDER BY effective_at DESC, ordinal DESC) AS place
    FROM segments.endpoints WHERE active AND address <> ''
) AS d WHERE e.project = d.project AND e.endpoint_key = d.endpoint_key AND d.place > 1
RETURNING e.project, e.ordinal"""
_NOTE = """
INSERT INTO segments.audience_log (project, transaction_id, ordinals, written_at)
VALUES (%s, CAST(CAST(pg_current_xact_id() AS text) AS bigint), %s, clock_timestamp())"""
_STATEMENTS = (
    """
CREATE UNIQUE INDEX endpoints_address ON segments.endpoints (project, channel, address)
WHERE active AND address <> ''""",
    """
CREATE TABLE segments.vocabularies (
    project text PRIMARY KEY,
    names jsonb NOT NULL,
    denied jsonb NOT NULL
)""",
    """
CREATE TABLE segments.removals (
    project text NOT NULL,
    removal bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    names jsonb NOT NULL,
    horizon bigint,
    done_ordinal bigint NOT NULL DEFAULT 0,
    done_user text NOT NULL DEFAULT '',
    PRIMARY KEY (project, removal)
)""",
    """
INSERT INTO segments.vocabularies (project, names, denied)
SELECT project, jsonb_object_agg(kind, names), '{}' FROM (
    SELECT project, kind, jsonb_agg(DISTINCT name) AS names FROM (
        SELECT project, 'attributes' AS kind, jsonb_object_keys(attributes) AS name FROM segments.endpoints
        UNION ALL SELECT project, 'metrics', jsonb_object_keys(metrics) FROM segments.endpoints
        UNION ALL SELECT project, 'user_attributes', jsonb_object_keys(attributes) FROM segments.users
    ) AS used GROUP BY project, kind
) AS kinds GROUP BY project""",
)


def upgrade() -> None:
    """Settle who has which address, and collect the names in use. What loses its address is noted for the indexes."""
    connection = op.get_bind()
    settled = sorted(connection.exec_driver_sql(_SETTLE).all())
    for project, rows in groupby(settled, key=lambda row: row[0]):
        connection.exec_driver_sql(_NOTE, (project, BitMap(ordinal for _, ordinal in rows).serialize()))
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)

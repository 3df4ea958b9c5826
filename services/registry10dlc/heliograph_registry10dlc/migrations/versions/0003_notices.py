"""Keep where notices of moves go, and those that wait."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the settings and the queue."""
    for statement in (
        """CREATE TABLE registry10dlc.notice_settings (
            project text NOT NULL PRIMARY KEY,
            url text NOT NULL,
            secret bytea NOT NULL,
            update_time timestamptz NOT NULL,
            last_error text NOT NULL DEFAULT '',
            failures integer NOT NULL DEFAULT 0,
            next_attempt_time timestamptz NOT NULL,
            lease text NOT NULL DEFAULT '',
            leased_until timestamptz
        )""",
        """CREATE TABLE registry10dlc.notices (
            project text NOT NULL,
            move_id bigint NOT NULL,
            notice_id text NOT NULL,
            body bytea NOT NULL,
            create_time timestamptz NOT NULL DEFAULT now(),
            attempts integer NOT NULL DEFAULT 0,
            last_error text NOT NULL DEFAULT '',
            gave_up_time timestamptz,
            PRIMARY KEY (project, move_id)
        )""",
        "CREATE INDEX notices_waiting ON registry10dlc.notices (project, move_id) WHERE gave_up_time IS NULL",
        "CREATE INDEX notices_given_up ON registry10dlc.notices (gave_up_time) WHERE gave_up_time IS NOT NULL",
    ):
        op.execute(statement)

"""Create the tables of the registry."""

from __future__ import annotations

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create registrations, their history, outbox and inbox."""
    create_mail_tables(op, "registry10dlc")
    for statement in (
        """CREATE TABLE registry10dlc.registrations (
            project text NOT NULL,
            registration_id text NOT NULL,
            kind text NOT NULL,
            parent_id text NOT NULL DEFAULT '',
            state text NOT NULL,
            state_cause text NOT NULL DEFAULT '',
            state_field text NOT NULL DEFAULT '',
            fields jsonb NOT NULL,
            vetting_score integer NOT NULL DEFAULT 0,
            revision bigint NOT NULL,
            reference text NOT NULL DEFAULT '',
            submitted_at timestamptz,
            number text,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            request_id text,
            request_hash text,
            PRIMARY KEY (project, registration_id)
        )""",
        "CREATE UNIQUE INDEX registrations_request ON registry10dlc.registrations (project, request_id)",
        "CREATE UNIQUE INDEX registrations_number ON registry10dlc.registrations (number)",
        "CREATE INDEX registrations_children ON registry10dlc.registrations (project, parent_id)",
        """CREATE INDEX registrations_at_registrar ON registry10dlc.registrations (project, registration_id)
            WHERE state IN ('PENDING', 'APPROVED', 'SUSPENDED')""",
        """CREATE TABLE registry10dlc.moves (
            project text NOT NULL,
            move_id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
            registration_id text NOT NULL,
            kind text NOT NULL,
            from_state text,
            to_state text NOT NULL,
            actor text NOT NULL,
            cause text NOT NULL,
            field text NOT NULL,
            time timestamptz NOT NULL,
            decision_key text,
            PRIMARY KEY (project, move_id)
        )""",
        "CREATE UNIQUE INDEX moves_decision ON registry10dlc.moves (project, registration_id, decision_key)",
    ):
        op.execute(statement)

"""Keep what a registration desk needs: findings, drafts of changes, expiry, errands, lent numbers, events of moves."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen registrations and moves; add errands and share grants."""
    for statement in (
        """ALTER TABLE registry10dlc.registrations
            ADD COLUMN findings jsonb NOT NULL DEFAULT '[]',
            ADD COLUMN draft_fields jsonb NOT NULL DEFAULT '{}',
            ADD COLUMN vetting_time timestamptz,
            ADD COLUMN expire_time timestamptz,
            ADD COLUMN registered_id text NOT NULL DEFAULT '',
            ADD COLUMN earlier_reference text NOT NULL DEFAULT '',
            ADD COLUMN external_reference text NOT NULL DEFAULT ''""",
        "DROP INDEX registry10dlc.registrations_at_registrar",
        """CREATE INDEX registrations_at_registrar ON registry10dlc.registrations (project, registration_id)
            WHERE submitted_at IS NOT NULL AND state NOT IN ('DELETED', 'RELEASED', 'CLOSED')""",
        "CREATE INDEX registrations_reference ON registry10dlc.registrations (reference) WHERE reference <> ''",
        "CREATE INDEX registrations_expiring ON registry10dlc.registrations (expire_time) WHERE expire_time IS NOT NULL",
        """CREATE INDEX registrations_authenticating ON registry10dlc.registrations (update_time)
            WHERE state = 'REQUIRES_AUTHENTICATION'""",
        # Numbers that were given up and use cases that are done with need no decision any more.
        "UPDATE registry10dlc.registrations SET submitted_at = NULL WHERE state IN ('RELEASED', 'UNASSOCIATED')",
        """ALTER TABLE registry10dlc.moves
            ADD COLUMN event text,
            ADD COLUMN words text NOT NULL DEFAULT ''""",
        """CREATE TABLE registry10dlc.errands (
            project text NOT NULL,
            errand_id text NOT NULL,
            registration_id text NOT NULL,
            kind text NOT NULL,
            fields jsonb NOT NULL,
            registered_id text NOT NULL,
            parent_reference text NOT NULL,
            create_time timestamptz NOT NULL,
            PRIMARY KEY (project, errand_id)
        )""",
        """CREATE TABLE registry10dlc.share_grants (
            project text NOT NULL,
            grant_id text NOT NULL,
            number_id text NOT NULL,
            borrower text NOT NULL,
            create_time timestamptz NOT NULL,
            PRIMARY KEY (project, grant_id)
        )""",
        """CREATE UNIQUE INDEX share_grants_number ON registry10dlc.share_grants (project, number_id, borrower)""",
    ):
        op.execute(statement)

"""Create the tables of the campaigns service."""

from __future__ import annotations

from alembic import op

from heliograph_kit.outbox import create_mail_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create campaigns, their versions and runs, the funnel, outbox and inbox."""
    create_mail_tables(op, "campaigns")
    for statement in (
        """CREATE TABLE campaigns.campaigns (
            project text NOT NULL,
            campaign_id text NOT NULL,
            version integer NOT NULL,
            draft jsonb NOT NULL,
            segment text NOT NULL,
            state text NOT NULL,
            state_reason text NOT NULL DEFAULT '',
            start_time timestamptz,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            request_id text,
            request_hash text,
            traceparent text NOT NULL DEFAULT '',
            PRIMARY KEY (project, campaign_id)
        )""",
        "CREATE UNIQUE INDEX campaigns_request ON campaigns.campaigns (project, request_id)",
        "CREATE INDEX campaigns_due ON campaigns.campaigns (start_time) WHERE state = 'SCHEDULED'",
        "CREATE INDEX campaigns_of_segment ON campaigns.campaigns (segment)",
        """CREATE TABLE campaigns.campaign_versions (
            project text NOT NULL,
            campaign_id text NOT NULL,
            version integer NOT NULL,
            draft jsonb NOT NULL,
            create_time timestamptz NOT NULL,
            PRIMARY KEY (project, campaign_id, version)
        )""",
        """CREATE TABLE campaigns.runs (
            project text NOT NULL,
            run_id text NOT NULL,
            campaign_id text NOT NULL,
            campaign_version integer NOT NULL,
            state text NOT NULL,
            failure_reason text NOT NULL DEFAULT '',
            scheduled_time timestamptz NOT NULL,
            start_time timestamptz,
            end_time timestamptz,
            snapshot text NOT NULL DEFAULT '',
            cursor bigint NOT NULL DEFAULT 0,
            produced bigint NOT NULL DEFAULT 0,
            holdout bigint NOT NULL DEFAULT 0,
            dispatched boolean NOT NULL DEFAULT false,
            lease_owner text NOT NULL DEFAULT '',
            lease_token bigint NOT NULL DEFAULT 0,
            lease_until timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            traceparent text NOT NULL DEFAULT '',
            PRIMARY KEY (project, run_id)
        ) WITH (fillfactor = 70)""",
        "CREATE INDEX runs_of_campaign ON campaigns.runs (project, campaign_id)",
        """CREATE INDEX runs_open ON campaigns.runs (lease_until)
            WHERE state IN ('PENDING', 'INITIALIZING', 'RUNNING')""",
        """CREATE TABLE campaigns.funnel (
            project text NOT NULL,
            run_id text NOT NULL,
            treatment_id text NOT NULL,
            outcome text NOT NULL,
            reason text NOT NULL,
            count bigint NOT NULL,
            PRIMARY KEY (project, run_id, treatment_id, outcome, reason)
        ) WITH (fillfactor = 70)""",
    ):
        op.execute(statement)

"""What messaging knows of numbers: settings, pools, keywords, opt-out lists, prices and spending, conversations."""

from alembic import op

revision = "0010"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # NULL for what is there and for what costs nothing: adding the column touches no row.
    "ALTER TABLE messaging.messages ADD COLUMN cost bigint",
    """CREATE TABLE messaging.origination_settings (project text, number text, country text NOT NULL,
        message_type text NOT NULL, opt_out_list text NOT NULL, two_way boolean NOT NULL,
        self_managed_opt_outs boolean NOT NULL, route text, pool text NOT NULL, update_time timestamptz NOT NULL,
        updated_by text NOT NULL, PRIMARY KEY (project, number))""",
    """CREATE TABLE messaging.pools (project text, id text, message_type text NOT NULL, opt_out_list text NOT NULL,
        two_way boolean NOT NULL, self_managed_opt_outs boolean NOT NULL, shared_routes boolean NOT NULL,
        sender_ids text[] NOT NULL, create_time timestamptz NOT NULL, update_time timestamptz NOT NULL,
        updated_by text NOT NULL, PRIMARY KEY (project, id))""",
    """CREATE TABLE messaging.keywords (project text, owner_kind text, owner text, keyword text, action text NOT NULL,
        reply text NOT NULL, PRIMARY KEY (project, owner_kind, owner, keyword))""",
    """CREATE TABLE messaging.sms_settings (project text PRIMARY KEY, default_message_type text NOT NULL,
        default_sender_id text NOT NULL, monthly_spend_limit bigint, prices jsonb NOT NULL,
        shared_routes_off boolean NOT NULL, registered_sender_ids jsonb NOT NULL,
        honour_endpoint_opt_out boolean NOT NULL, update_time timestamptz NOT NULL, updated_by text NOT NULL)""",
    """CREATE TABLE messaging.spending (project text, month date, spent bigint NOT NULL, PRIMARY KEY (project, month))
        WITH (fillfactor = 50)""",
    """CREATE TABLE messaging.opt_out_lists (project text, id text, create_time timestamptz NOT NULL,
        PRIMARY KEY (project, id))""",
    """CREATE TABLE messaging.opted_out_numbers (project text, list text, number text, opted_out boolean NOT NULL,
        end_user boolean NOT NULL, opt_out_time timestamptz NOT NULL, added_by text NOT NULL, removed_at timestamptz,
        PRIMARY KEY (project, list, number))""",
    """CREATE TABLE messaging.conversations (project text, number text, person text, message_id uuid NOT NULL,
        time timestamptz NOT NULL, PRIMARY KEY (project, number, person)) WITH (fillfactor = 70)""",
    """CREATE TABLE messaging.automatic_replies (project text, number text, person text, keyword text,
        time timestamptz NOT NULL, PRIMARY KEY (project, number, person, keyword))""",
)


def upgrade() -> None:
    """Create the tables and the column; the code of before neither reads nor needs them."""
    for statement in _STATEMENTS:
        op.execute(statement)

"""What SMS leave from, what they cost, and who wants none."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_messaging.tables.schema import TIME, metadata

# What messaging was told about numbers; a number without a row has the defaults. `route` NULL: any way; empty: the channel's own
# provider. `pool` empty: none, so that a number is in one pool at most.
origination_settings = Table(
    "origination_settings",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("country", Text, nullable=False),
    Column("message_type", Text, nullable=False),
    Column("opt_out_list", Text, nullable=False),
    Column("two_way", Boolean, nullable=False),
    Column("self_managed_opt_outs", Boolean, nullable=False),
    Column("route", Text),
    Column("pool", Text, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# Its numbers have its settings written into their own rows.
pools = Table(
    "pools",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("message_type", Text, nullable=False),
    Column("opt_out_list", Text, nullable=False),
    Column("two_way", Boolean, nullable=False),
    Column("self_managed_opt_outs", Boolean, nullable=False),
    Column("shared_routes", Boolean, nullable=False),
    Column("sender_ids", ARRAY(Text), nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# `owner_kind` is `originations` or `pools`. HELP and STOP are here only when somebody wrote replies for them.
keywords = Table(
    "keywords",
    metadata,
    Column("project", Text, primary_key=True),
    Column("owner_kind", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("keyword", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("reply", Text, nullable=False),
)

sms_settings = Table(
    "sms_settings",
    metadata,
    Column("project", Text, primary_key=True),
    Column("default_message_type", Text, nullable=False),
    Column("default_sender_id", Text, nullable=False),
    # Millionths; NULL: no limit.
    Column("monthly_spend_limit", BigInteger),
    Column("prices", JSONB, nullable=False),
    Column("shared_routes_off", Boolean, nullable=False),
    # Countries by sender id.
    Column("registered_sender_ids", JSONB, nullable=False),
    Column("honour_endpoint_opt_out", Boolean, nullable=False),
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# What the SMS of a month (its first day, UTC) cost: always the sum of `messages.cost` of what was handed over in it.
spending = Table(
    "spending",
    metadata,
    Column("project", Text, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("spent", BigInteger, nullable=False),
)

# `Default` has a row only once somebody is on it.
opt_out_lists = Table(
    "opt_out_lists",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("create_time", TIME, nullable=False),
)

# Rows of numbers that came off a list stay, as they may do so once in 30 days only. `opt_out_time` is when somebody wanted it,
# `noted_at` when it was written: from then on it is obeyed, and `heliograph check` holds us to it.
opted_out_numbers = Table(
    "opted_out_numbers",
    metadata,
    Column("project", Text, primary_key=True),
    Column("list", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("opted_out", Boolean, nullable=False),
    Column("end_user", Boolean, nullable=False),
    Column("opt_out_time", TIME, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("removed_at", TIME),
    Column("noted_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
)

# The last message of each of our numbers to each person, for as long as an answer is taken for an answer to it.
conversations = Table(
    "conversations",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("message_id", Uuid, nullable=False),
    Column("time", TIME, nullable=False),
)

# When a keyword of a person was last answered by itself.
automatic_replies = Table(
    "automatic_replies",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("keyword", Text, primary_key=True),
    Column("time", TIME, nullable=False),
)

"""The tables of the messaging service, schema `messaging`. The project comes first in every key."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="messaging")
mail = outbox_tables(metadata)
_TIME = DateTime(timezone=True)

templates = Table(
    "templates",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("active_version", Integer, nullable=False),
    # The highest number ever given: numbers of deleted versions are not given again.
    Column("latest_version", Integer, nullable=False),
    Column("create_time", _TIME, nullable=False),
    # What is deleted stays for the messages that use it, until a template of that id is created again.
    Column("delete_time", _TIME),
)

# Compiled templates are cached by (project, id, version, incarnation, revision) for ever. `incarnation` is the id of the
# creation, so that a template deleted and created again under its old name is another one; `revision` counts how often the
# version was overwritten. `content` holds what a kind says, as JSON; subject, HTML, text and body have columns of their own.
template_versions = Table(
    "template_versions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("default_substitutions", JSONB, nullable=False),
    Column("variables", ARRAY(Text), nullable=False),
    Column("substitution_names", ARRAY(Text), nullable=False),
    Column("update_time", _TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("content", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("lenient", Boolean, nullable=False, server_default=text("false")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    # NULL: the row is from before overwriting was possible, so it was added at its `update_time`.
    Column("create_time", _TIME),
    Column("delete_time", _TIME),
)

# Bytes of files that go with e-mails, under an id made of them.
files = Table(
    "files",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("size_bytes", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("used_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Index("files_used", "used_at"),
)

channels = Table(
    "channels",
    metadata,
    Column("project", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("secret_names", ARRAY(Text), nullable=False),
    Column("from_address", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("update_time", _TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
    # NULL: as the installation does it.
    Column("open_tracking", Boolean),
    Column("click_tracking", Boolean),
)

# Further providers of a channel. A version is never used twice for one id: a route made again under its old name begins
# behind the old one's versions, so that no worker keeps its old sender.
routes = Table(
    "routes",
    metadata,
    Column("project", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("secret_names", ARRAY(Text), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("update_time", _TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("project", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("create_time", _TIME, nullable=False),
)

# What the 10DLC registry announced last of each number: a projection, filled from CHANGES.
numbers = Table(
    "numbers",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sms_capable", Boolean, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("parts_per_second", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

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
    Column("update_time", _TIME, nullable=False),
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
    Column("create_time", _TIME, nullable=False),
    Column("update_time", _TIME, nullable=False),
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
    Column("update_time", _TIME, nullable=False),
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
    Column("create_time", _TIME, nullable=False),
)

# Rows of numbers that came off a list stay, as they may do so once in 30 days only.
opted_out_numbers = Table(
    "opted_out_numbers",
    metadata,
    Column("project", Text, primary_key=True),
    Column("list", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("opted_out", Boolean, nullable=False),
    Column("end_user", Boolean, nullable=False),
    Column("opt_out_time", _TIME, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("removed_at", _TIME),
)

# The last message of each of our numbers to each person, for as long as an answer is taken for an answer to it.
conversations = Table(
    "conversations",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("message_id", Uuid, nullable=False),
    Column("time", _TIME, nullable=False),
)

# When a keyword of a person was last answered by itself.
automatic_replies = Table(
    "automatic_replies",
    metadata,
    Column("project", Text, primary_key=True),
    Column("number", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("keyword", Text, primary_key=True),
    Column("time", _TIME, nullable=False),
)

# One row for each DispatchBatch, with what its messages share. `lease_until` is the database's clock, the other times are
# the product's, which a demonstration may hurry.
batches = Table(
    "batches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("message_class", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("treatment_id", Text, nullable=False),
    Column("activity_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False, server_default=text("''")),
    Column("template", Text, nullable=False),
    Column("template_version", Integer, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("create_time", _TIME, nullable=False),
    Column("started_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("progress_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    # Leases in a row that were not given back: -1 after one that was.
    Column("crash_count", Integer, nullable=False, server_default=text("0")),
    Column("claimed", Boolean, nullable=False, server_default=text("false")),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until", _TIME, nullable=False),
    Column("finish_time", _TIME),
    # What its messages tell beside that, as JSON: snapshot, policy, context, caller_trace_id. NULL: nothing.
    Column("extras", JSONB),
    Index("batches_run", "project", "run_id"),
    Index(
        "batches_runs", "project", "run_id", "activity_id", postgresql_where=text("message_class <> 'transactional'")
    ),
)

# One row for each call of a provider. It is there before the call; DISPATCHING without an end is a call in doubt.
chunks = Table(
    "chunks",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("provider", Text, nullable=False, server_default=text("''")),
    Column("route", Text, nullable=False, server_default=text("''")),
    Column("start_time", _TIME, nullable=False),
    Column("end_time", _TIME),
)

# The ledger. Indexes are few on purpose, and none holds a column that changes, so that updates stay on their page.
messages = Table(
    "messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("batch_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    # 128 bits of run, activity, occurrence, channel and address; NULL for messages that do not use their address up.
    Column("address_key", Uuid),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("origination", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("part_count", SmallInteger, nullable=False),
    Column("chunk", Integer),
    Column("failed_attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("provider_message_id", Text, nullable=False, server_default=text("''")),
    Column("create_time", _TIME, nullable=False),
    Column("update_time", _TIME, nullable=False),
    Column("accept_time", _TIME),
    # Millionths; NULL for what costs nothing, which takes no room.
    Column("cost", BigInteger),
    # The chunks it was in before `chunk`; NULL: none.
    Column("earlier_chunks", ARRAY(Integer)),
    # Of direct sends the endpoint or the bare address, by which they are listed; NULL in campaigns and journeys, whose
    # message ids can be told from the run and the endpoint: an index of all recipients would cost a third more an insert.
    Column("direct_recipient", Text),
    Index("messages_batch", "project", "batch_id"),
    Index(
        "messages_address",
        "project",
        "address_key",
        unique=True,
        postgresql_where=text("address_key IS NOT NULL"),
    ),
    Index(
        "messages_direct",
        "project",
        "direct_recipient",
        "create_time",
        postgresql_where=text("direct_recipient IS NOT NULL"),
    ),
)

# Endpoints of erased users, for as long as a batch with them may still come.
erased = Table(
    "erased",
    metadata,
    Column("project", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_at", _TIME, nullable=False),
    Index("erased_age", "erased_at"),
)

# Projects in which a batch with caps was seen: from then on all targets count.
counted_projects = Table("counted_projects", metadata, Column("project", Text, primary_key=True))

# What an endpoint was the target of lately: instants of its last 100 messages by kind of source.
touches = Table(
    "touches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("campaign_times", ARRAY(_TIME), nullable=False, server_default=text("'{}'")),
    Column("journey_times", ARRAY(_TIME), nullable=False, server_default=text("'{}'")),
    Column("last_time", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Index("touches_age", "last_time"),
)

# The same for one campaign or journey, and how many messages it ever was.
source_touches = Table(
    "source_touches",
    metadata,
    Column("project", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("times", ARRAY(_TIME), nullable=False),
    Column("total", Integer, nullable=False),
)

# Addresses that nothing is sent to. The key is a hash, so that the entry can outlive the erasure of the person's address.
suppressions = Table(
    "suppressions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("address_hash", Uuid, primary_key=True),
    Column("address", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("message_id", Uuid),
    Column("detail", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("create_time", _TIME, nullable=False),
)

# When each number (or use case, whose numbers share one) is free again, by the product's clock; `direct:` before the key
# for direct sends.
calendars = Table(
    "calendars",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("free_at", _TIME, nullable=False),
)

# Turns that batches hold: so many parts from an instant on.
turns = Table(
    "turns",
    metadata,
    Column("project", Text, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("start_time", _TIME, nullable=False),
    Column("part_count", Integer, nullable=False),
)

# Only for providers with receipts and ids of their own.
provider_messages = Table(
    "provider_messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("provider_message_id", Text, primary_key=True),
    Column("message_id", Uuid, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("receipt_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("time", _TIME, nullable=False),
    Column("message_id", Uuid),
    Column("provider_message_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("permanent", Boolean, nullable=False),
    Column("link", Text, nullable=False),
    Column("received_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", Text, nullable=False),
    Column("user_agent", Text, nullable=False, server_default=text("''")),
    Column("ip_address", Text, nullable=False, server_default=text("''")),
    Index("receipts_message", "project", "message_id"),
    Index("receipts_pending", "received_at", postgresql_where=text("state = 'PENDING'")),
)

# What people sent to us, each once.
inbound_messages = Table(
    "inbound_messages",
    metadata,
    Column("project", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("inbound_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("origination", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("time", _TIME, nullable=False),
    Column("media_urls", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("received_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
)

# What segments is still to be told of endpoints. A row goes when segments has answered; `taken_until` keeps other workers
# from it meanwhile. `cause` is the message or the receipt it was learnt from, so that it is noted once.
endpoint_marks = Table(
    "endpoint_marks",
    metadata,
    Column("project", Text, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("new_address", Text, nullable=False),
    Column("noted_at", _TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("taken_until", _TIME, nullable=False, server_default=text("'-infinity'")),
    Index("endpoint_marks_waiting", "taken_until"),
)

# One row, made on first use by an installation that was given no key: all processes sign with the same.
tracking_keys = Table(
    "tracking_keys",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
    Column("create_time", _TIME, nullable=False, server_default=text("clock_timestamp()")),
)

# One-time passwords. `code_hash` is keyed with a pepper that is not in the database.
otps = Table(
    "otps",
    metadata,
    Column("project", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("reference_id", Text, primary_key=True),
    Column("code_hash", LargeBinary, nullable=False),
    Column("allowed_attempts", SmallInteger, nullable=False),
    Column("failed_attempts", SmallInteger, nullable=False),
    Column("used", Boolean, nullable=False),
    Column("expire_time", _TIME, nullable=False),
    Index("otps_expired", "expire_time"),
)

# When one-time passwords went to a destination or a block of numbers lately: at most as many instants as may be in an hour.
otp_sends = Table(
    "otp_sends",
    metadata,
    Column("project", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("times", ARRAY(_TIME), nullable=False),
    Column("last_time", _TIME, nullable=False),
    Index("otp_sends_age", "last_time"),
)

"""The tables of the segments service, in the schema `segments`. The project is the first column of every key."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
)
from sqlalchemy import Text as String
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_kit.outbox import outbox_tables

SCHEMA = "segments"
metadata = MetaData(schema=SCHEMA)
mail = outbox_tables(metadata)

# The last ordinal given in each project. Ordinals are never given twice, so this row outlives the endpoints.
counters = Table(
    "counters",
    metadata,
    Column("project", String, primary_key=True),
    Column("last_ordinal", BigInteger, nullable=False),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("project", String, primary_key=True),
    # The id in lower case: ids are case-insensitive (pinpoint-1 2.2).
    Column("endpoint_key", String, primary_key=True),
    Column("endpoint_id", String, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("cohort", SmallInteger, nullable=False),
    Column("channel", String, nullable=False),
    Column("address", String, nullable=False),
    # name -> list of strings; an attribute without values is not there.
    Column("attributes", JSONB, nullable=False),
    # name -> number
    Column("metrics", JSONB, nullable=False),
    # member -> string, with Pinpoint's names
    Column("demographic", JSONB, nullable=False),
    # member -> string, Latitude and Longitude -> number
    Column("location", JSONB, nullable=False),
    Column("user_id", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("opted_out", Boolean, nullable=False),
    Column("request_id", String, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("effective_at", DateTime(timezone=True), nullable=False),
    Column("last_active_at", DateTime(timezone=True), nullable=False),
)
Index("endpoints_ordinal", endpoints.c.project, endpoints.c.ordinal, unique=True)
# Nothing is sent twice to one address: the last writer has it (pinpoint-1 2.4).
Index(
    "endpoints_address",
    endpoints.c.project,
    endpoints.c.channel,
    endpoints.c.address,
    unique=True,
    postgresql_where="active AND address <> ''",
)
Index("endpoints_user", endpoints.c.project, endpoints.c.user_id, postgresql_where="user_id <> ''")

# The ordinals that each writing transaction touched; see store/audience_log.py.
audience_log = Table(
    "audience_log",
    metadata,
    Column("project", String, primary_key=True),
    Column("transaction_id", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", BigInteger, Identity(always=True), primary_key=True),
    Column("ordinals", LargeBinary, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False),
    Index("audience_log_age", "written_at"),
)

users = Table(
    "users",
    metadata,
    Column("project", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("attributes", JSONB, nullable=False),
)

# The attribute names in use, and the patterns of names that are not captured: kind -> list of texts, each.
vocabularies = Table(
    "vocabularies",
    metadata,
    Column("project", String, primary_key=True),
    Column("names", JSONB, nullable=False),
    Column("denied", JSONB, nullable=False),
)

# Names whose stored values are still to be removed, how far that went, and the transaction to wait for before it begins.
removals = Table(
    "removals",
    metadata,
    Column("project", String, primary_key=True),
    Column("removal", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", String, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("horizon", BigInteger),
    Column("done_ordinal", BigInteger, nullable=False, server_default="0"),
    Column("done_user", String, nullable=False, server_default=""),
)

segments = Table(
    "segments",
    metadata,
    Column("project", String, primary_key=True),
    Column("segment_id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

segment_versions = Table(
    "segment_versions",
    metadata,
    Column("project", String, primary_key=True),
    Column("segment_id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("display_name", String, nullable=False),
    Column("rules", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# What campaigns and journeys announced last about the segments they use; those that ended stay, not in use.
segment_uses = Table(
    "segment_uses",
    metadata,
    Column("project", String, primary_key=True),
    # CAMPAIGN or JOURNEY
    Column("kind", String, primary_key=True),
    # The id of the campaign or journey.
    Column("user_key", String, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("in_use", Boolean, nullable=False),
    Column("segment_ids", ARRAY(String), nullable=False),
    Index("segment_uses_open", "project", postgresql_where="in_use"),
)

# Who was in each segment in use when its changes were last announced; see store/memberships.py.
memberships = Table(
    "memberships",
    metadata,
    Column("project", String, primary_key=True),
    Column("segment_id", String, primary_key=True),
    # The version and what the rules were with all sources written out.
    Column("version", Integer, nullable=False),
    Column("fingerprint", String, nullable=False),
    # The number of the last announcement. Begins with the time, so that it grows also over a row made anew.
    Column("sequence", BigInteger, nullable=False),
    # The instant that the membership belongs to, on the product's clock; null before the first evaluation.
    Column("as_of", DateTime(timezone=True)),
    # The position in the audience log.
    Column("transaction_id", BigInteger),
    Column("read_at", DateTime(timezone=True)),
    # A roaring bitmap of ordinals in the portable format.
    Column("members", LargeBinary),
    # Leases and intervals run on the database's clock, as those of imports do.
    Column("checked_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("fence", BigInteger, nullable=False),
)

# The ids of deleted endpoints, written by a trigger, until everybody who may have to announce their leaving has.
deleted_endpoints = Table(
    "deleted_endpoints",
    metadata,
    Column("project", String, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint_id", String, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
    Index("deleted_endpoints_age", "deleted_at"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("project", String, primary_key=True),
    Column("snapshot_id", String, primary_key=True),
    Column("segment_id", String, nullable=False),
    Column("segment_version", Integer, nullable=False),
    Column("member_count", BigInteger, nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    # A roaring bitmap of ordinals in the portable format.
    Column("members", LargeBinary, nullable=False),
)

import_jobs = Table(
    "import_jobs",
    metadata,
    Column("project", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("format", String, nullable=False),
    Column("source", String, nullable=False),
    Column("state", String, nullable=False),
    Column("failure_reason", String, nullable=False),
    Column("failure_message", String, nullable=False),
    Column("total_pieces", Integer, nullable=False),
    Column("completed_pieces", Integer, nullable=False),
    Column("failed_pieces", Integer, nullable=False),
    Column("processed_count", BigInteger, nullable=False),
    Column("failed_count", BigInteger, nullable=False),
    Column("created_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Of all objects together.
    Column("done_bytes", BigInteger, nullable=False),
    Column("object_count", Integer, nullable=False, server_default="0"),
    Column("completed_objects", Integer, nullable=False, server_default="0"),
    Column("skipped_objects", Integer, nullable=False, server_default="0"),
    # A digest of names, sizes and versions of the objects: another source under the same name is not continued.
    Column("listing", String, nullable=False, server_default=""),
    # The object in hand: its version; everything of it before this byte is written, or counted as failed.
    Column("object_version", String, nullable=False, server_default=""),
    Column("object_bytes", BigInteger, nullable=False, server_default="0"),
    Column("done_lines", BigInteger, nullable=False),
    # Of the code before imports had several objects, which may still run beside this one.
    Column("modified_ns", BigInteger, nullable=False, server_default="0"),
    # [[line, reason, field, message, object], ...]; at most 100.
    Column("failures", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("skip_endpoints", Boolean, nullable=False, server_default="false"),
    # Of the segment it makes: the name of a new one, or the one that gets a version. Both empty: none is made.
    Column("segment_name", String, nullable=False, server_default=""),
    Column("segment_id", String, nullable=False, server_default=""),
    # Leases run on the database's clock: the product's may be hurried. The fence grows with every lease given.
    Column("lease_until", DateTime(timezone=True)),
    Column("fence", BigInteger, nullable=False),
    Index("import_jobs_open", "created_at", postgresql_where="completed_at IS NULL"),
)

# Whom imports listed, by the id of the job: the endpoints of each piece, a bitmap of ordinals, and users.
imported_endpoints = Table(
    "imported_endpoints",
    metadata,
    Column("project", String, primary_key=True),
    Column("list_id", String, primary_key=True),
    Column("piece", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinals", LargeBinary, nullable=False),
)
imported_users = Table(
    "imported_users",
    metadata,
    Column("project", String, primary_key=True),
    Column("list_id", String, primary_key=True),
    Column("user_id", String, primary_key=True),
)

export_jobs = Table(
    "export_jobs",
    metadata,
    Column("project", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("destination", String, nullable=False),
    # Empty: all endpoints.
    Column("segment_id", String, nullable=False),
    Column("segment_version", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("failure_reason", String, nullable=False),
    Column("failure_message", String, nullable=False),
    Column("total_pieces", Integer, nullable=False),
    Column("completed_pieces", Integer, nullable=False),
    Column("failed_pieces", Integer, nullable=False),
    Column("processed_count", BigInteger, nullable=False),
    Column("piece_endpoints", Integer, nullable=False),
    # Who is exported, a bitmap of ordinals; null before the job began and after its end.
    Column("members", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("fence", BigInteger, nullable=False),
    Index("export_jobs_open", "created_at", postgresql_where="completed_at IS NULL"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("project", String, primary_key=True),
    Column("erasure_id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    # RUNNING, WAITING or COMPLETE
    Column("state", String, nullable=False),
    # What others are asked to erase; empty when complete.
    Column("endpoint_ids", ARRAY(String), nullable=False),
    Column("ordinals", ARRAY(BigInteger), nullable=False),
    Column("endpoint_count", Integer, nullable=False),
    Column("snapshot_count", Integer, nullable=False),
    # The snapshots up to this id are gone through.
    Column("snapshot_done", String, nullable=False),
    # The services that have erased what they held.
    Column("answered", ARRAY(String), nullable=False),
    # How often the others were asked, and when last, on the database's clock.
    Column("asks", Integer, nullable=False),
    Column("asked_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("lease_until", DateTime(timezone=True)),
    Column("fence", BigInteger, nullable=False),
    Index("erasures_open", "created_at", postgresql_where="state <> 'COMPLETE'"),
)

# Answers of creating calls by request id, so that a repetition finds the first one.
requests = Table(
    "requests",
    metadata,
    Column("project", String, primary_key=True),
    Column("method", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

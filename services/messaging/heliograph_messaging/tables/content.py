"""Templates, files, and the requests that made something."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from heliograph_messaging.tables.schema import TIME, metadata

templates = Table(
    "templates",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("active_version", Integer, nullable=False),
    # The highest number ever given: numbers of deleted versions are not given again.
    Column("latest_version", Integer, nullable=False),
    Column("create_time", TIME, nullable=False),
    # What is deleted stays for the messages that use it, until a template of that id is created again.
    Column("delete_time", TIME),
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
    Column("update_time", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("content", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("lenient", Boolean, nullable=False, server_default=text("false")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    # NULL: the row is from before overwriting was possible, so it was added at its `update_time`.
    Column("create_time", TIME),
    Column("delete_time", TIME),
)

# Bytes of files that go with e-mails, under an id made of them.
files = Table(
    "files",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("size_bytes", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("used_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Index("files_used", "used_at"),
)

requests = Table(
    "requests",
    metadata,
    Column("project", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("create_time", TIME, nullable=False),
)

"""Alembic without files of its own in each service: `<package>/migrations/versions/*.py` is all a service has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text
from sqlalchemy.pool import NullPool

VERSION_TABLE = "alembic_version"


def upgrade(url: str, *, package: str, schema: str) -> None:
    """Bring a service's schema to the newest version; creates the schema; safe to repeat and to run at the same time.

    Processes that start together wait for each other on an advisory lock, so give a direct connection here, not one
    through a pooler in transaction mode. Each migration is one transaction.

    Raises:
        alembic.util.CommandError: the database is at a version this package does not know (it is older code).
    """
    script = _scripts(package)
    with _engine(url) as engine, engine.connect() as lock:
        lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _lock_key(schema)})
        lock.commit()
        try:
            with engine.connect() as conn:
                conn.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
                conn.commit()
                _run(conn, script, schema)
        finally:
            lock.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _lock_key(schema)})
            lock.commit()


def is_current(url: str, *, package: str, schema: str) -> bool:
    """Tell whether the schema is at the newest version this package has."""
    with _engine(url) as engine, engine.connect() as conn:
        context = MigrationContext.configure(
            conn, opts={"version_table": VERSION_TABLE, "version_table_schema": schema}
        )
        return set(context.get_current_heads()) == set(_scripts(package).get_heads())


def differences(url: str, metadata: MetaData) -> list[Any]:
    """Return what the database's schema has otherwise than the metadata says; empty when migrations and tables agree.

    For the test every service has: what its migrations build is what its `tables` declare.
    """
    schema = metadata.schema

    def of_service(name: str | None, kind: str, _parents: dict[str, str | None]) -> bool:
        if kind == "schema":
            return name == schema
        return not (kind == "table" and name == VERSION_TABLE)

    with _engine(url) as engine, engine.connect() as conn:
        context = MigrationContext.configure(
            conn,
            opts={
                "include_schemas": True,
                "include_name": of_service,
                "compare_type": True,
                "version_table_schema": schema,
            },
        )
        if schema not in inspect(conn).get_schema_names():
            return [("missing_schema", schema)]
        return list(compare_metadata(context, metadata))


def _run(conn: Connection, script: ScriptDirectory, schema: str) -> None:
    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)  # what alembic's own `upgrade` command hands over

    with EnvironmentContext(Config(), script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=conn,
            version_table=VERSION_TABLE,
            version_table_schema=schema,
            transaction_per_migration=True,
        )
        with environment.begin_transaction():
            environment.run_migrations()


def _scripts(package: str) -> ScriptDirectory:
    migrations = Path(str(files(package))) / "migrations"
    versions = migrations / "versions"
    if not versions.is_dir():
        raise FileNotFoundError(f"{package} has no migrations/versions")
    return ScriptDirectory(str(migrations), version_locations=[str(versions)])


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url, poolclass=NullPool, connect_args={"application_name": "heliograph-migrations"})
    try:
        yield engine
    finally:
        engine.dispose()


def _lock_key(schema: str) -> int:
    digest = hashlib.blake2b(f"heliograph migrations {schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

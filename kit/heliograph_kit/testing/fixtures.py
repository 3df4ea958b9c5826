"""pytest plugin: `pytest_plugins = ["heliograph_kit.testing.fixtures"]` in the top conftest.

Servers are real and per session; databases are per test; the bus is emptied between tests. Set
HELIOGRAPH_TEST_FAST=1 to run the servers without syncing to disk, HELIOGRAPH_TEST_DATABASE_URL to use a PostgreSQL that
runs already (its user must be able to create databases).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from heliograph_kit import migrations
from heliograph_kit.bus import Bus
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres
from heliograph_kit.ids import new_id
from heliograph_kit.testing.waiting import eventually as _eventually

DURABLE = os.environ.get("HELIOGRAPH_TEST_FAST", "") in ("", "0")
INTERNAL_SECRET = "tests-and-nothing-else-" + "0" * 32


class PostgresServer(Protocol):
    """What tests need of a PostgreSQL server: the URL of a database on it."""

    def dsn_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        ...


class _GivenPostgres:
    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def dsn_of(self, database: str) -> str:
        return _text(self._url.set(drivername="postgresql+psycopg", database=database))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole session."""
    if given := os.environ.get("HELIOGRAPH_TEST_DATABASE_URL"):
        yield _GivenPostgres(given)
        return
    with closing(_Folder()) as folder:
        server = EmbeddedPostgres(folder.path / "postgres", durable=DURABLE)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, empty database; dropped after the test with whatever is connected to it."""
    with _fresh_database(postgres, "template1") as url:
        yield url


@pytest.fixture(scope="session")
def _templates(postgres: PostgresServer) -> Iterator[dict[tuple[tuple[str, str], ...], str]]:
    made: dict[tuple[tuple[str, str], ...], str] = {}
    yield made
    for name in made.values():
        _drop(postgres, name)


class MigratedDatabase(Protocol):
    """Makes a database with the newest schema of services."""

    def __call__(self, *services: tuple[str, str]) -> str:
        """Return the URL of a fresh database for (package, schema) pairs."""
        ...


@pytest.fixture
def migrated_database(
    postgres: PostgresServer, _templates: dict[tuple[tuple[str, str], ...], str]
) -> Iterator[MigratedDatabase]:
    """Fresh databases with migrations applied: migrated once a session, then copied, which is far quicker."""
    opened = []

    def make(*services: tuple[str, str]) -> str:
        if services not in _templates:
            name = f"template_{new_id()}"
            _create(postgres, name, "template1")
            for package, schema in services:
                migrations.upgrade(postgres.dsn_of(name), package=package, schema=schema)
            _templates[services] = name
        fresh = _fresh_database(postgres, _templates[services])
        opened.append(fresh)
        return fresh.__enter__()

    yield make
    for fresh in opened:
        fresh.__exit__(None, None, None)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A `Database` on `database_url`."""
    database = Database(database_url, application_name="tests", pool_size=10)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedNats]:
    """One nats-server for the whole session. Tests that kill it start it again (`start` is safe to repeat)."""
    with closing(_Folder()) as folder:
        server = EmbeddedNats(folder.path / "nats", durable=DURABLE)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest_asyncio.fixture
async def nats_url(nats_server: EmbeddedNats) -> str:
    """URL of the bus, without a single stream."""
    url = nats_server.start()
    async with Bus.connect(url, name="tests") as bus:
        for stream in await bus.jetstream.streams_info():
            await bus.jetstream.delete_stream(stream.config.name or "")
    return url


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to the bus with all streams declared."""
    async with Bus.connect(nats_url, name="tests") as bus:
        await bus.ensure_streams()
        yield bus


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon UTC of a Wednesday."""
    return ManualClock(datetime(2026, 3, 4, 12, tzinfo=UTC))


@pytest.fixture
def eventually() -> Callable[..., object]:
    """`heliograph_kit.testing.eventually`, for tests that do not import it."""
    return _eventually


class _Folder:
    """A directory that servers under another OS account can reach, which pytest's own are not."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="heliograph-tests-"))
        self.path.chmod(0o711)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class _fresh_database:  # noqa: N801 - used like a function
    def __init__(self, postgres: PostgresServer, template: str) -> None:
        self._postgres = postgres
        self._template = template
        self._name = f"test_{new_id()}"

    def __enter__(self) -> str:
        _create(self._postgres, self._name, self._template)
        return self._postgres.dsn_of(self._name)

    def __exit__(self, *_: object) -> None:
        _drop(self._postgres, self._name)


def _create(postgres: PostgresServer, name: str, template: str) -> None:
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with _administration(postgres) as conn:
        conn.execute(command)


def _drop(postgres: PostgresServer, name: str) -> None:
    with _administration(postgres) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administration(postgres: PostgresServer) -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(postgres.dsn_of("postgres")).set(drivername="postgresql")
    return psycopg.connect(_text(url), autocommit=True)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)

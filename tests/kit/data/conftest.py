"""The sample service's database."""

from collections.abc import AsyncIterator

import pytest_asyncio

from heliograph_kit.database import Database
from heliograph_kit.testing.fixtures import MigratedDatabase

POST = ("tests.kit.data.post", "post")


@pytest_asyncio.fixture
async def post(migrated_database: MigratedDatabase) -> AsyncIterator[Database]:
    """The database of the sample service, migrated."""
    database = Database(migrated_database(POST), application_name="post", pool_size=10)
    yield database
    await database.close()

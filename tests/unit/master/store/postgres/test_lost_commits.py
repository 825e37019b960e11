"""A database that comes back without what was acknowledged, such as a replica that lagged."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from master.changes import Changes
from master.store.postgres.engine import PostgresStore
from queue_manager.errors import OwnershipLostError
from tests.postgres_server import DATABASE, PostgresServer
from tests.unit.master.store_records import PostgresEngine, block


async def commit(store: PostgresStore, number: int) -> None:
    waits = store.commit(Changes(blocks=[block(number, 10 * number, 3)]))
    assert waits is not None
    await waits


def end_sessions(server: PostgresServer) -> None:
    with server.superuser() as db:
        name = "application_name LIKE 'quartermaster/%'"
        db.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {name}")


def test_a_master_gives_up_that_knows_of_commits_which_the_database_lacks(
    postgres: PostgresServer, store_url: str, schema: str
) -> None:
    engine = PostgresEngine(store_url)
    store = cast(PostgresStore, engine.open())
    asyncio.run(commit(store, 1))
    end_sessions(postgres)
    asyncio.run(commit(store, 2))  # nothing is missing: it goes on
    with postgres.superuser(DATABASE) as db:
        db.execute(f"DELETE FROM {schema}.turns")
    end_sessions(postgres)
    with pytest.raises(OwnershipLostError, match="lacks commits that were acknowledged"):
        asyncio.run(commit(store, 3))
    again = cast(PostgresStore, engine.open())  # and starts again with what is there
    assert again.epoch == store.epoch + 1
    asyncio.run(commit(again, 4))
    again.close()

"""A commit whose connection breaks takes place once, whether the server had committed it or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from master.changes import Changes
from master.store.postgres.engine import PostgresStore
from master.store.postgres.link import writer
from master.store.postgres.link.connection import cut
from master.store.postgres.link.pipeline import Call, Pipeline
from queue_manager.errors import OwnershipLostError
from tests.unit.master.store_records import PostgresEngine, block, run_record


def opened(engine: PostgresEngine) -> PostgresStore:
    store = engine.open()
    assert isinstance(store, PostgresStore)
    store.commit(Changes(runs={1: run_record(1)}))
    return store


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_a_commit_without_an_answer_is_looked_up(
    store_url: str, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    engine = PostgresEngine(store_url)
    store = opened(engine)
    run, sent = Pipeline.run, list[int]()

    def breaking(self: Pipeline, calls: Sequence[Call]) -> asyncio.Future[Any]:
        sent.append(len(calls))
        if len(sent) > 1:
            return run(self, calls)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if is_committed:
            self.run_now(calls, 5.0)
        cut(self.connection)
        self.connection.close()
        answer.set_exception(psycopg.OperationalError("the connection is lost"))
        return answer

    monkeypatch.setattr(Pipeline, "run", breaking)

    async def whole() -> None:
        committing = store.commit(Changes(blocks=[block(1, 1, 3)]))
        assert committing is not None
        await committing

    asyncio.run(whole())
    assert len(sent) == (1 if is_committed else 2)
    assert store.find_blocks(1, [(1, 10)], 10) == [(1, 1, 3)]
    assert store.trouble == ""
    engine.close()


def test_a_commit_that_takes_long_is_told_of(
    store_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A silent network closes nothing: nobody else would notice, while clients are not read."""
    engine = PostgresEngine(store_url)
    store = opened(engine)
    caplog.clear()
    caplog.set_level("INFO", "quartermaster.master")
    monkeypatch.setattr(writer, "_TOLD_S", 0.1)
    run = Pipeline.run

    def silent(self: Pipeline, calls: Sequence[Call]) -> asyncio.Future[Any]:
        return asyncio.ensure_future(answered_late(run(self, calls)))

    async def answered_late(answer: asyncio.Future[Any]) -> Any:
        await asyncio.wait_for(told(), 10.0)
        return await answer

    async def told() -> None:
        while "it has not answered a commit" not in store.trouble:
            await asyncio.sleep(0.001)

    monkeypatch.setattr(Pipeline, "run", silent)

    async def whole() -> None:
        committing = store.commit(Changes(blocks=[block(1, 1, 3)]))
        assert committing is not None
        await committing

    asyncio.run(whole())
    assert store.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        "the database is away: it has not answered a commit for 0.1 s;"
        " nothing is acknowledged until it is there again",
        "the database is there again, after 0.1 s",
    ]
    engine.close()


def test_a_master_that_another_one_has_replaced_can_not_write(store_url: str) -> None:
    engine = PostgresEngine(store_url)
    store = opened(engine)
    with store._claim.connect("other") as other:
        other.execute("UPDATE owner SET epoch = epoch + 1")
    with pytest.raises(OwnershipLostError, match="another master has taken over"):
        store.commit(Changes(blocks=[block(1, 1, 3)]))
    assert store.find_blocks(1, [(1, 10)], 10) == []
    store._reader.close()

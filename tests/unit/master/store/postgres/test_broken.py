"""What a store does about a session that ends, an answer that is lost, a batch that breaks off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from master.changes import QUEUE_RUN, Changes, RunCounts
from master.store.postgres.database import PostgresDatabase
from master.store.postgres.engine import PostgresStore
from master.store.postgres.link.pipeline import Call, Pipeline, Result
from queue_manager.errors import StoreError
from tests.postgres_proxy import Proxy
from tests.postgres_server import PostgresServer
from tests.unit.master.store_records import block, opened, outcome, tracked

PATIENCE_S = 20.0


@pytest.fixture
def store(store_url: str) -> Iterator[PostgresStore]:
    made = opened(store_url)[0]
    yield made
    made.close()


def written(store: PostgresStore, **changes: Any) -> None:
    """Commit as the master does, in a loop."""

    async def commit() -> None:
        ended = store.commit(Changes(**changes))
        assert ended is not None
        await ended

    asyncio.run(commit())


def back(store: PostgresStore) -> None:
    until = time.monotonic() + PATIENCE_S
    while store.trouble:
        assert time.monotonic() < until, store.trouble
        time.sleep(0.01)


def lose_the_next_answer(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next commit that the loop waits for takes place; then its connection ends."""
    pipeline = store._writer._db.pipeline
    run_now = pipeline.run_now

    def run(calls: Sequence[Call], patience_s: float) -> list[Result]:
        results = run_now(calls, patience_s)
        if calls[-1].statement == b"COMMIT":
            pipeline.connection.close()
            raise psycopg.OperationalError("the answer is lost")
        return results

    monkeypatch.setattr(pipeline, "run_now", run)


def test_a_master_without_commits_gets_its_writer_back(
    store: PostgresStore, postgres: PostgresServer, schema: str
) -> None:
    """Nobody commits while the master is said to be away from its database."""
    claim = store._claim
    assert claim.writer is not None
    with postgres.superuser() as db:
        db.execute("SELECT pg_terminate_backend(%s, 5000)", [claim.writer.info.backend_pid])
    with pytest.raises(StoreError, match="the database is away"):
        store.note_clock(5.0, 0.0)
    back(store)
    store.note_clock(6.0, 0.0)


def test_a_pruning_whose_answer_was_lost_is_told_the_next_time(
    store: PostgresStore, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = block(1, 0, 2, run=QUEUE_RUN)
    letters = tracked(old, 1, "dead", due_at=1.0, seq=2, ended_at=1.0)
    counts = {QUEUE_RUN: RunCounts(tasks=2, done=1, dead=1)}
    written(store, blocks=[old], outcomes=[outcome(1, old, 0, 1)], tracked=letters, counts=counts)
    lose_the_next_answer(store, monkeypatch)
    with pytest.raises(StoreError, match="the answer is lost"):
        store.prune_queue(9, 9.0, 0, 100)
    back(store)
    written(store, workers={"a": True})
    step = store.prune_queue(9, 9.0, 0, 100)
    assert (step.results, step.letters) == ({1: 1}, [1])
    assert store.prune_queue(9, 9.0, 0, 100).letters == []
    run = store.load_run(QUEUE_RUN)
    assert run is not None
    assert (run.counts.dead, run.counts.pruned) == (0, 1)
    assert store._reads(lambda db: db.number("unread_results")) == 0
    store.close()
    again = opened(store_url)[0]
    assert again.load_run(QUEUE_RUN) == run
    again.close()


def test_a_batch_that_breaks_off_holds_up_no_later_one(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_call = Pipeline._send_call
    calls: list[Call] = []

    def send(pipeline: Pipeline, batch: Any, call: Call) -> None:
        calls.append(call)
        if len(calls) == 2:
            raise MemoryError
        send_call(pipeline, batch, call)

    monkeypatch.setattr(Pipeline, "_send_call", send)
    written(store, workers={"a": True})
    written(store, workers={"b": True})
    assert set(store._reads(lambda db: list(db.rows("workers")))) == {("a",), ("b",)}


def test_a_reading_that_fails_leaves_no_failed_transaction_to_the_next(
    store: PostgresStore,
) -> None:
    """Its error holds on to the streams that it has begun."""
    for at in range(3):
        written(store, workers={f"{at}": True})

    def fails(db: PostgresDatabase) -> None:
        streams = [db.stream("workers"), db.stream("workers")]
        assert all(next(stream) for stream in streams)
        db._run_now(Call(b"SELECT 1 / 0"))

    with pytest.raises(StoreError, match="division by zero") as held:
        store._reader.read(fails)
    assert len(store._reads(lambda db: list(db.stream("workers")))) == 3
    del held
    assert len(store._reads(lambda db: list(db.stream("workers")))) == 3


def test_a_master_that_ends_gives_up_a_commit_that_nobody_answers(
    postgres: PostgresServer, schema: str
) -> None:
    proxy = Proxy(postgres.port)
    store = opened(postgres.dsn(schema, port=proxy.port))[0]
    written(store, workers={"a": True})

    async def commit() -> None:
        proxy.fall_silent()
        ended = store.commit(Changes(workers={"b": True}))
        assert ended is not None
        waiting = asyncio.ensure_future(ended)
        await asyncio.sleep(0)
        store.hasten()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StoreError, match="this master ends"):
                await waiting

    asyncio.run(commit())
    proxy.end()
    store.close()


def test_a_reading_that_takes_too_long_is_given_up_and_the_database_is_not_away(
    store: PostgresStore,
) -> None:
    pipeline = store._reader._db.pipeline
    with pytest.raises(psycopg.errors.QueryCanceled):
        pipeline.run_now([Call(b"SELECT pg_sleep(60)")], 0.2)
    assert store.count_ended(10) == 0
    assert (store._reader._db.pipeline, store.trouble) == (pipeline, "")


def test_a_server_that_keeps_no_promise_is_told_of(
    postgres: PostgresServer, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The tests' server has fsync=off."""
    opened(postgres.dsn(schema))[0].close()
    assert "PostgreSQL has fsync=off: what is acknowledged may be lost" in caplog.text

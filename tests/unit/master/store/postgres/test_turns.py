"""What is newest of counts and numbers: in memory, in `turns`, and in the rows after a fold."""

from __future__ import annotations

import pytest

from master.changes import Changes, RunCounts, RunState
from master.store.postgres import plain_text, turns
from master.store.postgres.engine import PostgresStore
from tests.unit.master.store_records import PostgresEngine, block, commit, run_record


@pytest.fixture
def engine(store_url: str, monkeypatch: pytest.MonkeyPatch) -> PostgresEngine:
    monkeypatch.setattr(turns, "FOLD_AT", 4)
    return PostgresEngine(store_url)


def counts(done: int) -> RunCounts:
    return RunCounts(tasks=100, accepted=100, done=done)


def rows(store: PostgresStore, query: str) -> list[tuple[object, ...]]:
    return store._writer._db.pipeline.connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("commits", range(1, 12))
def test_counts_and_numbers_are_those_of_the_last_commit_wherever_it_breaks_off(
    engine: PostgresEngine, commits: int
) -> None:
    store = engine.open()
    commit(store, runs={1: run_record(1), 2: run_record(2)})
    for number in range(1, commits + 1):
        commit(store, block(number, number, 1), counts={1: counts(number), 2: counts(7)})
    loaded = {run.record.id: run.counts for run in engine.crash().load()}
    assert loaded[1] == counts(commits)
    assert loaded[2] == counts(7)
    engine.close()


def test_the_row_of_a_run_that_ended_has_its_last_counts(engine: PostgresEngine) -> None:
    """Lists and sums of ended runs are read there, and not one by one."""
    store = engine.open()
    assert isinstance(store, PostgresStore)
    commit(store, runs={1: run_record(1)})
    commit(store, block(1, 1, 1), counts={1: counts(5)})
    ended = run_record(1, state="done")
    store.commit(Changes(runs={1: ended}, ended={1}))
    assert rows(store, "SELECT state, done FROM runs WHERE id = 1") == [(RunState.DONE, 5)]
    engine.close()


def test_turns_has_few_rows_however_many_commits_there_were(engine: PostgresEngine) -> None:
    store = engine.open()
    assert isinstance(store, PostgresStore)
    commit(store, runs={1: run_record(1)})
    for number in range(1, 30):
        commit(store, block(number, number, 1), counts={1: counts(number)})
    ((left,),) = rows(store, "SELECT COUNT(*) FROM turns")
    assert left <= 4
    engine.close()


@pytest.mark.parametrize("text", ["", "plain", "a\0b", "\0", "\U0010fffd", "\U0010fffd0\0", "痛点"])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert "\0" not in plain_text.kept(text)
    assert plain_text.given(plain_text.kept(text)) == text

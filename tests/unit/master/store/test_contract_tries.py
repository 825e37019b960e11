"""The tries of a task: every engine keeps the newest ten of them, as long as the run is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from master.changes import RunState
from master.store.contract import Store
from master.store.sqlite.engine import SqliteStore
from master.tries import TRIES, Fate, TryRecord
from tests.unit.master.store_records import (
    Engine,
    block,
    commit,
    drop_all,
    outcome,
    revived,
    run_record,
    tracked,
)

ONE = block(1, 1, 4)


def tried(number: int, state: str = "waiting", position: int = 0, **fields: Any) -> Any:
    """What a commit has of a try: its number is in all that is told of it."""
    values: dict[str, Any] = {
        "tries": number,
        "fate": Fate.FAILED,
        "ended_at": 100.0 + number,
        "took_s": number / 4,
        "worker": f"h/{number}",
        "error": f"ValueError: {number}",
        "evidence": f"trace {number}",
        "printed": f"out {number}",
        "raised": b"%d" % number,
        "lease": number,
        "attempts": number,
    }
    return tracked(ONE, position, state, **(values | fields))


def begin(store: Store) -> None:
    commit(store, ONE, runs={1: run_record()})


def numbers(store: Store, task: int = 1, run: int = 1) -> list[int]:
    return [one.number for one in store.read_tries(run, task)]


def test_each_try_is_told_with_what_was_known_of_it_the_newest_first(engine: Engine) -> None:
    store = engine.open()
    begin(store)
    commit(store, tracked=tried(1))
    commit(store, tracked=tried(2, fate=Fate.LOST, took_s=None, evidence="", raised=b""))
    store = engine.crash()
    commit(store, tracked=tried(3, "dead", seq=1))
    assert store.read_tries(1, 1) == [
        TryRecord(3, Fate.FAILED, 103, 0.75, "h/3", "ValueError: 3", "trace 3", "out 3", b"3"),
        TryRecord(2, Fate.LOST, 102, None, "h/2", "ValueError: 2", "", "out 2", b""),
        TryRecord(1, Fate.FAILED, 101, 0.25, "h/1", "ValueError: 1", "trace 1", "out 1", b"1"),
    ]
    assert (store.read_tries(1, 2), store.read_tries(2, 1)) == ([], [])


def test_the_newest_ten_are_kept(engine: Engine) -> None:
    store = engine.open()
    begin(store)
    for number in range(1, 26):
        both = tried(number) | (tried(number, position=1) if number < 4 else {})
        commit(store, tracked=both)
        assert numbers(store) == list(range(number, max(0, number - TRIES), -1))
    store = engine.crash()
    assert numbers(store) == list(range(25, 15, -1))
    assert numbers(store, 2) == [3, 2, 1]


def test_a_success_is_the_newest_try_of_a_task_that_has_failed(store: Store) -> None:
    begin(store)
    commit(store, tracked=tried(1))
    nothing = dict.fromkeys(("error", "evidence", "printed"), "")
    done = tried(2, "done", fate=Fate.DONE, raised=b"", **nothing)
    commit(store, tracked=done, outcomes=[outcome(1, ONE, 0, 1)])
    won, failed = store.read_tries(1, 1)
    assert won == TryRecord(2, Fate.DONE, 102, 0.5, "h/2", "", "", "", b"")
    assert failed.evidence == "trace 1"


def test_a_retry_keeps_the_tries_before_it(store: Store) -> None:
    begin(store)
    commit(store, tracked=tried(1) | tried(1, position=1))
    commit(store, tracked=tried(2, "dead", seq=1) | tried(2, "dead", position=1, seq=2))
    commit(store, revived=revived(200.0, 1))
    commit(store, revived=revived(200.0))
    assert (numbers(store), numbers(store, 2)) == ([2, 1], [2, 1])
    commit(store, tracked=tried(3, attempts=1) | tried(3, "dead", 1, attempts=1, seq=3))
    assert (numbers(store), numbers(store, 2)) == ([3, 2, 1], [3, 2, 1])


def test_a_task_that_is_cancelled_keeps_its_tries_and_one_that_was_delayed_has_none(
    store: Store,
) -> None:
    begin(store)
    commit(store, tracked=tried(1) | tracked(ONE, 1, attempts=0, delay_s=5.0))
    assert (numbers(store), numbers(store, 2)) == ([1], [])
    commit(store, tracked=tracked(ONE, 0, "done", tries=1) | tracked(ONE, 1, "done", attempts=0))
    assert (numbers(store), numbers(store, 2)) == ([1], [])


@pytest.mark.parametrize("pruned", [False, True], ids=["forgotten", "pruned"])
def test_tries_go_with_their_run_and_leave_those_of_others(store: Store, pruned: bool) -> None:
    other = block(2, 1, 1, run=2)
    runs = {1: run_record(state="done"), 2: run_record(2)}
    commit(store, ONE, other, runs=runs)
    for number in (1, 2, 3):
        of_other = {(2, 1): replace(tried(number)[1, 1], run=2, block=2)}
        commit(store, tracked=tried(number) | tried(number, position=1) | of_other)
    if pruned:
        commit(store, runs={1: replace(runs[1], state=RunState.PRUNED)})
    else:
        commit(store, forgotten={1})
    drop_all(store, 2)
    assert (numbers(store), numbers(store, 2), numbers(store, 1, 2)) == ([], [], [3, 2, 1])
    if isinstance(store, SqliteStore):
        assert store._db.execute("SELECT DISTINCT run FROM tries").fetchall() == [(2,)]


def test_a_first_try_that_fails_has_no_row_but_that_of_its_task(tmp_path: Any) -> None:
    """So a run in which each task fails once costs what it did without tries."""
    store = SqliteStore(tmp_path)
    begin(store)
    commit(store, tracked=tried(1) | tried(1, "dead", position=1, seq=1))
    assert store._db.execute("SELECT COUNT(*) FROM tries").fetchone() == (0,)
    commit(store, tracked=tried(2))
    assert store._db.execute("SELECT task, number FROM tries").fetchall() == [(1, 1)]
    store.close()

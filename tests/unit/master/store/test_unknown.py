"""Commits that ended in an error, of which nobody knows whether they took place: looked up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.changes import QUEUE_RUN, RunCounts
from master.store.sqlite.engine import SqliteStore
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunOptions
from tests.asked import block_states, taken_keys
from tests.unit.master.conftest import JumpingLoop, World
from tests.unit.master.store_records import (
    block,
    commit,
    loaded,
    outcome,
    revived,
    run_record,
    tracked,
    tracked_of,
)

Break = Callable[[str], None]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqliteStore(tmp_path)
    yield made
    made.close()


@pytest.fixture
def breaks(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Break:
    """The next transaction ends in a MemoryError, before its commit or behind it."""
    ends = store._transaction

    def break_next(when: str) -> None:
        class Broken:
            def __enter__(self) -> None:
                monkeypatch.setattr(store, "_transaction", ends)
                self.inner = ends()
                self.inner.__enter__()

            def __exit__(self, *args: Any) -> None:
                if when == "behind":
                    self.inner.__exit__(None, None, None)
                else:
                    store._db.execute("ROLLBACK")
                raise MemoryError

        monkeypatch.setattr(store, "_transaction", Broken)

    return break_next


def try_to(store: SqliteStore, when: str, *blocks: Any, **fields: Any) -> None:
    """The commit raises exactly when it did not take place."""
    if when == "before":
        with pytest.raises(MemoryError):
            commit(store, *blocks, **fields)
    else:
        commit(store, *blocks, **fields)


@pytest.mark.parametrize("when", ["before", "behind"])
def test_new_tasks_and_outcomes_are_looked_up(store: SqliteStore, breaks: Break, when: str) -> None:
    one, two = block(1, 1, 2, keys=["a", "b"]), block(2, 3, 1, keys=["c"])
    commit(store, one)
    breaks(when)
    try_to(store, when, two, outcomes=[outcome(1, one, 0, 1)])
    there = when == "behind"
    assert (2 in block_states(store, {2: (0, 1)})) is there
    assert taken_keys(store, 1, ["a", "b", "c", "d"]) == ({"a", "b", "c"} if there else {"a", "b"})
    commit(store, block(3, 4, 1, keys=["e"]))


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_block_that_grew_is_looked_up(store: SqliteStore, breaks: Break, when: str) -> None:
    commit(store, block(1, 1, 2))
    breaks(when)
    try_to(store, when, grown={1: block(1, 1, 3)})
    ((_, states),) = block_states(store, {1: (0, 9)}).items()
    assert states.count == (3 if when == "behind" else 2)


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_new_run_a_cancel_and_a_retry_are_looked_up(
    store: SqliteStore, breaks: Break, when: str
) -> None:
    """Each is refused if it did not take place: it must not turn up at the next start."""
    there = when == "behind"
    one = block(1, 1, 1)
    commit(store, one, runs={1: run_record(1)}, tracked=tracked(one, 0, "dead"))
    breaks(when)
    try_to(store, when, runs={2: run_record(2)}, counts={2: RunCounts()})
    assert (loaded(store, 2) is not None) is there
    breaks(when)
    try_to(store, when, runs={1: run_record(1, state="cancelled", ended_at=2.0)})
    found = loaded(store, 1)
    assert found is not None
    assert (found.record.state == "cancelled") is there
    breaks(when)
    try_to(store, when, revived=revived(3.0))
    assert bool(tracked_of(store)) is there


def test_a_number_that_was_written_once_is_never_taken_for_another(
    store: SqliteStore, breaks: Break, tmp_path: Path
) -> None:
    for _ in range(3):
        breaks("behind")
        try_to(store, "behind", runs={1: run_record(1)})
        breaks("before")
        try_to(store, "before", runs={1: run_record(1)})
    store.close()
    store.__init__(tmp_path)  # type: ignore[misc]
    commit(store, runs={1: run_record(1)})


def test_a_run_whose_commit_is_known_late_is_begun_and_told(
    store: SqliteStore, breaks: Break, loop: JumpingLoop
) -> None:
    """As `qm submit` asks for it: it is answered, and there is no second one at the next start."""

    async def scene() -> None:
        world = World(store, loop, "")  # type: ignore[arg-type]
        await world.turns()
        breaks("behind")
        run, is_new = await world.runs.start(StartRun(0, "job", []), RunOptions())
        assert (run.id, is_new) == (1, True)

    loop.run_until_complete(scene())
    assert [run.record.id for run in store.load() if run.record.id != QUEUE_RUN] == [1]

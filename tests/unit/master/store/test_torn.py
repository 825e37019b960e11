"""A crash in the middle of a write: all that was committed before is there, and nothing half."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from master.changes import RunCounts
from master.store.sqlite.engine import SqliteStore
from tests.asked import taken_keys
from tests.torn import WAL, last_transaction, tears, torn_copy
from tests.unit.master.store_records import (
    block,
    commit,
    outcome,
    ranges,
    run_record,
    tracked,
    tracked_of,
)

FIRST, SECOND = block(1, 1, 1_000, keys=[f"k{n}" for n in range(1_000)]), block(2, 1_001, 1_000)
THIRD = block(3, 2_001, 1_000, keys=[f"l{n}" for n in range(1_000)])


def second(store: SqliteStore) -> None:
    """What is torn: a result with its follow-ups, a loss, the counts and the end of `tasks()`."""
    commit(
        store,
        SECOND,
        THIRD,
        outcomes=[outcome(2, FIRST, 10, 500)],
        tracked=tracked(FIRST, 700, losses=1),
        runs={1: run_record(exhausted=True), 2: run_record(2)},
        counts={1: RunCounts(3_000, 500)},
        workers={"w": True},
    )


def told(store: SqliteStore) -> dict[str, Any]:
    """All that a master asks of it at its start, and what it would say to a client."""
    return {
        "runs": [(found.record, found.counts) for found in store.load()],
        "waiting": ranges(store),
        "outcomes": store.read_outcomes(1, 0, 10**9)[0],
        "tracked": tracked_of(store),
        "workers": store.workers,
        "keys": taken_keys(store, 1, ["k5", "l5"]),
        "next": (store.next_run, store.next_block, store.next_seq),
        "body": store.read_results(1, 0, 10**9)[0],
    }


def told_when_opened(folder: Path) -> dict[str, Any]:
    store = SqliteStore(folder)
    found = told(store)
    store.close()
    return found


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder as `kill -9` leaves it after two commits, and what it told after the first."""
    folder = tmp_path_factory.mktemp("crashed")
    store = SqliteStore(folder / "open")
    commit(store, FIRST, outcomes=[outcome(1, FIRST, 0, 10)], runs={1: run_record()})
    shutil.copytree(folder / "open", folder / "before")
    second(store)
    shutil.copytree(folder / "open", folder / "data")
    store.close()
    return folder / "data", told_when_opened(folder / "before")


def test_a_log_without_a_tear_has_both_commits(
    crashed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    data, before = crashed
    wal = (data / WAL).read_bytes()
    assert len(last_transaction(wal)) > 8  # many pages: there is something to tear
    after = told_when_opened(torn_copy(data, tmp_path / "data", wal))
    assert (before["next"], after["next"]) == ((2, 2, 2), (3, 4, 3))
    assert [key for key in before if before[key] == after[key]] == []


def test_a_log_that_is_cut_off_anywhere_in_its_last_commit_has_all_before_it_and_no_more(
    crashed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    data, before = crashed
    wal = (data / WAL).read_bytes()
    after = told_when_opened(torn_copy(data, tmp_path / "whole", wal))
    count = 0
    for count, (what, torn) in enumerate(tears(wal), 1):
        folder = torn_copy(data, tmp_path / f"data{count}", torn)
        store = SqliteStore(folder)
        assert told(store) == before, what
        second(store)  # the same again: nothing of it is in the way
        store.close()
        assert told_when_opened(folder) == after, what
        shutil.rmtree(folder)
    assert count > 20

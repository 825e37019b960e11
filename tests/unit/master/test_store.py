"""What every store must do: each test runs over each engine (`STORES`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from master.changes import (
    QUEUE_RUN,
    BlockRecord,
    Changes,
    OutcomeRecord,
    RunRecord,
    StrayRecord,
    StrayState,
)
from master.store import Store
from master.store.sqlite import SqliteStore
from queue_manager import codec
from queue_manager.errors import StoreBusyError, StoreError
from queue_manager.records import RunOptions

STORES: dict[str, Callable[[Path], Store]] = {"sqlite": SqliteStore}


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the store; again: closes it first, as a restart would."""
    opened: list[Store] = []

    def make() -> Store:
        if opened:
            opened.pop().close()
        opened.append(STORES[request.param](tmp_path / "data"))
        return opened[0]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def run_record(id: int = 1, **fields: Any) -> RunRecord:
    values: dict[str, Any] = {
        "job": "job",
        "words": ["a=1", "痛点"],
        "key": None,
        "options": RunOptions(7, 8, 9.5),
        "state": "active",
        "exhausted": False,
        "started_at": 1.5,
        "ended_at": None,
    }
    return RunRecord(id, **(values | fields))


def body(first: int, count: int) -> bytes:
    return codec.encode_batch(list(range(first, first + count)))


def block(id: int, first: int, count: int, run: int = 1, **fields: Any) -> BlockRecord:
    return BlockRecord(id, run, first, count, body(first, count), **fields)


def outcome(seq: int, of: BlockRecord, start: int, stop: int) -> OutcomeRecord:
    results = codec.encode_batch([-n for n in range(of.first + start, of.first + stop)])
    return OutcomeRecord(seq, of.run, of.id, of.first, start, stop, results)


def stray(of: BlockRecord, position: int, state: StrayState = "waiting", **fields: Any) -> Any:
    record = StrayRecord(
        of.run,
        of.first + position,
        of.id,
        position,
        state,
        fields.pop("attempts", 1),
        fields.pop("losses", 0),
        priority=of.priority,
        **fields,
    )
    return {(of.run, record.task): record}


def commit(store: Store, *blocks: BlockRecord, **fields: Any) -> None:
    store.commit(Changes(blocks=list(blocks), **fields))


def ranges(store: Store, run: int = 1, priority: int = 0, after: int = 0) -> list[Any]:
    found, _ = store.read_waiting(run, priority, after, 10**9)
    return [(b.id, b.ranges) for b in found]


# --- what is there after opening ---


def test_a_new_store_has_the_queue_run_and_nothing_else(store: Store) -> None:
    (loaded,) = store.load()
    assert loaded.record.id == QUEUE_RUN
    assert loaded.record.state == "active"
    assert (loaded.tasks, loaded.done, loaded.dead, loaded.waiting) == (0, 0, 0, {})
    assert (store.next_block, store.next_seq, store.delivered) == (1, 1, (0, 0))


def test_each_opening_has_an_epoch_of_its_own(open_store: Callable[[], Store]) -> None:
    assert [open_store().epoch for _ in range(3)] == [1, 2, 3]


def test_numbers_of_blocks_and_outcomes_go_on_where_they_were(
    open_store: Callable[[], Store],
) -> None:
    commit(open_store(), one := block(4, 1, 2), outcomes=[outcome(9, one, 0, 1)])
    store = open_store()
    assert (store.next_block, store.next_seq) == (5, 10)


def test_a_run_comes_back_as_it_was_written_last(open_store: Callable[[], Store]) -> None:
    store = open_store()
    commit(store, runs={1: run_record(key="k")})
    last = run_record(
        key="k", state="failed", exhausted=True, ended_at=2.5, collected=3, collect_errors=4
    )
    last = replace(last, collected_into=2)
    commit(store, runs={1: last})
    assert [loaded.record for loaded in open_store().load()][1:] == [last]


def test_every_task_is_counted_in_one_place_after_a_restart(
    open_store: Callable[[], Store],
) -> None:
    store = open_store()
    plain, high = block(1, 1, 10, from_tasks=True), block(2, 11, 5, priority=3)
    keyed = block(3, 16, 2, keys=["a", "b"], from_tasks=True)
    commit(store, plain, high, keyed, runs={1: run_record()})
    commit(store, outcomes=[outcome(1, plain, 0, 4), outcome(2, high, 4, 5)])
    strays = stray(plain, 5) | stray(plain, 6, "dead") | stray(high, 0) | stray(plain, 0, "done")
    commit(store, strays=strays)
    _, loaded = open_store().load()
    assert (loaded.tasks, loaded.accepted) == (17, 10)
    assert (loaded.done, loaded.dead, loaded.last_seq) == (5, 1, 2)
    assert loaded.waiting == {0: 10 - 4 - 2 + 2, 3: 5 - 1 - 1}
    assert sorted(s.task for s in loaded.strays) == [6, 11]
    assert loaded.tasks == loaded.done + loaded.dead + sum(loaded.waiting.values()) + 2


def test_a_stray_comes_back_with_its_charges_and_its_delay(
    open_store: Callable[[], Store],
) -> None:
    store = open_store()
    one = block(1, 1, 2, priority=4)
    commit(store, one, runs={1: run_record()})
    commit(store, strays=stray(one, 1, attempts=1))
    commit(store, strays=stray(one, 1, attempts=2, losses=1, delay_s=5.0, due_at=77.0))
    (found,) = open_store().load()[1].strays
    assert (found.attempts, found.losses, found.delay_s, found.due_at) == (2, 1, 5.0, 77.0)
    assert (found.block, found.position, found.priority) == (1, 1, 4)


def test_delivery_goes_on_where_it_was(open_store: Callable[[], Store]) -> None:
    commit(open_store(), delivered=(12, 3))
    assert open_store().delivered == (12, 3)


# --- commits ---


@pytest.mark.parametrize(
    "bad",
    [
        Changes(blocks=[block(2, 3, 2), block(1, 9, 1)]),  # number 1 is taken
        Changes(blocks=[block(2, 3, 2, priority=2**63)]),
        Changes(blocks=[block(2, 3, 1, keys=["a"])]),  # so is the key
    ],
    ids=["number", "integer", "key"],
)
def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(
    store: Store, bad: Changes
) -> None:
    commit(store, block(1, 1, 2, keys=["a", "b"]))
    bad.outcomes.append(outcome(5, block(1, 1, 2), 0, 1))
    with pytest.raises(StoreError):
        store.commit(bad)
    assert ranges(store) == [(1, [(0, 2)])]
    assert store.read_outcomes(1, 0, 10**6) == ([], {})
    commit(store, block(3, 3, 1))
    assert ranges(store) == [(1, [(0, 2)]), (3, [(0, 1)])]


def test_more_rows_than_one_statement_takes_are_all_there(store: Store) -> None:
    commit(store, *[block(n, n, 1, keys=[f"k{n}"]) for n in range(1, 10_001)])
    assert len(ranges(store)) == 10_000
    assert store.taken_keys(1, ["k1", "k10000", "k10001"]) == {"k1", "k10000"}


def test_keys_are_taken_in_their_run_only(store: Store) -> None:
    commit(store, block(1, 1, 2, keys=["a", "b"]))
    assert store.taken_keys(1, ["a", "c"]) == {"a"}
    assert store.taken_keys(2, ["a"]) == set()


def test_a_run_is_found_by_its_key(store: Store) -> None:
    commit(store, runs={1: run_record(), 2: run_record(2, key="k")})
    assert store.find_run("k") == 2
    assert store.find_run("other") is None


# --- the window ---


def test_waiting_ranges_leave_out_what_ended_or_strayed(store: Store) -> None:
    one, two = block(1, 1, 10), block(2, 11, 4)
    commit(store, one, two, outcomes=[outcome(1, one, 0, 2), outcome(2, one, 4, 6)])
    commit(store, strays=stray(one, 7) | stray(one, 4, "done") | stray(one, 9, "dead"))
    assert ranges(store) == [(1, [(2, 4), (6, 7), (8, 9)]), (2, [(0, 4)])]


def test_blocks_that_have_ended_are_passed_over(store: Store) -> None:
    one, two, three = block(1, 1, 2), block(2, 3, 2), block(3, 5, 2)
    commit(store, one, two, three)
    commit(store, outcomes=[outcome(1, one, 0, 2)], strays=stray(two, 0) | stray(two, 1, "dead"))
    assert ranges(store) == [(3, [(0, 2)])]
    commit(store, outcomes=[outcome(2, three, 0, 2)], strays=stray(two, 0, "dead"))
    assert store.read_waiting(1, 0, 2, 1_000) == ([], 0)


def test_blocks_are_of_the_run_and_priority_behind_the_one_that_is_named(store: Store) -> None:
    commit(store, block(1, 1, 1), block(2, 2, 1), block(3, 3, 1, priority=1), block(4, 1, 1, 2))
    assert ranges(store, after=1) == [(2, [(0, 1)])]
    assert ranges(store, priority=1) == [(3, [(0, 1)])]
    assert ranges(store, run=2) == [(4, [(0, 1)])]


def test_reading_ahead_stops_when_enough_is_found_and_says_where(store: Store) -> None:
    commit(store, *[block(n, 10 * n, 10) for n in range(1, 6)])
    found, last = store.read_waiting(1, 0, 0, 15)
    assert ([b.id for b in found], last) == ([1, 2], 2)
    found, last = store.read_waiting(1, 0, 2, 1_000)
    assert ([b.id for b in found], last) == ([3, 4, 5], 5)
    assert store.read_waiting(1, 0, 5, 1_000) == ([], 0)


def test_the_payloads_of_a_block_are_read_by_its_number(store: Store) -> None:
    commit(store, block(1, 1, 3), block(2, 4, 3))
    assert codec.decode_batch(store.read_body(2)) == [4, 5, 6]


# --- outcomes ---


def test_outcomes_come_in_order_with_the_payloads_of_their_blocks(store: Store) -> None:
    one, two = block(1, 1, 4), block(2, 5, 4)
    commit(store, one, two, outcomes=[outcome(n, b, n, n + 1) for n, b in enumerate((two, one))])
    other = block(3, 1, 1, run=2)
    commit(store, other, outcomes=[outcome(2, other, 0, 1), outcome(3, two, 3, 4)])
    found, bodies = store.read_outcomes(1, -1, 10**6)
    assert [o.seq for o in found] == [0, 1, 3]
    assert {first: codec.decode_batch(data)[0] for first, data in bodies.items()} == {1: 1, 5: 5}
    assert [o.seq for o in store.read_outcomes(1, 1, 10**6)[0]] == [3]


def test_a_page_of_outcomes_ends_after_about_so_many_bytes(store: Store) -> None:
    one = block(1, 1, 1_000)
    commit(store, one, outcomes=[outcome(n + 1, one, n, n + 1) for n in range(1_000)])
    found, _ = store.read_outcomes(1, 0, 20_000)
    assert 1 < len(found) < 200
    assert store.read_outcomes(1, 0, 1)[0]  # never an empty one


def test_a_result_without_a_task_is_an_outcome_but_no_task_is_done(
    open_store: Callable[[], Store],
) -> None:
    store = open_store()
    loose = OutcomeRecord(1, QUEUE_RUN, 0, 0, 0, 1, codec.encode_batch(["loose"]))
    commit(store, outcomes=[loose])
    store = open_store()
    (loaded,) = store.load()
    assert (loaded.done, loaded.last_seq, loaded.tasks) == (0, 1, 0)
    assert store.read_outcomes(QUEUE_RUN, 0, 10**6) == ([loose], {})
    assert store.read_last_outcomes(QUEUE_RUN, 5) == ([loose], {})


def test_results_behind_an_outcome_are_counted(store: Store) -> None:
    one = block(1, 1, 10)
    commit(store, one, outcomes=[outcome(1, one, 0, 3), outcome(2, one, 3, 7)])
    assert [store.count_results(1, after) for after in (0, 1, 2)] == [7, 4, 0]
    assert store.count_results(2, 0) == 0


def test_the_newest_outcomes_come_oldest_first(store: Store) -> None:
    one = block(1, 1, 10)
    commit(store, one, outcomes=[outcome(n + 1, one, n, n + 1) for n in range(10)])
    found, bodies = store.read_last_outcomes(1, 3)
    assert [o.seq for o in found] == [8, 9, 10]
    assert codec.decode_batch(bodies[1])[0] == 1


# --- results ---


def test_results_come_in_task_order_with_dead_letters_and_attempts(store: Store) -> None:
    one, two = block(1, 1, 3, keys=["a", "b", "c"]), block(2, 4, 2)
    commit(store, one, two, runs={1: run_record()})
    commit(store, outcomes=[outcome(1, two, 0, 2), outcome(2, one, 2, 3), outcome(3, one, 0, 1)])
    dead = stray(one, 1, "dead", attempts=3, error="bad", evidence="trace")
    commit(store, strays=dead | stray(one, 2, "done", attempts=1))
    (first, second), last, over = store.read_results(1, 0, 10**6)
    assert [(e.start, e.stop) for e in first.ended] == [(0, 1), (2, 3)]
    assert first.keys == ["a", "b", "c"]
    (letter,) = first.dead
    assert (letter.task, letter.attempts, letter.error, letter.evidence) == (2, 3, "bad", "trace")
    assert first.attempts == {2: 3, 3: 1}
    assert (second.first, second.keys, last, over) == (4, None, 2, True)


def test_results_leave_out_blocks_of_which_nothing_has_ended(store: Store) -> None:
    one, two = block(1, 1, 3), block(2, 4, 2)
    commit(store, one, two, strays=stray(one, 0), outcomes=[outcome(1, two, 0, 1)])
    (found,), last, over = store.read_results(1, 0, 10**6)
    assert (found.first, last, over) == (4, 2, True)


def test_pages_of_results_hold_everything_once(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks, outcomes=[outcome(b.id, b, 0, 1) for b in blocks])
    seen, pages, after, over = [], 0, 0, False
    while not over:
        found, after, over = store.read_results(1, after, 5_000)
        seen += [b.first for b in found]
        pages += 1
    assert seen == list(range(1, 101))
    assert pages > 3


def test_a_page_of_results_ends_even_where_nothing_has_ended(store: Store) -> None:
    """A turn that looks through all waiting blocks would stop the master for that long."""
    commit(store, *[block(n, n, 1) for n in range(1, 101)])
    found, last, over = store.read_results(1, 0, 5_000)
    assert (found, over) == ([], False)
    assert last < 100


# --- one master at a time ---


def test_a_second_master_is_told_who_has_the_store(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreBusyError, match="process id"):
        SqliteStore(tmp_path / "data")


def test_a_killed_masters_store_opens_with_what_it_has_committed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from master.changes import BlockRecord, Changes, RunRecord\n"
        "from master.store.sqlite import SqliteStore\n"
        "from master.store.writing import write\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        "store.commit(Changes(blocks=[BlockRecord(1, 0, 1, 1, b'L\\x91\\x07')]))\n"
        "store._db.execute('BEGIN IMMEDIATE')\n"
        "write(store._db, Changes(blocks=[BlockRecord(2, 0, 2, 1, b'L\\x91\\x08')]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert killed.returncode == -9
    store = SqliteStore(tmp_path)
    assert ranges(store, run=QUEUE_RUN) == [(1, [(0, 1)])]
    store.close()


def test_a_store_of_another_release_is_refused_in_one_line(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="schema 99"):
        SqliteStore(tmp_path)


def test_a_file_that_is_no_store_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"queue\.sqlite3"):
        SqliteStore(tmp_path)

"""What only the embedded store has: its file, its lock, its schema, its space, its plans."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master.changes import QUEUE_RUN, Delivered, Place, RunCounts
from master.reads import RunsSought
from master.store.relational.read.letters import LOOK_BYTES
from master.store.sqlite.engine import SqliteStore
from master.store.sqlite.schema.file import SCHEMA_VERSION
from master.task_lists import Stand, TasksSought
from queue_manager.errors import StoreBusyError, StoreError
from queue_manager.wire.failures import FailureFilter
from tests.asked import block_states, run_of_key, taken_keys
from tests.unit.master.store_records import (
    LIMITED,
    block,
    commit,
    drop_all,
    loaded,
    outcome,
    ranges,
    revived,
    run_record,
    tracked,
    tracked_of,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "data")
    yield made
    made.close()


def pragma(store: SqliteStore, name: str) -> Any:
    return store._db.execute(f"PRAGMA {name}").fetchone()[0]


# --- who may read it ---


def test_a_new_store_is_nobody_elses_to_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = SqliteStore(tmp_path / "data")
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert {name: mode for name, mode in modes.items() if name.startswith("queue.")} == {
        "queue.sqlite3": 0o600,
        "queue.sqlite3-wal": 0o600,
        "queue.sqlite3-shm": 0o600,
    }


# --- one master at a time ---


def test_a_second_master_is_told_who_has_the_store(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(StoreBusyError, match="process id"):
        SqliteStore(tmp_path / "data")


def test_a_killed_masters_store_opens_with_what_it_has_committed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from master.changes import BlockRecord, Changes, RunRecord\n"
        "from master.store.sqlite.engine import SqliteStore\n"
        "from master.store.relational.writing import write\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        "store.commit(Changes(blocks=[BlockRecord(1, 0, 1, 1, b'L\\x91\\x07')]))\n"
        "store._db.execute('BEGIN IMMEDIATE')\n"
        "write(store._database, Changes(blocks=[BlockRecord(2, 0, 2, 1, b'L\\x91\\x08')]), {})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert killed.returncode == -9
    store = SqliteStore(tmp_path)
    assert ranges(store, run=QUEUE_RUN) == [(1, [(0, 1)])]
    store.close()


# --- what goes wrong ---


def test_the_file_syncs_every_commit_and_can_shrink(store: SqliteStore) -> None:
    settings = {name: pragma(store, name) for name in ("journal_mode", "synchronous")}
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    assert (pragma(store, "auto_vacuum"), pragma(store, "user_version")) == (2, SCHEMA_VERSION)


def test_the_log_is_moved_into_the_file_sooner_while_letters_are_tried_again(
    store: SqliteStore,
) -> None:
    one = block(1, 1, 2)
    commit(store, one, tracked=tracked(one, 0, "dead", seq=3))
    assert pragma(store, "wal_autocheckpoint") == 4_000
    commit(store, revived=revived(9.0, 1))
    assert pragma(store, "wal_autocheckpoint") == 1_000
    commit(store, block(2, 3, 2))
    assert pragma(store, "wal_autocheckpoint") == 4_000


def test_a_store_of_another_release_is_refused_in_one_line(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(
        StoreError, match=f"schema 99, this release knows {SCHEMA_VERSION}: use the release"
    ):
        SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="schema 99"):  # and it is not held
        SqliteStore(tmp_path)


@pytest.mark.parametrize("kind", ["no database", "a folder"])
def test_a_file_that_is_no_store_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "queue.sqlite3"
    path.mkdir() if kind == "a folder" else path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"can't use \S+queue\.sqlite3: [^\n]+$"):
        SqliteStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"can't use \S+data: [^\n]+$"):
        SqliteStore(tmp_path / "file" / "data")


VERBS: dict[str, Callable[[SqliteStore], Any]] = {
    "load": lambda s: s.load(),
    "load_run": lambda s: s.load_run(1),
    "ended_runs": lambda s: s.ended_runs(9, 9),
    "count_ended": lambda s: s.count_ended(9),
    "old_runs": lambda s: s.old_runs(5.0, 9),
    "commit": lambda s: commit(s, block(10, 6, 1, run=2, keys=["f"])),
    "read_waiting": lambda s: s.read_waiting(1, None, Place(0, 0), 10),
    "read_waiting of a group": lambda s: s.read_waiting(1, "g", Place(0, 0), 10),
    "read_tracked": lambda s: s.read_tracked(1, None, (0.0, 0), 10),
    "next_groups": lambda s: s.next_groups(1, None, 9),
    "due_groups": lambda s: s.due_groups(1, (0.0, 0), 5.0, 9),
    "set_clock": lambda s: s.set_clock(1, 5.0),
    "cap_delays": lambda s: s.cap_delays(5.0),
    "read_blocks": lambda s: block_states(s, {1: (0, 2), 2: (0, 2)}),
    "read_body": lambda s: s.read_body(1),
    "taken_keys": lambda s: taken_keys(s, 2, ["a"]),
    "find_run": lambda s: run_of_key(s, "k"),
    "read_outcomes": lambda s: s.read_outcomes(1, 0, 10),
    "read_last_outcomes": lambda s: s.read_last_outcomes(1, 10),
    "mark": lambda s: s.mark(9.0, 1, 5.0),
    "prune_queue": lambda s: s.prune_queue(9, 9.0, 0, 9),
    "prune_letters": lambda s: s.prune_letters(9, 9.0, 0, 9),
    "read_results": lambda s: s.read_results(1, 1, 10**6),
    "read dead letters": lambda s: s.read_results(1, 0, 10**6, dead=True),
    "read_chosen": lambda s: s.read_chosen(1, 0, 10**6, FailureFilter()),
    "find_ended": lambda s: s.find_ended(RunsSought(9, 9, text="x")),
    "read_task": lambda s: s.read_task(1, 3),
    "find_tasks": lambda s: s.find_tasks(TasksSought(1, frozenset(Stand), 0, 99, 5.0)),
    "read_tries": lambda s: s.read_tries(1, 3),
    "accepted_marks": lambda s: s.accepted_marks(),
    "runs_ended": lambda s: s.runs_ended(),
    "drop_some": lambda s: s.drop_some(10),
    "shrink": lambda s: s.shrink(10),
}
WRITING = ("commit", "set_clock", "cap_delays", "drop_some")


def fill(store: SqliteStore) -> None:
    """Something for every verb to find."""
    blocks = [block(n, 10 * n, 10, priority=n % 3) for n in range(1, 8)]
    blocks.append(block(8, 1, 4, run=2, group="g", keys=list("abcd")))
    outcomes = [outcome(b.id, b, 0, 5) for b in blocks[:6]]
    records = tracked(blocks[0], 6, "dead") | tracked(blocks[1], 7)
    runs = {1: run_record(key="k"), 2: run_record(2, options=LIMITED)}
    commit(store, *blocks, outcomes=outcomes, tracked=records, runs=runs)
    store._database.keys.limit = 0  # have the keys of before in the tree
    commit(store, block(9, 5, 1, run=2, keys=["e"]))


@pytest.mark.parametrize("verb", [*VERBS])
def test_every_verb_tells_in_one_line_that_the_file_is_broken(tmp_path: Path, verb: str) -> None:
    store = SqliteStore(tmp_path)
    fill(store)
    store._db.close()
    with pytest.raises(StoreError, match=r"^can't (read|write to) \S+queue\.sqlite3: [^\n]+$"):
        VERBS[verb](store)
    store.close()


DAMAGES: dict[str, Callable[[SqliteStore], Any]] = {
    "UPDATE runs SET state = 'lost' WHERE id = 1": lambda s: s.load_run(1),
    "UPDATE runs SET options = x'c1' WHERE id = 1": lambda s: s.load(),
    "UPDATE runs SET words = x'a0' WHERE id = 1": lambda s: run_of_key(s, "k"),
    "UPDATE strays SET state = 'lost' WHERE task = 16": lambda s: s.read_task(1, 16),
    "UPDATE strays SET fate = 'odd' WHERE task = 16": lambda s: s.read_tries(1, 16),
    "UPDATE blocks SET keys = x'c1' WHERE id = 8": lambda s: s.read_task(2, 1),
}


@pytest.mark.parametrize("damage", [*DAMAGES])
def test_a_damaged_row_is_told_in_one_line(store: SqliteStore, damage: str) -> None:
    fill(store)
    DAMAGES[damage](store)
    assert store._db.execute(damage).rowcount == 1
    with pytest.raises(StoreError, match=r"^can't read \S+queue\.sqlite3: a row is damaged: .+$"):
        DAMAGES[damage](store)


def test_a_damaged_row_that_opening_reads_is_told_in_one_line(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store._db.execute("INSERT OR REPLACE INTO meta VALUES ('delivered_behind', x'c1')")
    store.close()
    with pytest.raises(StoreError, match=r"^can't use \S+queue\.sqlite3: a row is damaged: .+$"):
        SqliteStore(tmp_path)


@pytest.mark.parametrize("verb", WRITING)
def test_every_verb_that_writes_tells_that_the_file_is_read_only(
    store: SqliteStore, verb: str
) -> None:
    fill(store)
    commit(store, forgotten={2})
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"can't write to .*readonly"):
        VERBS[verb](store)
    store._db.execute("PRAGMA query_only = OFF")
    VERBS[verb](store)


def test_pages_that_are_overwritten_are_told_of_and_not_believed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    commit(store, *[block(n, 1_000 * n, 1_000) for n in range(1, 50)], runs={1: run_record()})
    store.close()
    path = tmp_path / "queue.sqlite3"
    whole = path.read_bytes()
    path.write_bytes(whole[:4_096] + b"\xff" * (len(whole) - 4_096))
    with pytest.raises(StoreError, match=r"queue\.sqlite3: [^\n]+$"):
        SqliteStore(tmp_path)


def test_a_full_disk_refuses_a_commit_whole_and_takes_it_when_there_is_space(
    store: SqliteStore,
) -> None:
    commit(store, one := block(1, 1, 4), runs={1: run_record()})
    pages = pragma(store, "page_count")
    pragma(store, f"max_page_count = {pages + 2}")
    # The blocks don't fit; all that stands before and behind them would.
    big = [block(n, 1_000 * n, 1_000) for n in range(2, 30)]
    fields: dict[str, Any] = {
        "outcomes": [outcome(1, one, 0, 2)],
        "tracked": tracked(one, 3),
        "runs": {1: run_record(exhausted=True), 2: run_record(2)},
        "counts": {1: RunCounts(9)},
        "workers": {"w": True},
    }
    with pytest.raises(StoreError, match=r"can't write to .*full"):
        commit(store, *big, **fields)
    assert ranges(store) == [(1, [(0, 4)])]
    assert (store.read_outcomes(1, 0, 1)[0], tracked_of(store), store.next_groups(1, None, 9)) == (
        [],
        [],
        ([], True),
    )
    found = loaded(store)
    assert found is not None
    assert (found.record.exhausted, found.counts, loaded(store, 2)) == (False, RunCounts(), None)
    pragma(store, "max_page_count = 1000000")
    commit(store, *big, **fields)
    assert len(ranges(store)) == 29
    assert ranges(store)[0] == (1, [(2, 3)])


# --- space ---


def test_the_file_gets_shorter_when_a_run_is_forgotten(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    blocks = [block(n, 3_000 * n, 3_000) for n in range(1, 300)]
    commit(store, *blocks, runs={1: run_record(state="done")})
    commit(store, outcomes=[outcome(b.id, b, 0, 3_000) for b in blocks])
    kept = block(300, 1, 5, run=2)
    commit(store, kept, runs={2: run_record(2)})

    def size() -> int:
        return (tmp_path / "queue.sqlite3").stat().st_size

    while store.shrink(100):
        pass
    before = size()
    assert not store.shrink(100)
    commit(store, forgotten={1})
    steps = drop_all(store, 100)
    assert steps > 12  # wide rows count for more than one
    free = pragma(store, "freelist_count")
    assert store.shrink(100)
    assert pragma(store, "freelist_count") == free - 100
    while store.shrink(100):
        pass
    assert size() < before / 20
    assert store.read_body(300) == kept.body
    store.close()


# --- plans ---


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("load", "shrink")])
def test_no_verb_scans_a_table(store: SqliteStore, verb: str) -> None:
    """But of few rows: the runs, the workers, what is to be dropped."""
    fill(store)
    commit(store, forgotten={2}) if verb == "drop_some" else None
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    VERBS[verb](store)
    store._db.set_trace_callback(None)
    assert statements
    for statement in statements:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", statement):
            plan = [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            scans = [
                step
                for step in plan
                if re.match(r"SCAN (blocks|outcomes|strays|keys|fresh_keys|b|s)\b", step)
            ]
            assert not scans, (statement, plan)
            # What is put together from several indexes is of one block, or a row a group.
            assert "UNION" in statement.split() or not [
                step for step in plan if "TEMP" in step and "RIGHT PART" not in step
            ]


def test_letters_of_a_failure_are_found_by_its_index_however_many_others_there_are(
    store: SqliteStore,
) -> None:
    """A page ends after so many looks: letters of other failures would take most of them."""
    blocks = [block(n + 1, 1 + 1_000 * n, 1_000) for n in range(15)]
    letters = {}
    for one in blocks:
        for at in range(one.count):
            error = "KeyError: 1" if at % 5 == 0 else "OSError: no"
            letters |= tracked(one, at, "dead", seq=one.first + at, error=error)
    commit(store, *blocks, tracked=letters)
    only, limit = FailureFilter(exception="KeyError"), 128_000
    tasks: list[int] = []
    place, complete, pages = 0, False, 0
    while not complete:
        found, place, complete = store.read_chosen(1, place, limit, only)
        tasks += [letter.task for one in found for letter in one.dead]
        pages += 1
    assert tasks == list(range(1, 15_001, 5))
    assert pages < 15_000 * LOOK_BYTES // limit, "as many as for looks at all letters"


def test_a_search_reads_no_row_of_a_run_that_it_does_not_find(store: SqliteStore) -> None:
    """Rows of runs are wide, and those of their texts are narrow."""
    runs = {n: run_record(n, state="done", args=[f"n={n}"]) for n in range(1, 1_001)}
    commit(store, runs=runs)
    store._db.execute("UPDATE runs SET words = x'91a57a65627261'")
    assert store.load_run(9).record.args == ["zebra"]
    assert store.find_ended(RunsSought(2_000, 9, text="zebra")) == ([], 1, True)


def test_very_many_blocks_are_read_by_one_statement_where_all_of_them_wait(
    store: SqliteStore,
) -> None:
    """A worker may come back with 20,000 leases; more is read only of what is not as it came."""
    blocks = [block(n, n, 1) for n in range(1, 2_001)]
    commit(store, *blocks)
    parts = {n: (0, 1) for n in range(1, 2_001)}
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    assert all(state.waiting == [(0, 1)] for state in block_states(store, parts).values())
    assert len(statements) == 1
    commit(store, outcomes=[outcome(1, blocks[0], 0, 1)])
    statements.clear()
    waiting = {n for n, state in block_states(store, parts).items() if state.waiting}
    store._db.set_trace_callback(None)
    assert waiting == parts.keys() - {1}
    assert len(statements) == 3


def test_how_far_readers_have_come_is_written_by_one_statement(store: SqliteStore) -> None:
    """A commit of `get` calls has nothing else to write."""
    commit(store, delivered=Delivered(1, 0))
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    commit(store, delivered=Delivered(2, 3, left=4))
    store._db.set_trace_callback(None)
    written = [text for text in statements if not re.match(r"BEGIN|SELECT|COMMIT", text)]
    assert len(written) == 1


def test_what_has_ended_leaves_the_index_of_what_waits(store: SqliteStore) -> None:
    blocks = [block(n, n, 1, group="g" if n % 2 else None) for n in range(1, 601)]
    commit(store, *blocks, runs={1: run_record()})
    for b in blocks[:550]:
        commit(store, outcomes=[outcome(b.id, b, 0, 1)])
    ((left,),) = store._db.execute("SELECT COUNT(*) FROM blocks WHERE open = 1")
    assert 50 <= left < 50 + 256
    assert len(ranges(store)) + len(ranges(store, group="g")) == 50


def test_ended_runs_are_counted_in_an_index_alone(store: SqliteStore) -> None:
    """A row of a run has its arguments, which may be long."""
    fill(store)
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    store.runs_ended()
    store._db.set_trace_callback(None)
    ((*_, plan),) = store._db.execute(f"EXPLAIN QUERY PLAN {statements[0]}")
    assert "USING COVERING INDEX runs_counted" in plan


def test_the_size_of_a_store_is_that_of_its_files(store: SqliteStore, tmp_path: Path) -> None:
    fill(store)
    size = store.size()
    files = [tmp_path / "data" / name for name in ("queue.sqlite3", "queue.sqlite3-wal")]
    assert [size.file_bytes, size.wal_bytes] == [file.stat().st_size for file in files]
    assert size.wal_bytes > 0
    assert size.free_bytes is not None


def test_the_size_of_a_store_without_a_log_is_that_of_its_file(store: SqliteStore) -> None:
    store._db.execute("PRAGMA journal_mode = DELETE")
    assert store.size().wal_bytes == 0

"""Files that earlier releases wrote, opened by this one."""

from __future__ import annotations

import logging
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from master.changes import Changes, Delivered, GivenArguments, QuotaCounts, RunCounts
from master.failures import GroupsSought, NewestSought
from master.history import Counted
from master.reads import RunsSought
from master.scheduled import ScheduleRecord
from master.store.sqlite.database import STATEMENTS
from master.store.sqlite.engine import SqliteStore
from master.store.sqlite.schema.file import SCHEMA_VERSION
from master.tries import Fate, TryRecord
from queue_manager.errors import StoreError
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import RunOptions
from tests.asked import run_of_key, taken_keys
from tests.unit.master.store_records import (
    block,
    outcome,
    ranges,
    revived,
    run_record,
    tracked,
    tracked_of,
)

NO_TRIES = """
DROP TABLE tries; ALTER TABLE strays DROP COLUMN tries; ALTER TABLE strays DROP COLUMN fate;
ALTER TABLE strays DROP COLUMN ended_at; ALTER TABLE strays DROP COLUMN took_s;
"""
"""Takes away what version 13 has more than version 12."""
NO_GROUPS = f"""
DROP INDEX strays_failures; DROP INDEX strays_of_failure; DROP TABLE failures;
ALTER TABLE strays DROP COLUMN failure; {NO_TRIES}
"""
"""Takes away what versions 10 and 13 have more than version 9."""

SCHEMA_1 = Path(__file__).parent / "data" / "schema_1.sql"
SCHEMA_2 = SCHEMA_1.with_name("schema_2.sql")
SCHEMA_4 = SCHEMA_1.with_name("schema_4.sql")
UNTRACED = "ALTER TABLE runs DROP COLUMN traceparent"
"""Version 11 has added it."""
SCHEMA_6 = SCHEMA_1.with_name("schema_6.sql")


def pragma(store: SqliteStore, name: str) -> Any:
    return store._db.execute(f"PRAGMA {name}").fetchone()[0]


def old_file(folder: Path, version: int = 1) -> None:
    """A file as release 0.1.0 left it: a queue run, and a run in the middle of its work."""
    folder.mkdir()
    pack = msgspec.msgpack.encode
    db = sqlite3.connect(folder / "queue.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA_1.read_text("utf-8") + f"PRAGMA user_version = {version};")
    run = "INSERT INTO runs VALUES (?, ?, ?, 'active', ?, 1.5, NULL, ?, 0, ?, ?, ?)"
    words, options = pack(["a=1", "痛点"]), pack([7, 8, 9.5])
    db.execute(run, (0, "", None, 0, 0, 0, pack([]), pack([])))
    db.execute(run, (1, "job", "k", 1, 3, 2, words, options))
    db.execute("INSERT INTO meta VALUES ('epoch', 4), ('delivered_seq', 5), ('delivered_index', 1)")
    blocks = [block(1, 1, 10), block(2, 11, 2, keys=["a", "b"]), block(3, 13, 2, priority=3)]
    blocks += [block(4, 15, 1, group="g")]
    for b in blocks:
        accepted = 0 if b.keys else b.count
        keys = None if b.keys is None else pack(b.keys)
        values = (b.id, 1, b.priority, b.first, b.count, accepted, b.group, keys, b.body)
        db.execute(f"INSERT INTO blocks VALUES ({','.join('?' * 9)})", values)
    db.execute("INSERT INTO keys VALUES (1, 'a'), (1, 'b')")
    outcomes = [outcome(5, blocks[0], 0, 4), outcome(6, blocks[2], 0, 2)]
    for o in outcomes:
        values = (o.seq, 1, o.block, o.first, o.start, o.stop, o.results)
        db.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    db.execute("INSERT INTO outcomes VALUES (7, 0, 0, 0, 0, 1, x'00')")
    insert = "INSERT INTO strays VALUES (1, ?, 1, ?, 0, ?, 2, 1, 3.0, 9.0, 'bad', 'trace')"
    for task, state in ((1, "done"), (6, "dead"), (7, "waiting"), (8, "waiting")):
        db.execute(insert, (task, task - 1, state))
    db.close()


def schema(folder: Path) -> set[str]:
    db = sqlite3.connect(folder / "queue.sqlite3")
    found = {
        re.sub(r"\s*([,()])\s*", r"\1", re.sub(r'[\s"]+', " ", sql))
        for (sql,) in db.execute("SELECT sql FROM sqlite_master")
        if sql
    }
    db.close()
    return found


def test_a_file_of_schema_1_is_brought_to_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old_file(tmp_path / "old")
    with caplog.at_level(logging.INFO):
        store = SqliteStore(tmp_path / "old")
    assert f"has schema 1: bringing it to {SCHEMA_VERSION}" in caplog.text
    queue, run = store.load()
    assert (queue.record.options, queue.counts) == (RunOptions(), RunCounts(last_seq=7))
    assert run.record == run_record(key="k", exhausted=True, collected=3, collected_into=2)
    assert run.record.options.needs == []
    assert run.counts == RunCounts(15, 13, 6, 1, 2, 6, last_dead=8, died=1, told=Counted(6, 1))
    assert (store.epoch, store.delivered) == (5, Delivered(5, 1))
    assert (store.next_run, store.next_block, store.next_seq) == (2, 5, 9)
    assert ranges(store) == [(1, [(4, 5), (8, 10)]), (2, [(0, 2)]), (4, [(0, 1)])]
    assert [s.task for s in tracked_of(store)] == [7, 8]
    assert (taken_keys(store, 1, ["a", "c"]), run_of_key(store, "k")) == ({"a"}, 1)
    (letters,) = store.read_results(1, 0, 10**6, dead=True)[0]
    assert [(d.task, d.evidence, d.seq) for d in letters.dead] == [(6, "trace", 8)]
    assert store.read_letters(1, 7, 10**6) == (letters.dead, True)
    assert pragma(store, "auto_vacuum") == 2
    open_blocks = store._db.execute("SELECT id FROM blocks WHERE open = 1 ORDER BY id")
    assert [number for (number,) in open_blocks] == [1, 2, 4]
    assert pragma(store, "integrity_check") == "ok"
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


@pytest.mark.parametrize(("version", "tables"), [(2, SCHEMA_2), (4, SCHEMA_4)])
def test_a_later_file_gets_what_it_lacks(tmp_path: Path, version: int, tables: Path) -> None:
    SqliteStore(tmp_path / "new").close()
    (tmp_path / "old").mkdir()
    db = sqlite3.connect(tmp_path / "old" / "queue.sqlite3", isolation_level=None)
    db.executescript(tables.read_text("utf-8") + f"PRAGMA user_version = {version};")
    db.execute("INSERT INTO workers VALUES ('w')")
    db.close()
    store = SqliteStore(tmp_path / "old")
    store.commit(Changes(quotas={(1, "pages"): QuotaCounts(1, 2)}))
    assert (store.workers, store.quotas(1, 9)) == ({"w"}, {"pages": QuotaCounts(1, 2)})
    assert pragma(store, "user_version") == SCHEMA_VERSION
    store.close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_a_file_of_schema_8_gets_the_indexes_of_runs(tmp_path: Path) -> None:
    for folder in ("new", "old"):
        SqliteStore(tmp_path / folder).close()
    db = sqlite3.connect(tmp_path / "old" / "queue.sqlite3", isolation_level=None)
    for index in ("runs_of_job", "runs_of_state", "runs_of_job_and_state"):
        db.execute(f"DROP INDEX {index}")
    db.execute(UNTRACED)
    db.executescript(f"{NO_GROUPS} PRAGMA user_version = 8;")
    db.close()
    SqliteStore(tmp_path / "old").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_runs_of_schema_10_have_no_traceparent_and_new_ones_keep_theirs(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "old")
    store.commit(Changes(runs={1: run_record(1)}))
    store._db.executescript(f"{UNTRACED}; {NO_TRIES} PRAGMA user_version = 10;")
    store.close()
    store = SqliteStore(tmp_path / "old")
    store.commit(Changes(runs={2: run_record(2, traceparent="00-a-b-01")}))
    found = {run.record.id: run.record.traceparent for run in store.load()}
    assert found == {0: "", 1: "", 2: "00-a-b-01"}
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_ended_runs_of_schema_11_are_found_by_their_texts(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "old")
    long = ["count=6", "x" * 9_999]
    given = GivenArguments(b"", ["where=Here"])
    runs = {
        1: run_record(1, state="done", job="squares", args=["count=5"], key="K"),
        2: run_record(2, state="failed", arguments=given),
        3: run_record(3, state="done", args=long),
        4: run_record(4, args=["count=5"]),
    }
    store.commit(Changes(runs=runs))
    kept = store._db.execute("SELECT * FROM texts").fetchall()
    assert [run for run, _ in kept] == [1, 2]
    no_texts = f"DROP TABLE texts; DROP INDEX strays_of_failure; {NO_TRIES}"
    store._db.executescript(f"{no_texts} PRAGMA user_version = 11;")
    store.close()
    store = SqliteStore(tmp_path / "old")
    assert store._db.execute("SELECT * FROM texts").fetchall() == kept
    for text, number in (("COUNT=5", 1), ("k", 1), ("where=here", 2), ("count=6", 3)):
        (found,) = store.find_ended(RunsSought(99, 9, text=text)).runs
        assert found.record.id == number
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_dead_letters_of_schema_4_get_numbers_behind_all_outcomes(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "new").close()
    (tmp_path / "old").mkdir()
    db = sqlite3.connect(tmp_path / "old" / "queue.sqlite3", isolation_level=None)
    db.executescript(SCHEMA_4.read_text("utf-8") + "PRAGMA user_version = 4;")
    pack = msgspec.msgpack.encode
    run = "INSERT INTO runs VALUES (?, 'job', NULL, 'active', 0, 0, NULL, 0, 0, 0, '', 0, 9"
    for number in (0, 1, 2):
        db.execute(f"{run}, 0, 0, 2, 1, 0, ?, ?, 0)", (number, pack([]), pack([])))
    stray = "INSERT INTO strays VALUES (?, ?, 1, 0, 0, ?, 1, 0, 0, 0, NULL, 0, 'w', 'e', 'ev', 'p')"
    for number, task, state in ((1, 1, "dead"), (1, 2, "waiting"), (2, 7, "dead"), (1, 4, "dead")):
        db.execute(stray, (number, task, state))
    db.execute("INSERT INTO outcomes VALUES (11, 1, 5, 1, 0, 1, x'4c9100')")
    db.execute("INSERT INTO meta VALUES ('next_seq', 20)")
    db.close()
    store = SqliteStore(tmp_path / "old")
    told = [[(d.task, d.seq) for d in store.read_letters(n, 0, 10**6)[0]] for n in (1, 2)]
    assert told == [[(1, 21), (4, 22)], [(7, 23)]]
    assert [run.counts.last_dead for run in store.load()] == [0, 22, 23]
    assert store.next_seq == 24
    assert [s.task for s in tracked_of(store)] == [2]
    store.close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_a_migration_that_is_broken_off_leaves_the_old_file_and_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(tmp_path / "old")
    before = schema(tmp_path / "old")
    broken = {**STATEMENTS._texts, "close_blocks": "SELECT * FROM a_table_that_is_not_there"}
    monkeypatch.setattr(STATEMENTS, "_texts", broken)
    monkeypatch.setattr(STATEMENTS, "_made", {})
    with pytest.raises(StoreError, match=r"can't use \S+queue\.sqlite3: [^\n]+$"):
        SqliteStore(tmp_path / "old")
    assert schema(tmp_path / "old") == before
    monkeypatch.undo()
    store = SqliteStore(tmp_path / "old")
    assert len(store.load()) == 2
    store.close()


def test_a_file_that_could_not_be_written_anew_is_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(tmp_path / "old")
    monkeypatch.setattr("master.store.sqlite.schema.file.give_space_back", lambda db, path: None)
    store = SqliteStore(tmp_path / "old")
    assert pragma(store, "auto_vacuum") == 0
    store.close()
    monkeypatch.undo()
    store = SqliteStore(tmp_path / "old")
    assert pragma(store, "auto_vacuum") == 2
    store.close()


@pytest.mark.parametrize("version", [5, 6])
def test_a_file_of_schema_5_or_6_gets_what_it_lacks_and_keeps_its_runs(
    tmp_path: Path, version: int
) -> None:
    """What was done before has no minute, so it is taken for told."""
    (tmp_path / "old").mkdir()
    db = sqlite3.connect(tmp_path / "old" / "queue.sqlite3", isolation_level=None)
    db.executescript(SCHEMA_6.read_text("utf-8") + f"PRAGMA user_version = {version};")
    if version == 5:
        db.execute("DROP TABLE schedules")
    insert = (
        "INSERT INTO runs VALUES (?, 'job', ?, 'active', 0, 0, NULL, 0, 0, 0, '', 0,"
        " 9, 0, 5, 2, 0, 0, x'90', x'90', 1, 0, x'90', x'90', x'90', 0)"
    )
    for number, key in ((0, None), (1, "k")):
        db.execute(insert, (number, key))
    db.close()
    store = SqliteStore(tmp_path / "old")
    assert pragma(store, "user_version") == SCHEMA_VERSION
    assert store.schedules() == []
    store.commit(Changes(schedules={"a": ScheduleRecord("a", "@daily", "job")}))
    assert [run.record.key for run in store.load()] == [None, "k"]
    told = Counted(done=5, died=3)
    counts = RunCounts(9, done=5, dead=2, pruned=1, died=3, told=told)
    assert [run.counts for run in store.load()] == [counts, counts]
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_tracked_tasks_of_schema_7_get_a_place_for_the_notes_of_retries(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "old")
    one = block(1, 1, 2)
    store.commit(
        Changes(blocks=[one], runs={1: run_record(1)}, tracked=tracked(one, 0, "dead", seq=3))
    )
    no_notes = "ALTER TABLE strays DROP COLUMN retries;"
    store._db.executescript(f"{NO_GROUPS} {no_notes} PRAGMA user_version = 7;")
    store._db.execute(UNTRACED)
    store.close()
    store = SqliteStore(tmp_path / "old")
    assert pragma(store, "user_version") == SCHEMA_VERSION
    store.commit(Changes(revived=revived(9.0, 1, reason="mended")))
    (again,) = tracked_of(store)
    assert [note.reason for note in again.retries] == ["mended"]
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_dead_letters_of_schema_9_get_their_groups(tmp_path: Path) -> None:
    of = block(1, 1, 9)
    store = SqliteStore(tmp_path / "old")
    letters = {}
    for at, error in enumerate(["KeyError: 1", "KeyError: 2", "OSError: no"]):
        fields: dict[str, Any] = {"seq": at + 1, "due_at": 5.0 + at, "worker": "h/1"}
        evidence = f'Traceback\n  File "/jobs/a.py", line {at // 2}, in work\n{error}'
        letters |= tracked(of, at, "dead", error=error, evidence=evidence, **fields)
    store.commit(Changes(runs={1: run_record(1)}, blocks=[of], tracked=letters))
    before = store.find_groups(GroupsSought(99, 9)).groups
    assert [(g.exception, g.place, g.count) for g, _ in before] == [
        ("OSError", "a.py:1", 1),
        ("KeyError", "a.py:0", 2),
    ]
    store._db.executescript(f"{NO_GROUPS} {UNTRACED}; PRAGMA user_version = 9;")
    store.close()
    store = SqliteStore(tmp_path / "old")
    after = store.find_groups(GroupsSought(99, 9)).groups
    assert [replace(g, id=0) for g, _ in after] == [replace(g, id=0) for g, _ in before]
    found = store.find_letters(NewestSought(1, FailureFilter(exception="KeyError"), 99, 9))
    assert [letter.task for letter in found.letters] == [2, 1]
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_tracked_tasks_of_schema_12_keep_the_try_that_is_known_of_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "old")
    one = block(1, 1, 3)
    known = {"error": "ValueError: no", "evidence": "trace", "worker": "h/1"}
    failed = tracked(one, 0, attempts=2, losses=1, **known)
    delayed = tracked(one, 1, attempts=0, delay_s=9.0)
    store.commit(Changes(blocks=[one], runs={1: run_record(1)}, tracked=failed | delayed))
    store._db.executescript(f"{NO_TRIES} PRAGMA user_version = 12;")
    store.close()
    store = SqliteStore(tmp_path / "old")
    assert pragma(store, "user_version") == SCHEMA_VERSION
    before = TryRecord(3, Fate.FAILED, 0.0, None, "h/1", "ValueError: no", "trace", "", b"")
    assert (store.read_tries(1, 1), store.read_tries(1, 2)) == ([before], [])
    again = tracked(one, 0, attempts=3, losses=1, tries=4, fate=Fate.FAILED, error="again")
    store.commit(Changes(tracked=again))
    assert [one.number for one in store.read_tries(1, 1)] == [4, 3]
    assert store.read_tries(1, 1)[1] == before
    store.close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "old") == schema(tmp_path / "new")

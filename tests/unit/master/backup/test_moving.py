"""A store at rest goes to the other engine and back, and is the same; nothing else changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from master.backup.moving import move as module
from master.backup.moving.ends import OWN, TABLES
from master.backup.moving.hashing import Sum
from master.backup.moving.move import move, raise_numbers
from master.backup.moving.postgres_end import PostgresEnd
from master.backup.moving.sqlite_end import SqliteEnd
from master.changes import Changes, Delivered, GroupRecord, QuotaCounts, RunCounts
from master.history import HistoryRecord, Standing
from master.scheduled import ScheduleRecord
from master.store.contract import Store
from master.store.postgres.address import parse_address
from master.store.sqlite.engine import SqliteStore
from queue_manager.errors import (
    InputError,
    SettingsError,
    StoreBusyError,
    StoreError,
    UnstorableError,
)
from queue_manager.wire.records import GroupLimit
from tests.unit.master.store_records import (
    PostgresEngine,
    block,
    commit,
    drop_all,
    outcome,
    revived,
    run_record,
    tracked,
)


def quiet(what: str, done: int, count: int) -> None:
    pass


def fill(store: Store) -> None:
    """Something in each table, also what one engine keeps in another way."""
    one = block(1, 0, 50, keys=[f"key {n}" for n in range(50)])
    two = block(2, 50, 3, group="a\0b", priority=-1)
    other = block(3, 0, 9, run=2, keys=[f"key {n}" for n in range(9)])
    commit(store, one, two, runs={1: run_record(), 2: run_record(2, key="名", job="a\U0010fffdb")})
    commit(store, other, outcomes=[outcome(1, one, 0, 7)], code={"v1": {"f.py": b"\0\x01"}})
    dead: dict[str, Any] = {"evidence": "raised\0", "error": "KeyError: 'x'", "raised": b"\x90"}
    commit(store, tracked=tracked(one, 8, "dead", seq=2, tries=1, ended_at=5.5, **dead))
    commit(store, tracked=tracked(one, 9, "dead", seq=3, tries=2, took_s=0.25, **dead))
    commit(store, tracked=tracked(one, 9, "dead", seq=4, tries=3, **dead))
    commit(store, revived=revived(7.5, 8, reason="why", by="who"))
    commit(
        store,
        quotas={(1, "q"): QuotaCounts(3, 4)},
        groups={(1, "g"): GroupRecord(GroupLimit(2, 0.5), 1.5, 2.5)},
        history=[HistoryRecord(1, 60, 60, 1, 2, 3, 4.5, Standing(1, 2, 3, 4, 5))],
        workers={"w\0": True},
        delivered=Delivered(1, 2, ((3, 4),), 5),
        counts={1: RunCounts(tasks=53, accepted=50, done=7, dead=1, busy_s=0.5, last_seq=1)},
        schedules={"s": ScheduleRecord("s", "* * * * *", "job", waiting=[1.5])},
    )
    ended = block(4, 0, 2, run=3, keys=["x", "y"])
    commit(store, ended, runs={3: run_record(3, ended_at=9.0)})
    commit(store, outcomes=[outcome(5, ended, 0, 2)], runs={3: run_record(3, state="done")})
    commit(store, block(5, 0, 2, run=4), runs={4: run_record(4)})
    commit(store, forgotten={4})  # its rows are still to go
    store.mark(10.0, 3, 1.0)
    store.note_clock(1e9, 0.5)


def told(store: Store) -> list[object]:
    """What a master reads of a store."""
    ranges, _ = store.read_waiting(1, None, None, 10**6)
    return [
        store.load(),
        store.load_run(3),
        store.identity,
        (store.next_run, store.next_block, store.next_seq),
        store.delivered,
        store.workers,
        [(found.id, found.ranges) for found in ranges],
        store.read_waiting(1, "a\0b", None, 10**6),
        store.read_tracked(1, None, None, 100),
        store.read_results(1, -1, 10**6),
        store.read_task(1, 9),
        store.find_task(1, "key 7"),
        store.quotas(1, 10),
        store.own_groups(1),
        store.schedules(),
        store.clock_seen,
    ]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    with closing(SqliteStore(folder)) as store:
        fill(store)
    return folder


@pytest.fixture
def engine(kept_store_url: str) -> Iterator[PostgresEngine]:
    made = PostgresEngine(kept_store_url)
    made.open().close()
    yield made
    made.close()


def test_a_store_goes_to_postgresql_and_back(
    filled: Path, engine: PostgresEngine, kept_store_url: str, tmp_path: Path
) -> None:
    with closing(SqliteStore(filled)) as store:
        before, epoch = told(store), store.epoch
    shown: list[tuple[str, int, int]] = []
    moved = move(str(filled), kept_store_url, replace=False, show=lambda *one: shown.append(one))
    assert (moved.runs, moved.tasks) == (3, 53)
    assert {what for what, _, _ in shown} == {*TABLES, *(f"checking {name}" for name in TABLES)}
    opened = engine.open()
    assert told(opened) == before
    assert opened.epoch > epoch
    commit(opened, block(opened.next_block, 53, 4), counts={1: RunCounts(tasks=57, done=7)})
    opened.mark(20.0, 4, 1.0)
    after = told(opened)
    epoch = opened.epoch
    opened.close()
    (tmp_path / "url").write_text(kept_store_url + "\n")
    back = tmp_path / "back"
    assert move(str(tmp_path / "url"), str(back), replace=False, show=quiet).tasks == 57
    with closing(SqliteStore(back)) as store:
        found = told(store)
        assert found[:3] == after[:3]
        assert found[4:] == after[4:]
        assert store.epoch > epoch
        with pytest.raises(UnstorableError, match="a key is taken"):
            store.commit(Changes(blocks=[block(store.next_block, 57, 1, keys=["key 7"])]))
        drop_all(store)


def test_fresh_keys_and_moved_ones_are_all_there(
    tmp_path: Path, engine: PostgresEngine, kept_store_url: str
) -> None:
    folder = tmp_path / "data"
    with closing(SqliteStore(folder)) as store:
        store._database.keys.limit = 500
        commit(store, runs={1: run_record()})
        for at in range(0, 3_000, 100):
            keys = [f"key {n}" for n in range(at, at + 100)]
            commit(store, block(1 + at // 100, at, 100, keys=keys))
    with closing(SqliteEnd(folder, new=False)) as end:
        rows = list(end.rows("keys"))
        assert len(rows) == len(set(rows)) == 3_000
    move(str(folder), kept_store_url, replace=False, show=quiet)
    move(kept_store_url, str(tmp_path / "back"), replace=False, show=quiet)
    with closing(SqliteStore(tmp_path / "back")) as store:
        keys = store._database.keys
        assert len(keys.taken(1, [f"key {n}" for n in range(3_000)])) == 3_000
        assert not keys.taken(1, ["another"])


def test_a_store_that_is_there_stays_unless_it_is_to_be_replaced(
    filled: Path, engine: PostgresEngine, kept_store_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with closing(SqliteStore(other)) as store:
        commit(store, runs={1: run_record(job="other")})
    with pytest.raises(StoreError, match="has a store: give another folder, or --replace"):
        move(str(filled), str(other), replace=False, show=quiet)
    move(str(filled), str(other), replace=True, show=quiet)
    (kept,) = other.glob("before-migrate-*")
    with closing(sqlite3.connect(kept / "queue.sqlite3")) as db:
        assert db.execute("SELECT job FROM runs WHERE id = 1").fetchone() == ("other",)
    move(str(filled), kept_store_url, replace=False, show=quiet)
    with pytest.raises(StoreError, match="has a store: name another one, or --replace"):
        move(str(filled), kept_store_url, replace=False, show=quiet)
    move(str(filled), kept_store_url, replace=True, show=quiet)


@pytest.mark.parametrize("way", ["to PostgreSQL", "to SQLite"])
def test_a_move_that_fails_changes_nothing(
    way: str,
    filled: Path,
    engine: PostgresEngine,
    kept_store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = kept_store_url if way == "to PostgreSQL" else str(tmp_path / "new")
    end = PostgresEnd if way == "to PostgreSQL" else SqliteEnd
    written = end.write

    def lossy(self: Any, table: str, rows: Any) -> None:
        written(self, table, list(rows)[:-1] if table == "outcomes" else rows)

    with monkeypatch.context() as patched:
        patched.setattr(end, "write", lossy)
        with pytest.raises(StoreError, match="the table outcomes is not the same after the copy"):
            move(str(filled), target, replace=False, show=quiet)
    if way == "to SQLite":
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["lock"]
    assert move(str(filled), target, replace=False, show=quiet).runs == 3  # it is empty still


def test_who_has_a_store_is_named_and_nothing_is_touched(
    filled: Path, engine: PostgresEngine, kept_store_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    SqliteStore(other).close()
    with closing(SqliteStore(filled)):
        with pytest.raises(StoreBusyError, match="is in use by the master with process id"):
            move(str(filled), str(tmp_path / "new"), replace=False, show=quiet)
        with pytest.raises(StoreBusyError, match="is in use by the master with process id"):
            move(str(other), str(filled), replace=True, show=quiet)
    opened = engine.open()
    with pytest.raises(StoreBusyError, match=r"is in use by .*: stop all masters"):
        move(str(filled), kept_store_url, replace=True, show=quiet)
    opened.close()


def test_what_is_wrong_is_one_line(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FROM and TO are the same store"):
        move(str(filled), str(filled), replace=True, show=quiet)
    with pytest.raises(StoreError, match="there is no store in"):
        move(str(tmp_path / "nothing"), str(tmp_path / "new"), replace=False, show=quiet)
    (tmp_path / "text").write_text("no URL")
    with pytest.raises(InputError, match="has no URL of a database"):
        move(str(tmp_path / "text"), str(filled), replace=False, show=quiet)
    with pytest.raises(SettingsError, match="the URL"):
        move("postgresql://h/d?schema=Wrong", str(filled), replace=False, show=quiet)
    with pytest.raises(StoreError, match=r"can't reach postgresql://127\.0\.0\.1:1/d"):
        move("postgresql://127.0.0.1:1/d", str(tmp_path / "new"), replace=False, show=quiet)


def test_the_columns_are_those_of_both_schemas(
    filled: Path, engine: PostgresEngine, kept_store_url: str
) -> None:
    engine.open().close()
    with closing(sqlite3.connect(filled / "queue.sqlite3")) as db:
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        names = {name for (name,) in db.execute(tables)} - {"fresh_keys", "moved_keys"}
        assert names == set(TABLES)
        for name in names:
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({name})")}
            assert columns == set(TABLES[name].split()), name
    with closing(PostgresEnd(parse_address(kept_store_url), new=False)) as end:
        query = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
        found: dict[str, set[str]] = {}
        for table, column in end._db.execute(query):
            found.setdefault(table, set()).add(column)
    assert found.keys() - {"owner", "masters", "turns"} == TABLES.keys()
    for name in TABLES.keys() - {"meta"}:
        assert found[name] == set(TABLES[name].split()), name
    assert OWN & {"store"} == set()


def test_sums_differ_where_rows_do() -> None:
    rows = [(1, "a", b"x", None, 1.5), (2, "b", b"", 3, 0.0)]
    assert Sum.of(rows) == Sum.of(reversed(rows))
    assert Sum.of(rows) != Sum.of(rows[:1])
    assert Sum.of([(1, "a")]) != Sum.of([(1, b"a")])
    assert module.TABLES is TABLES


def test_a_database_that_was_restored_gives_no_number_twice(
    filled: Path, engine: PostgresEngine, kept_store_url: str
) -> None:
    move(str(filled), kept_store_url, replace=False, show=quiet)
    opened = engine.open()
    before = (opened.next_run, opened.next_block, opened.next_seq, opened.epoch)
    loaded = opened.load()
    opened.close()
    raise_numbers(kept_store_url)
    opened = engine.open()
    after = (opened.next_run, opened.next_block, opened.next_seq, opened.epoch)
    assert opened.load() == loaded
    assert all(new >= old + 1_000 for old, new in zip(before, after, strict=True))

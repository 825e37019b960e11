"""What tests of stores are made of: every engine, opened and broken off; records with defaults."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from master.changes import (
    BlockRecord,
    Changes,
    CollectCursor,
    LoadedRun,
    OutcomeRecord,
    Place,
    Revival,
    RunRecord,
    RunState,
    TrackedRecord,
    TrackedState,
)
from master.store.contract import Store
from master.store.postgres.address import parse_address
from master.store.postgres.engine import PostgresStore
from master.store.postgres.link.connection import close, connect, cut
from master.store.postgres.ownership.claim import Claim
from master.store.postgres.ownership.me import Me
from master.store.postgres.ownership.standby import Standby
from master.store.postgres.ownership.watch import Watch
from master.store.postgres.schema.migration import insert_queue_run
from master.store.sqlite.engine import SqliteStore
from queue_manager import codec
from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.memory_store import MemoryStore


class SqliteEngine:
    """Opens the file; a crash goes on with a copy of what is on the disk at that moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: list[SqliteStore] = []
        self._crashes = 0

    def open(self) -> Store:
        if self._opened:
            self._opened[-1].close()
        self._opened.append(SqliteStore(self._folder / f"data{self._crashes}"))
        return self._opened[-1]

    def crash(self) -> Store:
        data = self._folder / f"data{self._crashes}"
        self._crashes += 1
        shutil.copytree(data, self._folder / f"data{self._crashes}")
        return self.open()

    def close(self) -> None:
        for store in self._opened:
            store.close()


def opened(url: str) -> tuple[PostgresStore, Claim, Watch]:
    """The store of a schema, for a master without another one, whose claim and watch it has."""
    found = Standby(Me(parse_address(url), "tests", "", "1")).wait()
    assert found is not None
    return PostgresStore(found[0]), *found


class PostgresEngine:
    """Opens a schema; a crash ends the sessions without a word of the master's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: list[tuple[PostgresStore, Claim, Watch]] = []

    def open(self) -> Store:
        if self._opened:
            self._opened[-1][0].close()
        return self._open()

    def crash(self) -> Store:
        store, claim, watch = self._opened[-1]
        cut(claim.writer)
        close(watch._connection)  # else a standby waits for a master that seems to live
        store._reader.close()
        return self._open()

    def _open(self) -> Store:
        self._opened.append(opened(self._url))
        return self._opened[-1][0]

    def close(self) -> None:
        """Leave a new store to the next test: that takes less time than making a schema."""
        for store, _, watch in self._opened:
            store.close()
            close(watch._connection)  # the next test's has the same name
        address = parse_address(self._url)
        with connect(address, "tests") as connection:
            connection.execute(_EMPTY)
            insert_queue_run(connection)


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    LOOP
        EXECUTE 'DELETE FROM ' || quote_ident(name)
            || CASE name WHEN 'meta' THEN ' WHERE name <> ''schema_version''' ELSE '' END;
    END LOOP;
    PERFORM setval(pg_get_serial_sequence('failures', 'id'), 1, false);
END
$$
"""


class MemoryEngine:
    """There is no difference between closing it and not."""

    def __init__(self, folder: Path) -> None:
        self._store: MemoryStore | None = None

    def open(self) -> Store:
        self._store = MemoryStore() if self._store is None else self._store.reopen()
        return self._store

    crash = open

    def close(self) -> None:
        pass


Engine = SqliteEngine | MemoryEngine | PostgresEngine
ENGINES = ("sqlite", "memory", "postgres")


def engine_of(request: pytest.FixtureRequest, folder: Path) -> Engine:
    """The engine that a fixture's parameter names."""
    if request.param == "postgres":
        return PostgresEngine(request.getfixturevalue("kept_store_url"))
    return SqliteEngine(folder) if request.param == "sqlite" else MemoryEngine(folder)


LIMITED = RunOptions(per_group=GroupLimit(1))


def run_record(
    id: int = 1,
    *,
    state: str = "active",
    collected: int = 0,
    collected_into: int = 0,
    **fields: Any,
) -> RunRecord:
    values: dict[str, Any] = {
        "job": "job",
        "args": ["a=1", "痛点"],
        "options": RunOptions(7, 8, 9.5),
        "started_at": 1.5,
        "collect_cursor": CollectCursor.at(collected, collected_into),
    }
    return RunRecord(id, state=RunState(state), **(values | fields))


def body(first: int, count: int) -> bytes:
    return codec.encode_batch(list(range(first, first + count)))


def block(id: int, first: int, count: int, run: int = 1, **fields: Any) -> BlockRecord:
    return BlockRecord(id, run, first, count, body(first, count), **fields)


def outcome(seq: int, of: BlockRecord, start: int, stop: int) -> OutcomeRecord:
    results = codec.encode_batch([-n for n in range(of.first + start, of.first + stop)])
    return OutcomeRecord(seq, of.run, of.id, of.first, start, stop, results)


def tracked(
    of: BlockRecord, position: int, state: str = "waiting", **fields: Any
) -> dict[tuple[int, int], TrackedRecord]:
    values: dict[str, Any] = {"attempts": 1, "losses": 0, "priority": of.priority}
    values |= {"group": of.group, **fields}
    task = of.first + position
    record = TrackedRecord(of.run, task, of.id, position, TrackedState(state), **values)
    return {(of.run, record.task): record}


def revived(
    at: float, *tasks: int, run: int = 1, reason: str = "", by: str = ""
) -> dict[int, list[Revival]]:
    """Dead letters of a run that wait again; without tasks all of them."""
    return {run: [Revival(RetryNote(at, by, reason), frozenset(tasks) or None)]}


def commit(store: Store, *blocks: BlockRecord, **fields: Any) -> None:
    store.commit(Changes(blocks=list(blocks), **fields))


def ranges(
    store: Store, run: int = 1, group: str | None = None, after: Place | None = None
) -> list[Any]:
    found, _ = store.read_waiting(run, group, after, 10**9)
    return [(b.id, b.ranges) for b in found]


def tracked_of(store: Store, run: int = 1, group: str | None = None) -> list[TrackedRecord]:
    return store.read_tracked(run, group, None, 10**6)[0]


def loaded(store: Store, run: int = 1) -> LoadedRun | None:
    return store.load_run(run)


def drop_all(store: Store, rows: int = 1_000) -> int:
    """Let all rows go that are to; in how many steps."""
    steps = 0
    while store.drop_some(rows):
        steps += 1
        assert steps < 10_000
    return steps

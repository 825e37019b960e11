"""How the embedded store keeps keys: fresh ones, the tree, the filter, and all of it together."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master.changes import QUEUE_RUN, BlockRecord
from master.store.contract import Store
from master.store.relational.names import first_bits, names_of
from master.store.sqlite.engine import SqliteStore
from master.store.sqlite.filter import PART_BYTES, SLICES, Filter, places
from queue_manager.errors import StoreError
from tests.asked import taken_keys
from tests.unit.master.store_records import (
    Engine,
    MemoryEngine,
    SqliteEngine,
    block,
    commit,
    drop_all,
    run_record,
)

MOST = 300


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """That many may be fresh, in every store that is opened."""
    monkeypatch.setattr("master.store.sqlite.keys.Keys.__init__.__defaults__", (MOST,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "data")
    yield made
    made.close()


def keyed(number: int, count: int, run: int = 1) -> BlockRecord:
    """A block whose keys no other has."""
    return block(number, 1, count, run, keys=[f"{number}/{n}" for n in range(count)])


def one(store: SqliteStore, query: str) -> Any:
    return store._db.execute(query).fetchone()[0]


def names_by_slice(store: SqliteStore) -> list[list[bytes]]:
    return [store._database.keys.fresh.of_slice(number) for number in range(SLICES)]


def fresh_on_disk(store: SqliteStore) -> int:
    return one(store, "SELECT TOTAL(LENGTH(hashes)) / 16 FROM fresh_keys")


# --- fresh keys ---


def test_few_are_fresh_and_a_commit_moves_few(store: SqliteStore) -> None:
    moved = 0
    for number in range(1, 100):
        commit(store, keyed(number, 20))
        assert store._database.keys.fresh.count <= MOST
        before, moved = moved, one(store, "SELECT COUNT(*) FROM keys")
        assert moved - before <= 20 + 15  # as many as came, and the rest of a slice
        assert moved + store._database.keys.fresh.count == 20 * number
        assert fresh_on_disk(store) <= 4 * MOST
    assert taken_keys(store, 1, [f"{n}/7" for n in range(101)]) == {f"{n}/7" for n in range(1, 100)}


def test_what_is_fresh_is_so_after_a_restart_and_nothing_else_is(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    store = engine.open()
    for number in range(1, 60):
        assert isinstance(store, SqliteStore)
        commit(store, keyed(number, 20))
        fresh, moved = names_by_slice(store), store._database.keys._moved
        store = engine.crash()
        assert isinstance(store, SqliteStore)
        assert (names_by_slice(store), store._database.keys._moved) == (fresh, moved)
    engine.close()


def test_a_commit_of_more_than_may_be_fresh_is_moved_by_the_next(store: SqliteStore) -> None:
    commit(store, keyed(1, 5 * MOST))
    assert (store._database.keys.fresh.count, one(store, "SELECT COUNT(*) FROM keys")) == (
        5 * MOST,
        0,
    )
    commit(store, keyed(2, 1))
    assert store._database.keys.fresh.count <= MOST


def test_rows_are_numbered_on_when_all_of_them_have_gone(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    store = engine.open()
    commit(store, runs={1: run_record(state="done")})
    for number in range(1, 4):
        commit(store, keyed(number, MOST))
    commit(store, forgotten={1})
    drop_all(store)
    store = engine.open()
    assert isinstance(store, SqliteStore)
    assert fresh_on_disk(store) == 0
    commit(store, keyed(9, 10, run=2))
    assert len(taken_keys(engine.open(), 2, [f"9/{n}" for n in range(10)])) == 10
    engine.close()


@pytest.mark.parametrize("pruned", [False, True], ids=["forgotten", "pruned"])
def test_a_run_that_goes_has_no_fresh_keys_either(tmp_path: Path, pruned: bool) -> None:
    engine = SqliteEngine(tmp_path)
    store = engine.open()
    commit(store, keyed(1, 50), keyed(2, 30, run=2), runs={1: run_record(), 2: run_record(2)})
    if pruned:
        commit(store, runs={1: run_record(state="pruned")})
    else:
        commit(store, forgotten={1})
    for opened in (lambda: store, engine.crash, engine.open):
        again = opened()
        assert isinstance(again, SqliteStore)
        assert again._database.keys.fresh.count == 30
        assert taken_keys(again, 1, ["1/0"]) == set()
    assert isinstance(again, SqliteStore)
    drop_all(again, 1)
    assert fresh_on_disk(again) == 30
    engine.close()


# --- looking up ---


def test_a_key_is_hashed_and_placed_once_from_its_lookup_to_its_commit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    placed: list[int] = []

    def counting(run: int, keys: Iterable[str]) -> list[bytes]:
        hashed.extend(keys)
        return names_of(run, keys)

    def placing(run: int, first: Iterable[int]) -> list[int]:
        placed.extend(first)
        return places(run, first)

    monkeypatch.setattr("master.store.sqlite.keys.names_of", counting)
    monkeypatch.setattr("master.store.sqlite.keys.places", placing)
    keys = [f"1/{n}" for n in range(10)]
    assert taken_keys(store, 1, keys) == set()
    commit(store, keyed(1, 10))
    assert (len(hashed), len(placed)) == (10, 10)
    with pytest.raises(StoreError, match="taken"):  # and what was free is so no more
        commit(store, block(2, 11, 1, keys=["1/0"]))


def test_lookups_without_a_commit_are_not_all_remembered(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.store.sqlite.keys.REMEMBERED_KEYS", 25)
    for number in range(20):
        assert taken_keys(store, number, [f"{number}/{n}" for n in range(10)]) == set()
        remembered = [len(one.keys) for some in store._database.keys._free.values() for one in some]
        assert sum(remembered) <= 25
    commit(store, keyed(1, 10))
    assert len(taken_keys(store, 1, [f"1/{n}" for n in range(10)])) == 10


@pytest.mark.parametrize("count", [1, 2, 8, 9, 64, 511, 512, 513, 1_500])
def test_any_number_of_keys_is_found_in_the_tree(store: SqliteStore, count: int) -> None:
    commit(store, keyed(1, 1_500))
    store._database.keys.limit = 0
    commit(store, keyed(2, 1))
    assert one(store, "SELECT COUNT(*) FROM keys") == 1_500
    keys = [f"1/{n}" for n in range(count)]
    assert taken_keys(store, 1, [*keys, "other"]) == set(keys)
    assert taken_keys(store, 2, keys) == set()


def test_the_tree_is_seldom_asked_for_keys_that_are_free(store: SqliteStore) -> None:
    commit(store, keyed(1, 5_000), keyed(2, 10, run=2))
    commit(store, keyed(3, 1))
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    for n in range(1_000):
        taken_keys(store, 1, [f"other {n}"])
        taken_keys(store, 2, [f"1/{n}"])  # another run has it
    assert len(statements) < 20


def test_the_filter_holds_what_was_put_in_and_little_else() -> None:
    names = names_of(5, [f"{n}" for n in range(20_000)])
    at = places(5, first_bits(names))
    found = Filter()
    assert found.select(names, at) == []
    found.add(at[:10_000])
    parts = [found.part(part) for part in range(SLICES)]
    assert {len(part) for part in parts} == {PART_BYTES}
    found = Filter()
    for number, part in enumerate(parts):
        found.set(number, part)
    assert found.select(names[:10_000], at[:10_000]) == names[:10_000]
    assert len(found.select(names[10_000:], at[10_000:])) < 30


def test_a_place_in_the_filter_is_of_the_run_and_the_hash() -> None:
    """Files have these places: they are as they were."""
    assert places(5, [0x05060708, 0xFF000000]) == [0x0513677D, 0xFF156075]
    assert places(5 + 2**24, [0x05060708]) == [0x0513677D]


# --- all of it ---


class Model:
    """Which keys of which run are taken, in a plain set."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.taken: set[tuple[int, str]] = set()
        self.gone: set[int] = set()
        self.block = 0
        self.runs = 3

    @property
    def active(self) -> list[int]:
        return [run for run in range(1, self.runs + 1) if run not in self.gone]

    def keys(self, run: int) -> list[str]:
        count = self.rng.choice([1, 3, 10, 40])
        return list(dict.fromkeys(f"{self.rng.randrange(900)}" for _ in range(count)))

    def commit(self, stores: list[Store]) -> None:
        """Keys of some runs, most of them free; without a lookup, or in vain, now and then."""
        blocks, new = [], set[tuple[int, str]]()
        for _ in range(self.rng.randint(1, 3)):
            run = self.rng.choice(self.active)
            keys = self.keys(run)
            if self.rng.random() < 0.7:
                for store in stores:
                    assert taken_keys(store, run, keys) == {
                        k for k in keys if (run, k) in self.taken
                    }
            if self.rng.random() < 0.9:
                keys = [k for k in keys if (run, k) not in self.taken | new]
            self.block += 1
            new |= {(run, key) for key in keys}
            blocks.append(block(self.block, 1, len(keys), run, keys=keys))
        count = sum(len(b.keys or ()) for b in blocks)
        bad = len(new) < count or not new.isdisjoint(self.taken)
        if self.rng.random() < 0.1:
            blocks.append(block(1, 1, 1, run=QUEUE_RUN))  # this number is taken
            bad = True
        for store in stores:
            if bad:
                with pytest.raises(StoreError):
                    commit(store, *blocks)
            else:
                commit(store, *blocks)
        self.taken |= set() if bad else new

    def forget(self, stores: list[Store]) -> None:
        run = self.rng.choice(self.active)
        self.gone.add(run)
        self.runs += 1
        fields: dict[str, Any] = {"forgotten": {run}}
        if self.rng.random() < 0.5:
            fields = {"runs": {run: run_record(run, state="pruned")}}
        self.taken = {(of, key) for of, key in self.taken if of != run}
        for store in stores:
            commit(store, **fields)

    def check(self, stores: list[Store]) -> None:
        keys = [f"{n}" for n in range(900)]
        for run in self.active:
            for store in stores:
                assert taken_keys(store, run, keys) == {key for of, key in self.taken if of == run}


@pytest.mark.parametrize("seed", range(6))
def test_the_same_keys_are_taken_as_in_a_plain_set(tmp_path: Path, seed: int) -> None:
    engines: list[Engine] = [SqliteEngine(tmp_path), MemoryEngine(tmp_path)]
    stores = [engine.open() for engine in engines]
    model = Model(seed)
    for store in stores:
        commit(store, block(1, 1, 1, run=QUEUE_RUN))
    model.block = 1
    for _ in range(120):
        chance = model.rng.random()
        if chance < 0.75:
            model.commit(stores)
        elif chance < 0.78:
            model.forget(stores)
        elif chance < 0.85:
            for store in stores:
                store.drop_some(3)
        else:
            again = model.rng.choice(["open", "crash"])
            stores = [getattr(engine, again)() for engine in engines]
        if model.rng.random() < 0.2:
            model.check(stores)
    for store in stores:
        drop_all(store)
    model.check(stores)
    sqlite = stores[0]
    assert isinstance(sqlite, SqliteStore)
    left = "SELECT COUNT(*) FROM {} WHERE run NOT IN (" + ",".join(map(str, model.active)) + ")"
    assert [one(sqlite, left.format(table)) for table in ("keys", "fresh_keys")] == [0, 0]
    assert one(sqlite, "SELECT COUNT(*) FROM keys") > 100
    for engine in engines:
        engine.close()

"""The keys of tasks. Each key is taken once in its run.

New keys are fresh: they are in memory, and in a row of their commit. Once there are many, commits
move some of them into the tree `keys`, a slice of the tree at a time. Keys of a slice lie side by
side there. If they were moved in the order in which they came, each key would change another page.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..relational.names import HASH_BYTES, RUN_BYTES, first_bits, head_of, names_of
from .filter import SLICES, Filter, places
from .fresh import FreshKeys
from .schema.rows import insert, look_up, one

FRESH_KEYS = 262_144
"""How many keys may be fresh, at 28 bytes of memory each. Then the tree's pages are changed for 40
keys at a time while it has a million.
"""
REMEMBERED_KEYS = 32_768
"""How many free keys are remembered with their hashes until the commit."""


@dataclass(slots=True)
class _Named:
    """Keys of one run by their names.

    hashed: the first bits of their hashes. places: where they are in the filter. Both are
    calculated once, for the lookup and for the commit.
    """

    names: list[bytes]
    hashed: array[int]
    places: list[int]

    @classmethod
    def of(cls, run: int, names: list[bytes]) -> _Named:
        """The keys of a run that have these names."""
        hashed = first_bits(names)
        return cls(names, hashed, places(run, hashed))


@dataclass(slots=True)
class _Free:
    """Keys of a run that were looked up and found to be free."""

    run: int
    keys: list[str]
    named: _Named

    def take_out(self, present: set[bytes]) -> set[str]:
        """Forget the keys whose names are present; returns these keys."""
        each = list(zip(self.keys, self.named.names, strict=True))
        free = [(key, name) for key, name in each if name not in present]
        self.keys = [key for key, _ in free]
        self.named = _Named.of(self.run, [name for _, name in free])
        return {key for key, name in each if name in present}


@dataclass(slots=True)
class Step:
    """What a commit does to the keys. It takes effect in memory once the commit is on disk.

    row: the number of the last row of fresh keys. new: the new keys, by run. moved: the slices that
    went into the tree.
    """

    row: int
    new: list[_Named] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)


class Keys:
    """The keys of all runs.

    fresh: the fresh keys. limit: when there are more, some of them are moved.
    """

    def __init__(self, db: sqlite3.Connection, limit: int = FRESH_KEYS) -> None:
        self._db = db
        self.limit = limit
        self._free: dict[int, list[_Free]] = {}
        self._moved = [0] * SLICES  # up to which row each slice is in the tree
        self._filter = Filter()
        for number, row, bits in db.execute("SELECT slice, row, filter FROM moved_keys"):
            self._moved[number] = row
            self._filter.set(number, bits)
        # This is above the moved rows, also if the fresh rows behind them have been dropped.
        self._row = max(*self._moved, one(db, "SELECT MAX(id) FROM fresh_keys") or 0)
        self.fresh = FreshKeys()
        self._load()

    def _load(self) -> None:
        """Take the fresh keys, without those that were moved: their row may still be there."""
        moved = self._moved
        rows = self._db.execute(
            "SELECT id, run, hashes FROM fresh_keys WHERE run NOT IN (SELECT run FROM dropping)"
        )
        for row, run, hashes in rows:
            head = head_of(run)
            found = [at for at in range(0, len(hashes), HASH_BYTES) if moved[hashes[at]] < row]
            self._take(_Named.of(run, [head + hashes[at : at + HASH_BYTES] for at in found]))

    def taken(self, run: int, keys: Collection[str]) -> set[str]:
        """Which of these keys the run has already."""
        free = _Free(run, list(keys), _Named.of(run, names_of(run, keys)))
        present = self._find(run, free.named)
        taken = free.take_out(present) if present else set()
        self._free.setdefault(run, []).append(free)
        if sum(len(one.keys) for some in self._free.values() for one in some) > REMEMBERED_KEYS:
            self._free.clear()
        return taken

    def write(self, new: Iterable[tuple[int, Sequence[str]]]) -> Step:
        """Write new keys of runs, in the transaction that is open.

        Raises:
            ValueError: one of them is taken.
        """
        by_run: dict[int, list[str]] = {}
        for run, keys in new:
            by_run.setdefault(run, []).extend(keys)
        step = Step(self._row)
        for run, keys in by_run.items():
            named = self._free_ones(run, keys)
            if len(set(named.names)) < len(named.names):
                raise ValueError("a key is taken twice")
            step.new.append(named)
            step.row += 1
            hashes = b"".join([name[RUN_BYTES:] for name in named.names])
            self._db.execute(
                "INSERT INTO fresh_keys (id, run, hashes) VALUES (?, ?, ?)", (step.row, run, hashes)
            )
        self._move(step)
        return step

    def written(self, step: Step, gone: Collection[int]) -> None:
        """The commit of a step is on disk. gone: runs that the commit has removed."""
        if not step.new and not gone:
            return
        for number in step.moved:
            self._moved[number] = self._row
            self.fresh.drop_slice(number)
        for named in step.new:
            self._take(named)
        if gone:
            self.fresh.drop_runs({head_of(run) for run in gone})
        self._row = step.row
        self._free.clear()

    def _move(self, step: Step) -> None:
        """Move slices in turn, until at most `limit` keys are fresh."""
        excess = self.fresh.count + sum(len(named.names) for named in step.new) - self.limit
        if excess <= 0:
            return
        oldest = self._moved.index(min(self._moved))
        for number in (*range(oldest, SLICES), *range(oldest)):
            if excess <= 0:
                break
            names = self.fresh.of_slice(number)
            runs = {head: int.from_bytes(head, "big") for head in {n[:RUN_BYTES] for n in names}}
            insert(
                self._db,
                "INSERT OR IGNORE INTO keys (run, hash)",
                [(runs[n[:RUN_BYTES]], n[RUN_BYTES:]) for n in names],
            )
            excess -= len(names)
            step.moved.append(number)
        insert(
            self._db,
            "INSERT OR REPLACE INTO moved_keys (slice, row, filter)",
            ((number, self._row, self._filter.part(number)) for number in step.moved),
        )
        # This is one step behind: the slices of this step have moved only when it is on disk.
        self._db.execute("DELETE FROM fresh_keys WHERE id <= ?", (min(self._moved),))

    def _free_ones(self, run: int, keys: list[str]) -> _Named:
        """Keys that must be free, by name. Those that nobody looked up are looked up now."""
        looked_up = self._free.get(run, [])
        if len(looked_up) == 1 and looked_up[0].keys == keys:
            return looked_up[0].named
        free = {k: n for one in looked_up for k, n in zip(one.keys, one.named.names, strict=True)}
        try:
            return _Named.of(run, [free[key] for key in keys])
        except KeyError:
            if self.taken(run, keys):
                raise ValueError("a key is taken") from None
            return _Named.of(run, names_of(run, keys))

    def _find(self, run: int, named: _Named) -> set[bytes]:
        """The names that are taken, in memory or in the tree."""
        maybe = self._filter.select(named.names, named.places)
        present = self.fresh.present(maybe)
        present.update(self._find_in_tree(run, [name for name in maybe if name not in present]))
        return present

    def _take(self, named: _Named) -> None:
        """Keys are fresh from now on."""
        self.fresh.add(named.names, named.hashed)
        self._filter.add(named.places)

    def _find_in_tree(self, run: int, names: list[bytes]) -> Iterator[bytes]:
        head = head_of(run)
        hashes = sorted([name[RUN_BYTES:] for name in names])
        query = "SELECT hash FROM keys WHERE run = :run AND hash IN ({keys})"
        for (value,) in look_up(self._db, query, [(value,) for value in hashes], {"run": run}):
            yield head + value


class FilterPart:
    """The filter's part of a slice, as an aggregate function of SQL over (run, hash)."""

    def __init__(self) -> None:
        self._slice, self._names = 0, dict[int, list[bytes]]()

    def step(self, run: int, value: bytes) -> None:
        """Take a key."""
        self._slice = value[0]
        self._names.setdefault(run, []).append(head_of(run) + value)

    def finalize(self) -> bytes:
        """The part with all keys."""
        found = Filter()
        for run, names in self._names.items():
            found.add(_Named.of(run, names).places)
        return found.part(self._slice)

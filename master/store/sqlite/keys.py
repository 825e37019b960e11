"""The keys of tasks. Each key is taken once in its run.

New keys are fresh: they are in memory, and in a row of their commit. Once there are many, commits
move some of them into the tree `keys`, a slice of the tree at a time. Keys of a slice lie side by
side there. If they were moved in the order in which they came, each key would change another page.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from .filter import SLICES, Filter
from .schema.rows import insert, look_up, one

FRESH_KEYS = 65_536
"""How many keys may be fresh, at 140 bytes of memory each. More of them change fewer pages."""
REMEMBERED_KEYS = 32_768
"""How many free keys are remembered with their hashes until the commit."""

_HASH_BYTES = 16
_RUN_BYTES = 8


def hash_key(key: str) -> bytes:
    """What stands for a key: 128 bits. No two keys will ever have the same."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()


@dataclass(slots=True)
class Step:
    """What a commit does to the keys. It takes effect in memory once the commit is on disk.

    row: the number of the last row of fresh keys. moved: the slices that went into the tree, each
    with its new part of the filter.
    """

    row: int
    names: set[bytes] = field(default_factory=set)
    moved: dict[int, bytes] = field(default_factory=dict)


class Keys:
    """The keys of all runs. In memory, a key's name is the number of its run and its hash.

    fresh: how many fresh keys there are. limit: when there are more, some of them are moved.
    """

    def __init__(self, db: sqlite3.Connection, limit: int = FRESH_KEYS) -> None:
        self._db = db
        self.limit = limit
        self._free: dict[int, dict[str, bytes]] = {}
        self._moved = [0] * SLICES  # up to which row each slice is in the tree
        self._filter = Filter()
        for number, row, bits in db.execute("SELECT slice, row, filter FROM moved_keys"):
            self._moved[number] = row
            self._filter.set(number, bits)
        # This is above the moved rows, also if the fresh rows behind them have been dropped.
        self._row = max(*self._moved, one(db, "SELECT MAX(id) FROM fresh_keys") or 0)
        self._slices = self._load()
        self.fresh = sum(map(len, self._slices))

    def _load(self) -> list[set[bytes]]:
        """The fresh keys by slice, without those that were moved: their row may still be there."""
        slices: list[set[bytes]] = [set() for _ in range(SLICES)]
        rows = self._db.execute(
            "SELECT id, run, hashes FROM fresh_keys WHERE run NOT IN (SELECT run FROM dropping)"
        )
        for row, run, hashes in rows:
            head = _head(run)
            for at in range(0, len(hashes), _HASH_BYTES):
                if self._moved[hashes[at]] < row:
                    slices[hashes[at]].add(head + hashes[at : at + _HASH_BYTES])
        return slices

    def taken(self, run: int, keys: Collection[str]) -> set[str]:
        """Which of these keys the run has already."""
        names = _names(run, keys)
        free = self._free.setdefault(run, {})
        free.update(zip(keys, names, strict=True))
        present = self._find(run, names)
        taken = {key for key in keys if free[key] in present} if present else set()
        for key in taken:
            del free[key]
        if sum(map(len, self._free.values())) > REMEMBERED_KEYS:
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
            names = self._names_of_free(run, keys)
            step.names.update(names)
            step.row += 1
            hashes = b"".join([name[_RUN_BYTES:] for name in names])
            self._db.execute(
                "INSERT INTO fresh_keys (id, run, hashes) VALUES (?, ?, ?)", (step.row, run, hashes)
            )
        if len(step.names) < sum(map(len, by_run.values())):
            raise ValueError("a key is taken twice")
        self._move(step)
        return step

    def written(self, step: Step, gone: Collection[int]) -> None:
        """The commit of a step is on disk. gone: runs that the commit has removed."""
        if not step.names and not gone:
            return
        slices = self._slices
        for number, bits in step.moved.items():
            self._moved[number] = self._row
            self._filter.set(number, bits)
            slices[number] = set()
        for name in step.names:
            slices[name[_RUN_BYTES]].add(name)
        if gone:
            heads = {_head(run) for run in gone}
            for number, names in enumerate(slices):
                slices[number] = {name for name in names if name[:_RUN_BYTES] not in heads}
        self._row = step.row
        self._free.clear()
        self.fresh = sum(map(len, slices))

    def _move(self, step: Step) -> None:
        """Move slices in turn, until at most `limit` keys are fresh."""
        excess = self.fresh + len(step.names) - self.limit
        if excess <= 0:
            return
        oldest = self._moved.index(min(self._moved))
        for number in (*range(oldest, SLICES), *range(oldest)):
            if excess <= 0:
                break
            names = sorted(self._slices[number])  # the order of the tree
            insert(
                self._db,
                "INSERT OR IGNORE INTO keys (run, hash)",
                ((int.from_bytes(n[:_RUN_BYTES], "big"), n[_RUN_BYTES:]) for n in names),
            )
            excess -= len(names)
            step.moved[number] = self._filter.add(number, names)
        insert(
            self._db,
            "INSERT OR REPLACE INTO moved_keys (slice, row, filter)",
            ((number, self._row, bits) for number, bits in step.moved.items()),
        )
        # This is one step behind: the slices of this step have moved only when it is on disk.
        self._db.execute("DELETE FROM fresh_keys WHERE id <= ?", (min(self._moved),))

    def _names_of_free(self, run: int, keys: list[str]) -> list[bytes]:
        """The names of keys that must be free. Those that nobody looked up are looked up now."""
        free = self._free.get(run, {})
        try:
            return [free[key] for key in keys]
        except KeyError:
            if self.taken(run, keys):
                raise ValueError("a key is taken") from None
            return _names(run, keys)

    def _find(self, run: int, names: list[bytes]) -> set[bytes]:
        """The names that are taken, in memory or in the tree."""
        slices = self._slices
        present = {name for name in names if name in slices[name[_RUN_BYTES]]}
        rest = [name for name in names if name not in present] if present else names
        rest = self._filter.select(rest)
        present.update(self._find_in_tree(run, rest))
        return present

    def _find_in_tree(self, run: int, names: list[bytes]) -> Iterator[bytes]:
        head = _head(run)
        hashes = sorted([name[_RUN_BYTES:] for name in names])
        query = "SELECT hash FROM keys WHERE run = ? AND hash IN ({})"
        for (value,) in look_up(self._db, query, [(value,) for value in hashes], (run,)):
            yield head + value


def _head(run: int) -> bytes:
    return run.to_bytes(_RUN_BYTES, "big")


def _names(run: int, keys: Iterable[str]) -> list[bytes]:
    head, size = _head(run), _HASH_BYTES
    # This does the same as `hash_key`. Calls of it would take a third longer.
    return [
        head + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=size).digest()
        for key in keys
    ]


class FilterPart:
    """The filter's part of a slice, as an aggregate function of SQL over (run, hash)."""

    def __init__(self) -> None:
        self._slice, self._names = 0, list[bytes]()

    def step(self, run: int, value: bytes) -> None:
        """Take a key."""
        self._slice = value[0]
        self._names.append(_head(run) + value)

    def finalize(self) -> bytes:
        """The part with all keys."""
        return Filter().add(self._slice, self._names)

"""How often each value came: exact while there is room, then with a known bound.

When a table has too many values the rarest are dropped, and the table remembers how often one of
them may have come (Misra and Gries, "Finding repeated elements", 1982; merged as in Agarwal et al.,
"Mergeable summaries", 2012). So each count is a lower bound, and `slack` says how far the true one
may be above it. A value that no table has dropped is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

MOST_VALUES = 100_000
_SCHEMA = pa.schema(
    {"value": pa.string(), "count": pa.int64(), "slack": pa.int64(), "size": pa.int64()}
)
_MOST_FREQUENT_FIRST = [("count", "descending"), ("value", "ascending")]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A value with its count, the count's greatest error, and its bytes (a lower bound, too)."""

    value: str
    count: int
    slack: int
    size: int


class Entries(msgspec.Struct, frozen=True, array_like=True):
    """The columns of many entries: a list for each field of an entry."""

    values: list[str]
    counts: list[int]
    slacks: list[int]
    sizes: list[int]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """The columns of some entries."""
        rows = [(each.value, each.count, each.slack, each.size) for each in entries]
        return cls(*map(list, zip(*rows, strict=True))) if rows else cls([], [], [], [])


class Top:
    """A table of values.

    Args:
        most: how many values it has at most; in between it may have twice as many.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._lost = 0
        # Tables are added up when they are many. A value's slack is less `_lost` in them: so a
        # merge need not touch the other values.
        self._tables: list[Any] = []
        self._rows = 0

    def __len__(self) -> int:
        return len(self._table())

    @property
    def lost(self) -> int:
        """The most that any value can have come that is not in the table."""
        self._table()
        return self._lost

    def merge(self, entries: Entries, lost: int) -> None:
        """Add the entries of another table, and what that table has lost."""
        columns = [entries.values, entries.counts, entries.slacks, entries.sizes]
        table = pa.table(columns, schema=_SCHEMA)
        if len(set(entries.values)) < len(table):
            # Different bytes may be the same text, such as a byte and its escape.
            table = _added_up([table])
        self._tables.append(_with_slack(table, -lost))
        self._rows += len(table)
        self._lost += lost
        if self._rows > 4 * self._most:
            self._table()

    def _table(self) -> Any:
        """The table of all values, each once, with no more than there is room for."""
        table = self._tables[0] if len(self._tables) == 1 else _added_up(self._tables)
        if len(table) > 2 * self._most:
            table = self._kept(table)
        self._tables, self._rows = [table], len(table)
        return table

    def _kept(self, table: Any) -> Any:
        """The most frequent values; the others are lost."""
        table = table.take(pc.sort_indices(table, _MOST_FREQUENT_FIRST))
        rest = table.slice(self._most)
        least = pc.max(pc.add(rest.column("count"), rest.column("slack"))).as_py() + self._lost
        more = max(0, least - self._lost)
        self._lost += more
        return _with_slack(table.slice(0, self._most), -more)

    def first(self, most: int | None = None) -> list[Entry]:
        """The most frequent values, those with equal counts by their text."""
        table = self._table()
        table = table.take(pc.sort_indices(table, _MOST_FREQUENT_FIRST)).slice(0, most)
        rows = _with_slack(table, self._lost).to_pydict()
        return [Entry(*row) for row in zip(*rows.values(), strict=True)]


def _added_up(tables: list[Any]) -> Any:
    """Tables as one that has each value once."""
    table = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    sums = [(name, "sum") for name in _SCHEMA.names[1:]]
    added = table.group_by("value", use_threads=False).aggregate(sums)
    return added.select(["value", *(f"{name}_sum" for name, _ in sums)]).rename_columns(
        _SCHEMA.names
    )


def _with_slack(table: Any, more: int) -> Any:
    place = _SCHEMA.names.index("slack")
    return table.set_column(place, "slack", pc.add(table.column("slack"), more))

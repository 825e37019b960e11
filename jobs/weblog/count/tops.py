"""How often each value came: exact while there is room, then with a known bound.

When a table has too many values the rarest are dropped, and the table remembers how often one of
them may have come (Misra and Gries, "Finding repeated elements", 1982; merged as in Agarwal et al.,
"Mergeable summaries", 2012). So each count is a lower bound, and `slack` says how far the true one
may be above it. A value that no table has dropped is exact.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

MOST_VALUES = 100_000


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A value with its count, the count's greatest error, and its bytes (a lower bound, too)."""

    value: str
    count: int
    slack: int
    size: int


class Top:
    """A table of values.

    Args:
        most: how many values it has at most; in between it may have twice as many.

    Attributes:
        lost: the most that any value can have come that is not in the table.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.lost = 0
        self._most = most
        # A value's count, bytes, and its slack less `lost`: so a merge need not touch the others.
        self._rows: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def merge(self, entries: Iterable[Entry], lost: int) -> None:
        """Add the entries of another table, and what that table has lost."""
        rows: dict[str, list[int]] = {}
        for entry in entries:
            # Different bytes may be the same text, such as a byte and its escape.
            row = rows.setdefault(entry.value, [0, 0, -lost])
            row[0] += entry.count
            row[1] += entry.size
            row[2] += entry.slack
        mine = self._rows
        for value, row in rows.items():
            own = mine.get(value)
            if own is None:
                mine[value] = row
            else:
                own[0] += row[0]
                own[1] += row[1]
                own[2] += row[2]
        self.lost += lost
        if len(mine) > 2 * self._most:
            self._keep(self._most)

    def _keep(self, most: int) -> None:
        """Drop all but the most frequent values."""
        ranked = sorted(self._rows.items(), key=lambda item: (-item[1][0], item[0]))
        dropped = max((row[0] + row[2] + self.lost for _, row in ranked[most:]), default=0)
        more = max(0, dropped - self.lost)
        self._rows = dict(ranked[:most])
        for row in self._rows.values():
            row[2] -= more
        self.lost += more

    def first(self, most: int | None = None) -> list[Entry]:
        """The most frequent values, those with equal counts by their text."""
        ranked = sorted(self._rows.items(), key=lambda item: (-item[1][0], item[0]))
        return [
            Entry(value, count, slack + self.lost, size)
            for value, (count, size, slack) in ranked[:most]
        ]

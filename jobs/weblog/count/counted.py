"""How often each value came in a range: tables that pyarrow adds up, so no loop sees each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .summary import LONGEST_TEXT, shortened, text_of
from .tops import MOST_VALUES, Entries

_NAMES = ["value", "count", "size"]
_MOST_BYTES = 128 << 20
"""Of new tables of a list, before they are added up."""


class Counted:
    """Counts and bytes by value. Exact, until there are more than 2 * MOST_VALUES values.

    Long values are shortened when they come, for a text may be as long as a line.

    Args:
        spill: takes the table when it has too many or too large values, so that none is lost and
            none is shortened; it is then empty.

    Attributes:
        lost: the most that any value can have come more often than its count says.
    """

    def __init__(self, spill: Callable[[Any], None] | None = None) -> None:
        self.lost = 0
        self._spill = spill
        self._tables: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, values: Any, codes: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64]) -> None:
        """Add rows.

        Args:
            values: a binary array of pyarrow.
            codes: the place of each row's value.
            sizes: bytes of each row.
        """
        counts = np.bincount(codes, minlength=len(values))
        # Weights are floats: exact for sums below 2**53 bytes, which is 9 petabytes in one batch.
        sums = np.bincount(codes, weights=sizes, minlength=len(values)).astype(np.int64)
        self._take(values, counts, sums)

    def take(self, values: Any, table: Any) -> None:
        """Add the counts and bytes of another table, with other values."""
        self._take(values, table.column("count"), table.column("size"))

    def _take(self, values: Any, counts: Any, sizes: Any) -> None:
        table = pa.table([values if self._spill else short(values), counts, sizes], _NAMES)
        self._tables.append(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows > 4 * MOST_VALUES or self._bytes > _MOST_BYTES:
            self.table()

    def table(self) -> Any:
        """The table of all: `value`, `count` and `size`, a row for each value that came."""
        if not self._tables:
            return _empty()
        sums = pa.concat_tables(self._tables).group_by("value", use_threads=False)
        table = sums.aggregate([("count", "sum"), ("size", "sum")]).rename_columns(
            {"count_sum": "count", "size_sum": "size"}
        )
        table = table.select(_NAMES)
        large = len(table) > 2 * MOST_VALUES or table.nbytes > _MOST_BYTES // 2
        if large and self._spill:
            self._spill(table)
            table = _empty()
        elif len(table) > 2 * MOST_VALUES:
            table, lost = _most_frequent(table, MOST_VALUES)
            self.lost += lost
        self._tables, self._rows, self._bytes = [table], len(table), 0
        return table

    def cut(self, most: int) -> tuple[Entries, int]:
        """The most frequent values, and how often any other one can have come."""
        table = self.table()
        table, dropped = _most_frequent(table.filter(pc.greater(table.column("count"), 0)), most)
        texts = texts_of(table.column("value"))
        if max(map(len, texts), default=0) > LONGEST_TEXT:
            texts = [shortened(text) for text in texts]
        counts, sizes = (table.column(name).to_pylist() for name in _NAMES[1:])
        return Entries(texts, counts, [self.lost] * len(texts), sizes), dropped + self.lost


def short(values: Any) -> Any:
    """Values of a binary array; those that are too long as they are shown."""
    long = pc.greater(pc.binary_length(values), LONGEST_TEXT)
    if not pc.any(long).as_py():
        return values
    texts = [shortened(text_of(value)).encode() for value in values.filter(long).to_pylist()]
    return pc.replace_with_mask(values, long, pa.array(texts, pa.binary()))


def texts_of(values: Any) -> list[str]:
    """Values of a binary array as texts."""
    try:
        return list(pc.cast(values, pa.string()).to_pylist())
    except pa.ArrowInvalid:  # some are no UTF-8
        return [text_of(value) for value in values.to_pylist()]


def _empty() -> Any:
    return pa.table([pa.array([], pa.binary()), *[pa.array([], pa.int64())] * 2], _NAMES)


def _most_frequent(table: Any, most: int) -> tuple[Any, int]:
    """Some rows of a table, and the greatest count of the others."""
    if len(table) <= most:
        return table, 0
    counts = table.column("count").to_numpy()
    order = np.argpartition(-counts, most)
    return table.take(pa.array(order[:most])), int(counts[order[most:]].max())

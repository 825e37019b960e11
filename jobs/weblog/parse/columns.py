"""Columns of a batch of requests: each value once, and a code for each row."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Codes = npt.NDArray[np.int32]
Sizes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """array: a binary array, each value once; `codes[row]` is the place of a row's value in it."""

    array: Any
    codes: Codes

    @functools.cached_property
    def values(self) -> list[bytes]:
        """The values one by one. Only for columns of few values."""
        return list(self.array.to_pylist())

    def taken(self, rows: Mask) -> Column:
        """The column of some rows. It may have values that no row has."""
        return Column(self.array, self.codes[rows])

    def at(self, row: int) -> bytes:
        """The value of one row."""
        return bytes(self.array[int(self.codes[row])].as_py())


@dataclass(frozen=True)
class Batch:
    """Requests, and the lines beside them that are none.

    Attributes:
        columns: of `client`, `status`, and `request` or `method` and `path`; `referrer` and `agent`
            where they are asked for and there.
        moments: UTC epoch, s, of each value of a time; `when[row]` is the place of a row's. A value
            that no row has may be any number.
        sizes: bytes of each request's answer.
        seconds: how long each request took, where the log says so; NaN where a line does not.
        unparsable: lines that are no request.
    """

    columns: dict[str, Column]
    moments: npt.NDArray[np.float64]
    when: Codes
    sizes: Sizes
    seconds: npt.NDArray[np.float64] | None = None
    unparsable: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sizes)

    def taken(self, rows: Mask) -> Batch:
        """Some of the rows. The unparsable lines stay."""
        return Batch(
            {name: column.taken(rows) for name, column in self.columns.items()},
            self.moments,
            self.when[rows],
            self.sizes[rows],
            None if self.seconds is None else self.seconds[rows],
            self.unparsable,
        )


def no_requests(lines: list[bytes]) -> Batch:
    """A batch of lines that are no request."""
    nothing = np.zeros(0, np.int32)
    return Batch({}, np.zeros(0), nothing, np.zeros(0, np.int64), unparsable=lines)


def same(text: str, rows: int) -> Column:
    """A column of the same value in all rows."""
    return Column(pa.array([text.encode()], pa.binary()), np.zeros(rows, np.int32))


def column_of(array: Any) -> Column:
    """The column of a dictionary array of pyarrow without nulls."""
    return Column(array.dictionary, array.indices.to_numpy(zero_copy_only=False))


def mixed(regular: Mask, good: Any, odd: Any) -> Any:
    """An array that has the values of `good` where `regular` is true, those of `odd` elsewhere."""
    order = np.empty(len(regular), np.int64)
    order[np.concatenate([np.flatnonzero(regular), np.flatnonzero(~regular)])] = np.arange(
        len(regular)
    )
    return pa.concat_arrays([good, odd]).take(pa.array(order))


def moments_of(
    time: Column, zone: Column | None, moment: Callable[[bytes, bytes], float | None]
) -> tuple[npt.NDArray[np.float64], Codes]:
    """The moment of each pair of a time and a zone, NaN for none, and the place of each row's."""
    if zone is None or len(zone.values) == 1:
        offset = zone.values[0] if zone else b""
        return _moments([moment(value, offset) for value in time.values]), time.codes
    width = len(zone.values)
    pairs = time.codes.astype(np.int64) * width + zone.codes
    there, codes = np.unique(pairs, return_inverse=True)
    found = [moment(time.values[pair // width], zone.values[pair % width]) for pair in there]
    return _moments(found), codes.astype(np.int32)


def _moments(found: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if moment is None else moment for moment in found], np.float64)

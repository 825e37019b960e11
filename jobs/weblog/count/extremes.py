"""The largest and the slowest requests, and how sizes and times are spread."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, NamedTuple

import datasketches
import numpy as np
import numpy.typing as npt

MOST = 20
QUANTILES = (0.5, 0.9, 0.99)
_K = 200
"""A quantile's rank is then at most 1.65 % off, with a probability of 99 %: DataSketches, KLL."""


class Request(NamedTuple):
    """A request that stands out. amount: bytes, or seconds. moment: UTC epoch, s."""

    amount: float
    moment: float
    status: str
    client: str
    path: str


class Extremes:
    """The greatest amounts, and the spread of all."""

    def __init__(self) -> None:
        self._greatest: list[Request] = []
        self._spread = datasketches.kll_doubles_sketch(_K)

    def candidates(self, amounts: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """The rows that may be among the greatest, of amounts that are numbers."""
        if len(amounts) <= MOST:
            return np.arange(len(amounts))
        least = np.partition(amounts, len(amounts) - MOST)[len(amounts) - MOST]
        if len(self._greatest) == MOST:
            least = max(least, self._greatest[-1].amount)
        # Of equal amounts the first ones in the text are enough: the text is in order of time.
        above, equal = np.flatnonzero(amounts > least), np.flatnonzero(amounts == least)
        return np.concatenate([above, equal[:MOST]])

    def add(self, amounts: npt.NDArray[Any], greatest: Iterable[Request]) -> None:
        """Add amounts, and the requests of those rows that `candidates` has named."""
        if len(amounts):
            self._spread.update(amounts.astype(np.float64))
        self._take(greatest)

    def _take(self, requests: Iterable[Request]) -> None:
        everything = [*self._greatest, *requests]
        self._greatest = heapq.nsmallest(MOST, everything, key=lambda r: (-r.amount, *r[1:]))

    def greatest(self) -> list[Request]:
        """The greatest, in order."""
        return self._greatest

    def quantiles(self) -> list[float]:
        """The amounts at QUANTILES. Empty if nothing was added."""
        if self._spread.is_empty():
            return []
        return [float(self._spread.get_quantile(rank)) for rank in QUANTILES]

    def packed(self) -> tuple[list[Request], bytes]:
        """The greatest and the spread, as plain data."""
        return self._greatest, bytes(self._spread.serialize())

    def merge(self, greatest: Iterable[Request], spread: bytes) -> None:
        """Add those of another one."""
        self._take(greatest)
        self._spread.merge(datasketches.kll_doubles_sketch.deserialize(spread))

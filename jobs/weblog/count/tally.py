"""Batches of requests are counted: once for each value, not for each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..asked import Asked
from ..parse.columns import Batch, same
from ..parse.requests import methods_and_paths, split
from ..parse.times import QUARTER_S, Clock
from .counted import Counted, short, texts_of
from .extremes import Extremes, Request
from .summary import Summary, shortened, text_of

_OF_REQUEST = ("method", "path")
_MOST_CLIENTS = 1_000_000


class Tally:
    """Counts the requests of a range.

    Args:
        asked: what is counted.
        clock: what hours are called.
    """

    def __init__(self, asked: Asked, clock: Clock) -> None:
        self._asked, self._clock = asked, clock
        self.summary = Summary(asked.by)
        # Methods and paths are taken from requests' lines when those of the range are added up,
        # or are too many: before any is lost, for many lines may have the same method or path.
        self._requests = Counted(self._take_requests)
        self._came: list[Any] = []
        self._counted = {name: Counted() for name in asked.by}

    def no_requests(self, lines: Sequence[bytes]) -> None:
        """Count lines that are no request."""
        self.summary.lines += len(lines)
        self.summary.unparsable += len(lines)
        self.summary.sample(shortened(text_of(line)) for line in lines)

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.no_requests(batch.unparsable)
        self.summary.lines += len(batch)
        batch = self._within(batch)
        if not len(batch):
            return
        self.summary.requests += len(batch)
        self.summary.size += int(batch.sizes.sum())
        for name in self._counted:
            if name not in _OF_REQUEST or name in batch.columns:
                self._counted[name].add(*self._values(name, batch), batch.sizes)
        self._add_requests(batch)
        self._span(batch)
        clients = batch.columns["client"]
        there = np.bincount(clients.codes, minlength=len(clients.array)) > 0
        self._came.append(short(clients.array.filter(pa.array(there))))
        if sum(map(len, self._came)) > _MOST_CLIENTS:
            self._add_visitors()
        self._stand_out(self.summary.largest, batch, batch.sizes)
        if batch.seconds is not None:
            known = ~np.isnan(batch.seconds)
            if known.any():
                slow = batch if known.all() else batch.taken(known)
                assert slow.seconds is not None
                self._stand_out(self.summary.slowest, slow, slow.seconds)

    def packed(self) -> dict[str, Any]:
        """The summary of all that was added, as plain data. Nothing can be added behind it."""
        self._add_visitors()
        self._take_requests(self._requests.table())
        return self.summary.packed(self._asked.keep, self._counted)

    def _add_requests(self, batch: Batch) -> None:
        """Add the methods and paths that are no columns of their own."""
        lists = [name for name in _OF_REQUEST if name in self._counted]
        lacking = [name for name in lists if name not in batch.columns]
        requests = batch.columns.get("request") or same("-", len(batch))
        if not lacking:
            return
        if not set(_OF_REQUEST) & set(batch.columns):
            self._requests.add(requests.array, requests.codes, batch.sizes)
            return
        parts = dict(zip(_OF_REQUEST, methods_and_paths(requests.array), strict=True))
        for name in lacking:
            values = self._as_asked(name, parts[name])
            self._counted[name].add(values, requests.codes, batch.sizes)

    def _take_requests(self, requests: Any) -> None:
        """Add the methods and paths of a table of requests' lines."""
        parts = methods_and_paths(requests.column("value"))
        for name, values in zip(_OF_REQUEST, parts, strict=True):
            if name in self._counted:
                self._counted[name].take(self._as_asked(name, values), requests)

    def _as_asked(self, name: str, values: Any) -> Any:
        """Values as they count, before any is lost: values that become equal are added up."""
        if name == "path" and not self._asked.query:
            return _without_query(values)
        return _none_for_empty(values) if name in ("referrer", "agent") else values

    def _add_visitors(self) -> None:
        """Add the clients of some batches: those that came in several of them once."""
        if self._came:
            self.summary.visitors.add(texts_of(pc.unique(pa.chunked_array(self._came))))
            self._came = []

    def _within(self, batch: Batch) -> Batch:
        since, until = self._asked.since, self._asked.until
        if since is None and until is None:
            return batch
        moments = batch.moments
        wanted = np.ones(len(moments), bool)
        if since is not None:
            wanted &= moments >= since
        if until is not None:
            wanted &= moments < until
        rows = wanted[batch.when]
        return batch if rows.all() else batch.taken(rows)

    def _values(self, name: str, batch: Batch) -> tuple[Any, Any]:
        """The values of a list, and the place of each row's; equal values may be in it twice."""
        if name == "hour":
            return self._hours(batch)
        column = batch.columns.get(name) or same("-", len(batch))
        return self._as_asked(name, column.array), column.codes

    def _hours(self, batch: Batch) -> tuple[Any, Any]:
        """The hours of a batch; a label is looked up for each quarter, not for each second."""
        quarters = np.floor_divide(batch.moments, QUARTER_S)
        there, places = np.unique(quarters, return_inverse=True)
        hours = [self._clock.hour(float(quarter) * QUARTER_S) for quarter in there]
        return pa.array(hours, pa.binary()), places.astype(np.int32)[batch.when]

    def _span(self, batch: Batch) -> None:
        there = np.bincount(batch.when, minlength=len(batch.moments)) > 0
        moments = batch.moments[there]
        self.summary.span(float(moments.min()), float(moments.max()))

    def _stand_out(self, extremes: Extremes, batch: Batch, amounts: npt.NDArray[Any]) -> None:
        rows = extremes.candidates(amounts)
        extremes.add(amounts, [_request(batch, int(row), float(amounts[row])) for row in rows])


def _none_for_empty(values: Any) -> Any:
    """A line of the common format has no agent, others have an empty one: both are `-`."""
    return pc.if_else(pc.equal(values, b""), b"-", values)


def _without_query(paths: Any) -> Any:
    return pc.list_element(pc.split_pattern(paths, b"?", max_splits=1), 0)


def _request(batch: Batch, row: int, amount: float) -> Request:
    if "path" in batch.columns:
        path = batch.columns["path"].at(row)
    else:
        path = split(batch.columns["request"].at(row))[1] if "request" in batch.columns else b"-"
    return Request(
        amount,
        float(batch.moments[int(batch.when[row])]),
        shortened(text_of(batch.columns["status"].at(row))),
        shortened(text_of(batch.columns["client"].at(row))),
        shortened(text_of(path)),
    )

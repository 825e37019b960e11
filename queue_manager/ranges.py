"""The arithmetic of ranges of tasks. A range is the first position and the one behind the last."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Ranges = list[tuple[int, int]]


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """The positions that are in both, in order."""
    return sorted(within(ranges, joined(others)))


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """The positions that are in `ranges` and not in `others`."""
    if not others:
        return ranges
    left, others = [], joined(others)
    for start, stop in ranges:
        for low, high in _overlapping(start, stop, others):
            if start < low:
                left.append((start, low))
            start = high
        if start < stop:
            left.append((start, stop))
    return left


def within(ranges: Ranges, apart: Ranges) -> Ranges:
    """The positions of `ranges` that are in `apart`, whose ranges are in order and do not touch.

    Many ranges in `apart` cost nothing: only those that overlap are looked at.
    """
    return [(max(a, c), min(b, d)) for a, b in ranges for c, d in _overlapping(a, b, apart)]


def _overlapping(start: int, stop: int, apart: Ranges) -> Iterator[tuple[int, int]]:
    """Those ranges of `apart` that overlap with `start` to `stop`."""
    at = max(0, bisect_right(apart, (start, start)) - 1)
    while at < len(apart) and apart[at][0] < stop:
        if max(start, apart[at][0]) < min(stop, apart[at][1]):
            yield apart[at]
        at += 1


def joined(ranges: Ranges) -> Ranges:
    """The ranges in order. Ranges that touch or overlap become one."""
    whole: Ranges = []
    for start, stop in sorted(ranges):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(stop, whole[-1][1]))
        else:
            whole.append((start, stop))
    return whole

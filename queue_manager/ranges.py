"""The arithmetic of ranges of tasks: pairs of a first position and one behind the last."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Ranges = list[tuple[int, int]]


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """What is in both, in order."""
    return sorted(within(ranges, joined(others)))


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """What is in the first and not in the second."""
    if not others:
        return ranges
    found, others = [], joined(others)
    for start, stop in ranges:
        for low, high in _met(start, stop, others):
            if start < low:
                found.append((start, low))
            start = high
        if start < stop:
            found.append((start, stop))
    return found


def within(ranges: Ranges, apart: Ranges) -> Ranges:
    """What of the ranges is in others, which are in order and apart.

    It takes no longer for many others: only those that are met are looked at.
    """
    return [(max(a, c), min(b, d)) for a, b in ranges for c, d in _met(a, b, apart)]


def _met(start: int, stop: int, apart: Ranges) -> Iterator[tuple[int, int]]:
    """Those of ranges in order and apart that have something of `start` to `stop`."""
    at = max(0, bisect_right(apart, (start, start)) - 1)
    while at < len(apart) and apart[at][0] < stop:
        if max(start, apart[at][0]) < min(stop, apart[at][1]):
            yield apart[at]
        at += 1


def joined(ranges: Ranges) -> Ranges:
    """In order, neighbours as one."""
    found: Ranges = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found

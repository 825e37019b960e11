"""The arithmetic of ranges of tasks: pairs of a first position and one behind the last."""

from __future__ import annotations

Ranges = list[tuple[int, int]]


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """What is in both."""
    found = [(max(a, c), min(b, d)) for a, b in ranges for c, d in others]
    return sorted((a, b) for a, b in found if a < b)


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """What is in the first and not in the second."""
    for start, stop in others:
        pairs = [piece for a, b in ranges for piece in ((a, min(b, start)), (max(a, stop), b))]
        ranges = [(a, b) for a, b in pairs if a < b]
    return ranges


def joined(ranges: Ranges) -> Ranges:
    """In order, neighbours as one."""
    found: Ranges = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found

"""A set of many hashes in little memory: eight bytes for each, where a set of numbers takes 70."""

from __future__ import annotations

from array import array
from bisect import bisect_left

_PART = 1 << 16


class Hashes:
    """Numbers of 64 bits, such as the hashes of a long list. They are added and never taken out.

    Most of them are in sorted arrays, and the newest in a set.
    """

    def __init__(self) -> None:
        self._parts: list[array[int]] = []
        self._newest: set[int] = set()

    def add(self, number: int) -> None:
        """Add a number, which may be there."""
        self._newest.add(number)
        if len(self._newest) >= _PART:
            self._parts.append(array("Q", sorted(self._newest)))
            self._newest = set()

    def __contains__(self, number: int) -> bool:
        return number in self._newest or any(_has(part, number) for part in self._parts)


def _has(part: array[int], number: int) -> bool:
    place = bisect_left(part, number)
    return place < len(part) and part[place] == number

"""When groups started last that are too many to be kept by name; the time told is a little late.

It owns sets of names, as Bloom filters (Bloom 1970), each with the newest start of its groups. A
group in no set has not started since. One in some hundred of these groups is found nevertheless,
and pauses once more. So no group ever starts too early.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST = 64
"""How many sets of a run stay, 64 KiB each. When there are more, the two oldest become one."""

_BITS = 19
_HASHES = 8


@dataclass(slots=True)
class _Names:
    """Some names. newest: the latest start among them (monotonic)."""

    newest: float
    bits: bytearray = field(default_factory=lambda: bytearray(2 ** (_BITS - 3)))

    def add(self, name: str) -> None:
        for bit in _places(name):
            self.bits[bit >> 3] |= 1 << (bit & 7)

    def may_have(self, name: str) -> bool:
        return all(self.bits[bit >> 3] >> (bit & 7) & 1 for bit in _places(name))


def _places(name: str) -> list[int]:
    """Two halves of one hash make all of them (Kirsch and Mitzenmacher 2006)."""
    hashed = hash(name)
    step = (hashed >> 32) | 1
    return [(hashed + n * step) & (2**_BITS - 1) for n in range(_HASHES)]


class Past:
    """The starts of groups of one run, the oldest set first."""

    def __init__(self) -> None:
        self._sets: list[_Names] = []

    def add(self, starts: Mapping[str, float]) -> None:
        """Take over starts: the name of a group, and when it started last (monotonic)."""
        names = _Names(max(starts.values()))
        for name in starts:
            names.add(name)
        self._sets.append(names)
        self._sets.sort(key=lambda one: one.newest)
        if len(self._sets) > MOST:
            oldest = self._sets.pop(0)
            merged = (a | b for a, b in zip(oldest.bits, self._sets[0].bits, strict=True))
            self._sets[0].bits = bytearray(merged)

    def started_at(self, name: str) -> float:
        """When a group started last, or later than that. -inf: it is in no set."""
        found = (one.newest for one in reversed(self._sets) if one.may_have(name))
        return next(found, -math.inf)

    def forget(self, until: float) -> float:
        """Forget the sets whose starts are all before a time; returns the newest of these."""
        newest = -math.inf
        while self._sets and self._sets[0].newest <= until:
            newest = self._sets.pop(0).newest
        return newest

"""The fresh keys in memory: by the first bits of their hashes, one after the other in a few bytes.

A name is the number of a run and the hash of a key. A set of names would take five times as much.
It knows nothing of the disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable

from ..relational.names import NAME_BYTES, RUN_BYTES, first_bits

_BUCKET = 20
"""Buckets are by the bits in front of these, of 32. There are 4,096 of them, 16 for a slice."""

_SLICE = 24 - _BUCKET


class FreshKeys:
    """Names of keys. count: how many."""

    def __init__(self) -> None:
        self.count = 0
        self._buckets = _empty()

    def add(self, names: Collection[bytes], hashed: array[int]) -> None:
        """Take names that are not here. hashed: the first bits of their hashes."""
        buckets = self._buckets
        for name, at in zip(names, hashed, strict=True):
            buckets[at >> _BUCKET] += name
        self.count += len(names)

    def present(self, names: Collection[bytes]) -> set[bytes]:
        """Those of these names that are here."""
        buckets = self._buckets
        each = zip(names, first_bits(names), strict=True)
        return {name for name, at in each if name in buckets[at >> _BUCKET]}

    def of_slice(self, number: int) -> list[bytes]:
        """All names whose hash begins with a byte, in the order of the tree."""
        return sorted(_cut(b"".join(self._buckets[number << _SLICE : (number + 1) << _SLICE])))

    def drop_slice(self, number: int) -> None:
        """Drop all names whose hash begins with a byte."""
        for place in range(number << _SLICE, (number + 1) << _SLICE):
            self.count -= len(self._buckets[place]) // NAME_BYTES
            self._buckets[place] = bytearray()

    def drop_runs(self, heads: Collection[bytes]) -> None:
        """Drop the names of some runs. heads: their numbers, as names begin with them."""
        buckets, self._buckets, self.count = self._buckets, _empty(), 0
        for bucket in buckets:
            names = [name for name in _cut(bytes(bucket)) if name[:RUN_BYTES] not in heads]
            self.add(names, first_bits(names))


def _empty() -> list[bytearray]:
    return [bytearray() for _ in range(1 << (32 - _BUCKET))]


def _cut(data: bytes) -> Iterable[bytes]:
    return [data[at : at + NAME_BYTES] for at in range(0, len(data), NAME_BYTES)]

"""A Bloom filter of one bit a key. For most free keys it spares the look at the disk."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress

SLICES = 256
"""How many slices there are: one for each first byte of a hash. The file's format depends on it."""
PART_BYTES = 16_384
"""The size of a slice's part. With ten million keys, every fourth free key is looked up in vain."""

_SPREAD = 2_654_435_761
_BEHIND_SLICE = 0xFFFFFF


class Filter:
    """Which keys may be taken. The disk has it in parts, one for each slice."""

    def __init__(self) -> None:
        self._bits = bytearray(SLICES * PART_BYTES)

    def select(self, names: list[bytes], places: list[int]) -> list[bytes]:
        """The names that may be taken. The others are not. places: of the names, in their order."""
        bits = self._bits
        return list(compress(names, [bits[at >> 10] >> (at & 7) & 1 for at in places]))

    def add(self, places: list[int]) -> None:
        """The names that have these places are taken."""
        bits = self._bits
        for at in places:
            bits[at >> 10] |= 1 << (at & 7)

    def part(self, number: int) -> bytes:
        """The part of a slice."""
        return bytes(self._bits[number * PART_BYTES : (number + 1) * PART_BYTES])

    def set(self, number: int, bits: bytes) -> None:
        """Replace the part of a slice."""
        self._bits[number * PART_BYTES : (number + 1) * PART_BYTES] = bits


def places(run: int, hashed: Iterable[int]) -> list[int]:
    """The place of each name of a run: 22 bits name a byte, the last 3 of them also the bit in it.

    The first 8 bits are the slice. The run is mixed in, because runs that follow one another often
    have the same keys. hashed: the first bits of their hashes.
    """
    mixed = run * _SPREAD & _BEHIND_SLICE
    return [at ^ mixed for at in hashed]

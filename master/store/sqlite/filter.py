"""A Bloom filter of one bit a key. For most free keys it spares the look at the disk."""

from __future__ import annotations

from array import array
from collections.abc import Collection

from .names import first_bits, run_bits

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

    def select(self, names: list[bytes]) -> list[bytes]:
        """The names that may be taken. The others are not."""
        bits = self._bits
        each = zip(names, _places(names, first_bits(names)), strict=True)
        return [name for name, at in each if bits[at >> 10] >> (at & 7) & 1]

    def add(self, names: Collection[bytes], hashed: array[int]) -> None:
        """These names are taken. hashed: the first bits of their hashes."""
        bits = self._bits
        for at in _places(names, hashed):
            bits[at >> 10] |= 1 << (at & 7)

    def part(self, number: int) -> bytes:
        """The part of a slice."""
        return bytes(self._bits[number * PART_BYTES : (number + 1) * PART_BYTES])

    def set(self, number: int, bits: bytes) -> None:
        """Replace the part of a slice."""
        self._bits[number * PART_BYTES : (number + 1) * PART_BYTES] = bits


def _places(names: Collection[bytes], hashed: array[int]) -> list[int]:
    """The place of each name: 22 bits name a byte, the last 3 of them also the bit in it.

    The first 8 bits are the slice. The run is mixed in, because runs that follow one another often
    have the same keys.
    """
    runs = run_bits(names)
    mixed = {run: run * _SPREAD & _BEHIND_SLICE for run in set(runs)}
    if len(mixed) == 1:
        (behind,) = mixed.values()
        return [at ^ behind for at in hashed]
    return [at ^ mixed[run] for at, run in zip(hashed, runs, strict=True)]

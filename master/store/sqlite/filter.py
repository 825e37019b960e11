"""A Bloom filter of one bit a key. For most free keys it spares the look at the disk."""

from __future__ import annotations

import struct
from collections.abc import Iterable

SLICES = 256
"""How many slices there are: one for each first byte of a hash. The file's format depends on it."""
PART_BYTES = 16_384
"""The size of a slice's part. With ten million keys, every fourth free key is looked up in vain."""

_NAME = struct.Struct(">QI12x")
_SPREAD = 2_654_435_761
_BEHIND_SLICE = 0xFFFFFF


class Filter:
    """Which keys may be in the tree. It is kept and changed in parts, one for each slice."""

    def __init__(self) -> None:
        self._bits = bytearray(SLICES * PART_BYTES)

    def select(self, names: list[bytes]) -> list[bytes]:
        """The names that may be in the tree. The others are not in it."""
        bits = self._bits
        places = _places(names)
        return [n for n, at in zip(names, places, strict=True) if bits[at >> 10] >> (at & 7) & 1]

    def add(self, part: int, names: Iterable[bytes]) -> bytes:
        """A slice's part with these names added. The filter itself changes only by `set`."""
        begin = part * PART_BYTES
        bits = self._bits[begin : begin + PART_BYTES]
        for at in _places(names):
            bits[(at >> 10) - begin] |= 1 << (at & 7)
        return bytes(bits)

    def set(self, part: int, bits: bytes) -> None:
        """Replace the part of a slice."""
        self._bits[part * PART_BYTES : (part + 1) * PART_BYTES] = bits


def _places(names: Iterable[bytes]) -> list[int]:
    """The place of each name: 22 bits name a byte, the last 3 of them also the bit in it.

    The first 8 bits are the slice. The run is mixed in, because runs that follow one another often
    have the same keys.
    """
    fields = _NAME.iter_unpack(b"".join(names))
    return [at ^ (run * _SPREAD & _BEHIND_SLICE) for run, at in fields]

"""How many different visitors there were, by a sketch that takes 16 KB and can be merged.

HyperLogLog (Flajolet et al., 2007), as Apache DataSketches has it. With 2**14 registers its
standard error is 0.8 %.
"""

from __future__ import annotations

from collections.abc import Iterable

import datasketches

_LOG_REGISTERS = 14


class Visitors:
    """A set of visitors, of which only the size is known."""

    def __init__(self) -> None:
        self._union = datasketches.hll_union(_LOG_REGISTERS)

    def add(self, visitors: Iterable[str]) -> None:
        """Add visitors. One that was there already changes nothing."""
        for visitor in visitors:
            self._union.update(visitor)

    def merge(self, packed: bytes) -> None:
        """Add those of another set, as `packed` gives it."""
        self._union.update(datasketches.hll_sketch.deserialize(packed))

    def packed(self) -> bytes:
        """The set as bytes."""
        return bytes(self._union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_compact())

    def __len__(self) -> int:
        return round(float(self._union.get_estimate()))

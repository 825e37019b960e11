"""Checks what loading a pickle would take, before anything is loaded.

This module owns when a fast walk over the opcodes is enough, and when `playing` has to take a
closer look. It knows nothing of what a pickle means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...errors import ProtocolError
from ..limits import HASH_DEPTH, VALUE_FREE_BYTES
from .opcodes import (
    BUILD,
    CALL,
    DUP,
    FLOAT,
    FRAME,
    FROZENSET,
    GET,
    GLOBAL,
    HASHING,
    INT32,
    LONG,
    MEMOIZE,
    OPS,
    PUT,
    SOFT,
    STACK_GLOBAL,
    STOP,
    TEXT,
    TUPLE,
    TUPLE_OF,
    Bounds,
    behind_lines,
    check_put,
    not_taken,
)
from .playing import play

# A pickle of at most this size takes less than VALUE_FREE_BYTES, whatever its opcodes are.
_SMALL_BYTES = VALUE_FREE_BYTES // 256
_LOOSE_TIMES_GETS = 1_000_000
_FLAT = frozenset({SOFT, INT32, FLOAT})
_NESTED = frozenset({LONG, TUPLE_OF, TUPLE, FROZENSET, CALL, STACK_GLOBAL})


def inspect(data: bytes, bounds: Bounds = FRAME) -> None:
    """Check that loading a pickle takes no more memory and time than the bounds say.

    Raises:
        ProtocolError: the pickle is cut short, nonsense, or made to exhaust memory, stack or time.
        NotPlainDataError: the pickle has a bytearray.
    """
    for _ in inspecting(data, bounds):
        pass


def inspecting(data: bytes, bounds: Bounds = FRAME) -> Iterator[None]:
    """As `inspect`, in portions of a few milliseconds. Raises as `inspect` does."""
    try:
        small = len(data) <= _SMALL_BYTES or not bounds.served
        if not (small and _counted(data, bounds).is_harmless(bounds)):
            yield from play(data, bounds)
    except (IndexError, KeyError):
        raise ProtocolError("a frame is not a whole pickle") from None


class _Counts(NamedTuple):
    """How many opcodes of a pickle hash values, and how many values can take long to hash.

    hashing: opcodes that hash. loose: values that are no texts. nested: loose values that hold
    other values, or are long. gets: opcodes that take an earlier value a second time.
    """

    hashing: int
    loose: int
    nested: int
    gets: int

    def is_harmless(self, bounds: Bounds) -> bool:
        """Whether hashing takes little time. False: only a closer look can tell.

        Two things can take long: many entries that are no texts, and tuples that hold one another
        more than once.
        """
        if not self.hashing:
            return True
        loose, nested, gets = self.loose, self.nested, self.gets
        if gets and (nested or loose * gets > _LOOSE_TIMES_GETS):
            return False
        return nested < HASH_DEPTH // 2 and (bounds.entries is None or loose <= bounds.entries)


def _counted(data: bytes, bounds: Bounds) -> _Counts:
    """Walk fast over a pickle that is too small to take much memory."""
    at = puts = gets = hashing = loose = nested = 0
    end, ops, flat = len(data), OPS, _FLAT
    while at <= end:
        op = ops[data[at]]
        if op is None:
            raise not_taken(data[at])
        fixed, prefix, kind, _ = op
        at += 1 + fixed
        if kind == TEXT:
            at += prefix + int.from_bytes(data[at : at + prefix], "little")
        elif kind == MEMOIZE:
            puts += 1
        elif kind in flat:
            loose += 1
        elif kind in (GET, DUP):
            gets += 1
        elif kind in _NESTED:
            loose, nested, hashing = loose + 1, nested + 1, hashing + (kind == FROZENSET)
            if prefix:
                at += prefix + int.from_bytes(data[at : at + prefix], "little")
        elif kind in HASHING:
            hashing += 1
        elif kind == GLOBAL:
            loose, at = loose + 1, behind_lines(data, at)
        elif kind == PUT:
            check_put(data, at, fixed, puts, bounds)
            puts += 1
        elif kind == STOP:
            if at != end:
                raise ProtocolError("a frame goes on behind its pickle")
            return _Counts(hashing, loose, nested, gets)
        elif kind == BUILD and not bounds.builds:
            raise not_taken(ord("b"))
    raise ProtocolError("a frame has a pickle that is cut short")

"""How much it takes to write plain data out, and its beginning as Python writes it.

A pickle of 120 bytes can hold one list twice, which holds another one twice, and so on. In memory
that is a few lists, and written out it is millions of texts. Both functions here take time and
memory by their bounds alone, however a value is nested.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..wire.limits import ENCODED_BYTES
from .dtypes import Layout, size_of
from .packed import PackedArray, PackedTable

_LISTS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}")}
_SEQUENCES = (list, tuple, set, frozenset)
_FLAT: dict[type, Callable[[Any], int]] = {
    str: len,
    bytes: len,
    int: int.bit_length,
    float: sys.getsizeof,
    bool: sys.getsizeof,
    type(None): sys.getsizeof,
}
"""What counts the characters of a value without parts, in C. It may count some too many."""


class Most(NamedTuple):
    """What a value may take when it is written out.

    parts: entries of lists, sets and dicts, each as often as it is written. chars: of texts and
    numbers, roughly.
    """

    parts: int
    chars: int


ANY = Most(ENCODED_BYTES, 8 * ENCODED_BYTES)
"""What a value without shared parts never takes, for each of its parts takes a byte."""

_NOTHING, _NEW = Most(0, 0), Most(-1, -1)


def fits(value: Any, most: Most = ANY) -> bool:
    """Whether writing a value out takes no more than that.

    What contains itself does not fit, nor what is nested as deeply as Python calls functions.
    """
    try:
        parts, chars = _Weighing(most).of(value)
    except (_TooMuchError, RecursionError):
        return False
    return parts <= most.parts and chars <= most.chars


class _TooMuchError(Exception):
    """It takes more than it may."""


class _Weighing:
    """Counts what a value takes. A part that is there many times is looked at once."""

    def __init__(self, most: Most) -> None:
        self._most = most
        self._known: dict[int, Most | None] = {}
        """By the id of a part; None while it is being looked at."""

    def of(self, one: Any) -> Most:
        """What a value takes. Raises _TooMuchError."""
        kind = type(one)
        if kind is dict or kind in _SEQUENCES:
            if not one:
                return _NOTHING
            found = self._known.get(id(one), _NEW)
            if found is _NEW:
                self._known[id(one)] = None
                found = self._known[id(one)] = self._parts(one)
            if found is None:
                raise _TooMuchError
            return found
        measure = _FLAT.get(kind)
        if measure is not None:
            return Most(0, measure(one))
        return Most(_elements(one) if kind is PackedArray else 0, _chars(one))

    def _parts(self, one: Any) -> Most:
        """What all parts of a value take together."""
        most_parts, most_chars = self._most
        parts, chars = len(one), 0
        for side in (one, one.values()) if type(one) is dict else (one,):
            kinds = set(map(type, side))
            measure = _FLAT.get(kinds.pop()) if len(kinds) == 1 else None
            if measure is not None:
                chars += sum(map(measure, side))
                continue
            for part in side:
                measure = _FLAT.get(type(part))
                if measure is not None:
                    chars += measure(part)
                    continue
                more_parts, more_chars = self.of(part)
                parts += more_parts
                chars += more_chars
                if parts > most_parts or chars > most_chars:
                    raise _TooMuchError
        if parts > most_parts or chars > most_chars:
            raise _TooMuchError
        return Most(parts, chars)


def _chars(one: Any) -> int:
    """About as many characters as a value without parts takes."""
    return len(one.data) if type(one) in (PackedArray, PackedTable) else sys.getsizeof(one)


def _elements(array: PackedArray) -> int:
    """How many values its elements are. Fields may lie on one another."""
    dtype = array.dtype
    if array.is_text:
        return 1
    each = sum(math.prod(one.shape) for one in dtype.fields) if isinstance(dtype, Layout) else 1
    return each * (len(array.data) // size_of(dtype))


def beginning(value: Any, chars: int) -> str:
    """As Python writes a value: at most so many characters of it.

    A whole number that Python does not write (`sys.int_info`) is hexadecimal.
    """
    pieces, left = [], chars
    for piece in _pieces(value, chars):
        pieces.append(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    return "".join(pieces)


def _pieces(value: Any, chars: int) -> Iterator[str]:
    """The texts that a value is written with. Nesting takes no stack of Python."""
    levels = [_written(value, chars)]
    while levels:
        text, part = next(levels[-1], (None, None))
        if text is None:
            levels.pop()
            continue
        yield text
        if part is not None:
            levels.append(_written(part[0], chars))


_Written = Iterator[tuple[str, tuple[Any] | None]]
"""Texts, and the value that is written behind each."""


def _written(value: Any, chars: int) -> _Written:
    kind = type(value)
    if kind is dict:
        return _of_dict(value)
    if kind in _LISTS and (value or kind is not set):
        opens, closes = _LISTS[kind]
        return _of_list(value, opens, "," * (kind is tuple and len(value) == 1) + closes)
    if kind is frozenset and value:
        return _of_list(value, "frozenset({", "})")
    return iter([(_atom(value, chars), None)])


def _of_list(value: Any, opens: str, closes: str) -> _Written:
    for between, one in zip(itertools.chain([opens], itertools.repeat(", ")), value, strict=False):
        yield between, (one,)
    yield closes if value else opens + closes, None


def _of_dict(value: dict[Any, Any]) -> _Written:
    between = "{"
    for key, one in value.items():
        yield between, (key,)
        yield ": ", (one,)
        between = ", "
    yield "}" if value else "{}", None


def _atom(value: Any, chars: int) -> str:
    if type(value) in (str, bytes):
        return repr(value[:chars])
    if type(value) is PackedArray and _elements(value) > chars and isinstance(value.dtype, Layout):
        return f"array({len(value.data):,} bytes, dtype={len(value.dtype.fields):,} fields)"
    try:
        return repr(value)
    except ValueError:
        return hex(value)

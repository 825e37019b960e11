"""Values as binary parameters of PostgreSQL, each with its type. A list is an array.

A text is kept as `plain_text.kept` has it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..plain_text import kept

INT8, FLOAT8, TEXT, BYTEA = 20, 701, 25, 17
"""Types by their numbers (pg_type.oid)."""

_ARRAYS = {INT8: 1016, FLOAT8: 1022, TEXT: 1009, BYTEA: 1001}
_HEAD = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_NUMBER = struct.Struct("!q")
_REAL = struct.Struct("!d")
_NULL = b"\xff\xff\xff\xff"


class Parameter(NamedTuple):
    """A value, None if it is NULL, and the number of its type.

    0: the server finds the type, and the value is text.
    """

    value: bytes | None
    type: int


_NOTHING = Parameter(b"{}", 0)
"""An array of no values: the server finds its type, as that of one with NULLs alone."""


def _text(value: str) -> bytes:
    return kept(value).encode()


_PACKED: dict[int, Callable[[Any], bytes]] = {
    INT8: _NUMBER.pack,
    FLOAT8: _REAL.pack,
    TEXT: _text,
    BYTEA: bytes,
}
_TYPES = {int: INT8, bool: INT8, float: FLOAT8, str: TEXT, bytes: BYTEA}


def parameter(value: Any) -> Parameter:
    """A value, or a list of values of one type.

    Raises:
        ValueError: it is a number of more than eight bytes, or no text that can be encoded.
    """
    if value is None:
        return Parameter(None, 0)
    kind = _TYPES.get(type(value))
    if kind is not None:
        return Parameter(_packed(kind, value), kind)
    if isinstance(value, (str, bytes, int, float)):  # of a class of its own, such as an enum's
        return parameter(_plain(value))
    if not value:
        return _NOTHING
    first = next((one for one in value if one is not None), None)
    if first is None:
        return Parameter(b"{%s}" % b",".join([b"NULL"] * len(value)), 0)
    kind = _TYPES[type(first)]
    if kind == INT8 and any(isinstance(one, float) for one in value):
        kind = FLOAT8
    return array(value, kind)


def array(values: Sequence[Any], kind: int) -> Parameter:
    """Values as an array. Raises ValueError as `parameter`."""
    if kind == INT8 and None not in values:
        pairs = [8] * (2 * len(values))
        pairs[1::2] = values
        try:
            body = struct.pack("!" + "iq" * len(values), *pairs)
        except struct.error as error:
            raise ValueError(f"a number takes more than eight bytes: {error}") from error
        return Parameter(_HEAD.pack(1, 0, kind, len(values), 1) + body, _ARRAYS[kind])
    return Parameter(b"".join(_elements(values, kind)), _ARRAYS[kind])


def _elements(values: Sequence[Any], kind: int) -> Iterable[bytes]:
    yield _HEAD.pack(1, int(None in values), kind, len(values), 1)
    for value in values:
        if value is None:
            yield _NULL
        else:
            packed = _packed(kind, value)
            yield _LENGTH.pack(len(packed))
            yield packed


def _packed(kind: int, value: Any) -> bytes:
    try:
        return _PACKED[kind](value)
    except struct.error as error:
        raise ValueError(f"{value!r} takes more than eight bytes") from error


def _plain(value: Any) -> Any:
    return next(kind for kind in (str, bytes, int, float) if isinstance(value, kind))(value)

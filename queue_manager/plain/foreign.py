"""Values of libraries that travel: which are, and how they stand in an item and in a pickle.

An item that is nothing but such a value is a MessagePack extension with a code and a body. Within
another value it is a call with code and body. The body is the MessagePack of a record of `packed`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import NotPlainDataError, ProtocolError
from ..wire.limits import printable
from ..wire.stock.opcodes import Bounds
from ..wire.stock.pickles import PLAIN, Allowance
from . import arrays, tables
from .packed import ARRAY, TABLE, Packed, PackedArray, packed

FIRST_BYTES = frozenset({0xC7, 0xC8, 0xC9})
"""The first byte of an item that is an extension, by how many bytes its length has: 1, 2 or 4."""

LIBRARIES = frozenset({"numpy", "pandas", "pyarrow"})


_BESIDES_BYTES = 128
"""What an array or a table takes besides its data."""

_FOREIGN = "arrays and numbers of numpy, tables of pandas and pyarrow"

_INSTEAD = (
    ("numpy.random.", "send a seed, and make it where it is used"),
    ("numpy.dtype", "send str(d)"),
    ("numpy.ma.", "send numpy.asarray(a), and a mask by itself"),
    ("numpy.", "send numpy.asarray(a)"),
    ("pandas.Index", "send i.tolist(), or a Series"),
    ("pandas.core.indexes.", "send i.tolist(), or a Series"),
    ("pandas.", "send a DataFrame or a Series, a Timestamp as t.to_pydatetime()"),
    ("pyarrow.", "send a Table, or a.to_pylist()"),
)
"""What to send for a value by how its class, or one that it inherits from, begins with its module.
The first that fits counts."""


class Body(NamedTuple):
    """What of a value travels, in two parts, so that its data are copied once.

    code: of which kind it is. head: all but the data. data: the bytes of its elements.
    """

    code: int
    head: bytes
    data: memoryview | bytes

    def body(self) -> bytes:
        """Both parts, for a pickle."""
        return b"".join((self.head, self.data))

    def item(self) -> bytes:
        """The item of a value that stands for itself."""
        size = len(self.head) + len(self.data)
        if size < 256:
            return b"".join((bytes((0xC7, size, self.code)), self.head, self.data))
        start = b"\xc9" + size.to_bytes(4, "big") + bytes((self.code,))
        return b"".join((start, self.head, self.data))


def is_foreign(kind: type) -> bool:
    """Whether a class seems to be of one of the libraries. Nothing is imported for it."""
    return _is_of_library(kind.__module__)


@functools.lru_cache(1_024)
def _is_of_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def pack(value: Any, limit_bytes: int) -> Body | None:
    """What of a value of a class that `is_foreign` travels. None: it does not.

    Raises:
        NotPlainDataError: it is of a kind that travels, and holds what does not.
        TooLargeError: its data take more than `limit_bytes`.
    """
    kind = type(value)
    if kind.__module__.startswith("numpy"):
        head = arrays.heads().get(kind)
        if head is not None:
            return Body(ARRAY, head, value.tobytes())
        array = arrays.pack(value, limit_bytes)
        return None if array is None else Body(ARRAY, array.head(), array.data)
    table = tables.pack(value, limit_bytes)
    return None if table is None else Body(TABLE, table.head(), table.data)


def unpack(data: bytes) -> Packed:
    """Read an item that `Body.item` wrote, or a stranger.

    Raises:
        ProtocolError: it is none. Any other error means the same.
    """
    width = 1 << (data[0] - 0xC7)
    at = 2 + width
    if len(data) < at or int.from_bytes(data[1 : 1 + width], "big") != len(data) - at:
        raise ProtocolError("an item is not a whole extension")
    return packed(data[at - 1], memoryview(data)[at:])


def build(found: Packed) -> Any:
    """The value itself.

    Raises:
        ProtocolError: this machine lacks a library, or the value is none.
    """
    return arrays.build(found) if isinstance(found, PackedArray) else tables.build(found)


def opened(found: Packed, bounds: Bounds) -> Any:
    """The value itself, or what travels of it if the program only shows it.

    Raises:
        ProtocolError: this machine lacks a library, the value is none, or it is for a stock client,
            which has none of the libraries.
    """
    if bounds.served:
        raise ProtocolError(f"it is {found!r}, which only programs of Quartermaster can read")
    return found if bounds.packed else build(found)


def builder(allowance: Allowance, bounds: Bounds) -> Callable[[Any, Any], Any]:
    """Return what makes the arrays and tables of one pickle, which can name one body often."""
    quick = not (bounds.served or bounds.packed)

    def called(code: Any, body: Any) -> Any:
        if quick and code == ARRAY:
            number = arrays.number(body)
            if number is not None:
                return number
        found = packed(code, body)
        allowance.take(len(body) + _BESIDES_BYTES)
        return opened(found, bounds)

    return called


def not_plain_value(value: Any) -> NotPlainDataError:
    """The error for a value that can't travel. It says what to send instead."""
    kind = type(value)
    if value is bytearray:  # the C pickler passes the class, not the object
        kind = bytearray
    module = kind.__module__
    name = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    hint = _instead(kind)
    hint = f"{hint}; " if hint else ""
    return NotPlainDataError(f"{printable(name)} cannot travel: {hint}{PLAIN}, {_FOREIGN}")


def _instead(kind: type) -> str:
    """What to send for a value of a class. Empty: nobody knows."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):  # a named tuple
        return "send tuple(t) or t._asdict()"
    names = [f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__]
    fits = (hint for known, hint in _INSTEAD if any(name.startswith(known) for name in names))
    return next(fits, "")

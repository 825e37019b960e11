"""The opcodes of pickles: which are accepted, what each allocates, and what a pickle may take.

This module owns the table. `inspection` and `playing` walk over a pickle with it. Source of the
opcodes and their arguments: CPython's `Lib/pickletools.py`. Source of what they allocate:
`sys.getsizeof` of CPython 3.11 to 3.13.
"""

from __future__ import annotations

import pickletools
from typing import NamedTuple

from ...errors import NotPlainDataError, ProtocolError, QueueError
from ..limits import HASHED_ENTRIES, HASHED_ITEM_NODES, HASHED_NODES


class Bounds(NamedTuple):
    """What a pickle may take.

    served: it is loaded in the master, where everybody waits. So it may take only `VALUE_FACTOR`
    times its bytes and `VALUE_FREE_BYTES`. entries: how many keys of dicts and members of sets may
    be neither texts nor small ints; None is any number. nodes: how many parts all these may have
    together, with tuples written out. puts: whether opcodes may put a value at a chosen place of
    the memo. builds: whether opcodes may change an object. packed: whether arrays and tables stay
    the records that travel, for a program that shows them and needs no numpy.
    """

    served: bool
    entries: int | None
    nodes: int
    puts: bool
    builds: bool
    packed: bool = False


FRAME = Bounds(True, HASHED_ENTRIES, HASHED_NODES, True, True)
"""A frame of a standard-library client."""

ITEM = Bounds(False, None, HASHED_ITEM_NODES, False, False)
"""An item of `codec.encode` in a slot, a runner or a command, where it delays one task alone."""

SHOWN_ITEM = ITEM._replace(packed=True)
"""An item in a command, which shows it."""

SERVED_ITEM = Bounds(True, HASHED_ENTRIES, HASHED_NODES, False, False)
"""An item in the master, where everybody waits."""

_REFUSED = {
    "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX", "NEXT_BUFFER",
    "READONLY_BUFFER", "BYTEARRAY8",
    # Text opcodes are of protocol 0, which nobody sends; PUT and INT take their size from a text.
    "INT", "LONG", "FLOAT", "STRING", "UNICODE", "PUT", "GET", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip

# The kinds of opcodes, by what the walks do with them. From PUT on they are the rare ones, for
# which `playing` has a function each.
(
    NOTHING, TEXT, SOFT, INT32, LONG, FLOAT, LIST, DICT, SET, MARK, MEMOIZE, GET,
    GLOBAL, STOP,
    PUT, DUP, POP, POP_MARK, TUPLE_OF, TUPLE, NEW_LIST, NEW_DICT, FROZENSET, APPEND,
    APPENDS, SETITEM, SETITEMS, ADDITEMS, STACK_GLOBAL, CALL, BUILD,
) = range(31)  # fmt: skip

_KINDS = {
    "PROTO": NOTHING, "FRAME": NOTHING,
    "SHORT_BINUNICODE": TEXT, "BINUNICODE": TEXT, "BINUNICODE8": TEXT,
    "SHORT_BINBYTES": TEXT, "BINBYTES": TEXT, "BINBYTES8": TEXT,
    "NONE": SOFT, "NEWTRUE": SOFT, "NEWFALSE": SOFT, "BININT1": SOFT, "BININT2": SOFT,
    "BININT": INT32, "LONG1": LONG, "LONG4": LONG, "BINFLOAT": FLOAT,
    "EMPTY_LIST": LIST, "EMPTY_DICT": DICT, "EMPTY_SET": SET, "EMPTY_TUPLE": TUPLE_OF,
    "MARK": MARK, "MEMOIZE": MEMOIZE, "BINPUT": PUT, "LONG_BINPUT": PUT,
    "BINGET": GET, "LONG_BINGET": GET, "DUP": DUP, "POP": POP, "POP_MARK": POP_MARK,
    "TUPLE1": TUPLE_OF, "TUPLE2": TUPLE_OF, "TUPLE3": TUPLE_OF, "TUPLE": TUPLE,
    "LIST": NEW_LIST, "DICT": NEW_DICT, "FROZENSET": FROZENSET,
    "APPEND": APPEND, "APPENDS": APPENDS, "SETITEM": SETITEM, "SETITEMS": SETITEMS,
    "ADDITEMS": ADDITEMS, "GLOBAL": GLOBAL, "STACK_GLOBAL": STACK_GLOBAL,
    "REDUCE": CALL, "NEWOBJ": CALL, "BUILD": BUILD, "STOP": STOP,
}  # fmt: skip

# What an opcode allocates in bytes, besides the bytes of its argument and its parts.
SLOT = 8
BATCH = 4_096  # a pickler adds 1,000 to a list at a time
_CHARGES = {
    TEXT: 64, SOFT: 8, INT32: 40, LONG: 48, FLOAT: 32, LIST: 80, DICT: 88, SET: 240,
    MARK: 8, MEMOIZE: 20, PUT: 20, GET: 8, DUP: 8, TUPLE_OF: 64, TUPLE: 64,
    NEW_LIST: 80, NEW_DICT: 208, FROZENSET: 240, APPEND: 40, APPENDS: 24, SETITEM: 160,
    SETITEMS: 160, GLOBAL: 8, CALL: 128, BUILD: 240,
}  # fmt: skip
ENTRY = 72
"""Bytes of an entry of a dict or a set, with the room that is kept for later entries..."""
FREE_ENTRIES = 5
"""... except for the first entries, which have room from the beginning."""

HASHING = frozenset({SETITEM, SETITEMS, ADDITEMS, FROZENSET, NEW_DICT})

OPS: list[tuple[int, int, int, int] | None] = [None] * 256
"""By opcode: bytes of its fixed argument, of its length prefix, its kind, its charge."""

for _op in pickletools.opcodes:
    if _op.name in _REFUSED:
        continue
    _n = 0 if _op.arg is None else _op.arg.n
    _prefix = {
        pickletools.TAKEN_FROM_ARGUMENT1: 1,
        pickletools.TAKEN_FROM_ARGUMENT4: 4,
        pickletools.TAKEN_FROM_ARGUMENT4U: 4,
        pickletools.TAKEN_FROM_ARGUMENT8U: 8,
    }.get(_n, 0)
    _kind = _KINDS[_op.name]
    OPS[ord(_op.code)] = (0 if _prefix else max(_n, 0), _prefix, _kind, _CHARGES.get(_kind, 0))
OPS[ord("M")] = (2, 0, SOFT, 40)
OPS[ord(")")] = (0, 0, TUPLE_OF, 8)
_BYTEARRAY = 0x96
WIDTHS = {ord(")"): 0, 0x85: 1, 0x86: 2, 0x87: 3}
"""How many parts the tuple of an opcode has."""

PUT_WIDTHS = {ord("q"): 1, ord("r"): 4}
"""By opcode that puts a value into the memo: how many bytes the number of the place has."""


def not_taken(code: int) -> QueueError:
    """The error that says why an opcode is refused."""
    if code == _BYTEARRAY:
        return NotPlainDataError(
            "bytearray cannot travel: send bytes(b), and of an array of numpy a.tolist()"
        )
    return ProtocolError(f"a frame has the pickle opcode 0x{code:02x}, which is not taken")


def behind_lines(data: bytes, at: int) -> int:
    """Where the two lines of a GLOBAL end. If they do not end, it is behind the end of the data."""
    return data.find(b"\n", data.find(b"\n", at) + 1) + 1 or len(data) + 1


def check_put(data: bytes, at: int, width: int, puts: int, bounds: Bounds) -> None:
    """Refuse a place in the memo that no pickler chooses. The memo grows up to that place."""
    if not bounds.puts:
        raise not_taken(data[at - width - 1])
    if int.from_bytes(data[at - width : at], "little") > puts:
        raise ProtocolError("a frame has a pickle made to exhaust memory")

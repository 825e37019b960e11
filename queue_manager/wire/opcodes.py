"""What loading a pickle would take, told from its opcodes before anything is loaded.

Owns the walk over a pickle: which opcodes are taken, and what each of them allocates and hashes.
Knows nothing of what a pickle means. Source of the opcodes and of what they take and give:
CPython's `Lib/pickletools.py`; of what they allocate: `sys.getsizeof` of CPython 3.11 to 3.13.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import NotPlainDataError, ProtocolError, QueueError
from .limits import (
    HASH_DEPTH,
    HASHED_ENTRIES,
    HASHED_ITEM_NODES,
    HASHED_NODES,
    VALUE_FACTOR,
    VALUE_FREE_BYTES,
    WALK_BYTES,
)


class Bounds(NamedTuple):
    """What a pickle may take.

    served: in the master, where everybody waits: it may take only `VALUE_FACTOR` times its bytes
    and `VALUE_FREE_BYTES`.
    entries: keys of dicts and members of sets, without texts and small ints; None is any number.
    nodes: of all of them together, written out. puts, builds: whether the opcodes that put
    something at a place of the memo, and that change an object, are taken.
    """

    served: bool
    entries: int | None
    nodes: int
    puts: bool
    builds: bool


FRAME = Bounds(True, HASHED_ENTRIES, HASHED_NODES, True, True)
"""A frame of a standard-library client."""

ITEM = Bounds(False, None, HASHED_ITEM_NODES, False, False)
"""What `codec.encode` writes, where one task is at stake: in a slot, a runner, a command."""

SERVED_ITEM = Bounds(True, HASHED_ENTRIES, HASHED_NODES, False, False)
"""The same in the master, where everybody waits."""

# A pickle no longer than this takes less than VALUE_FREE_BYTES, whatever its opcodes are.
_SMALL_BYTES = VALUE_FREE_BYTES // 256
_LOOSE_TIMES_GETS = 1_000_000
_NARROW = 2**20
_DEEP = 32
_NODES: int = 2**_DEEP - 1

_REFUSED = {
    "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX", "NEXT_BUFFER",
    "READONLY_BUFFER", "BYTEARRAY8",
    # Text opcodes are of protocol 0, which nobody sends; PUT and INT take their size from a text.
    "INT", "LONG", "FLOAT", "STRING", "UNICODE", "PUT", "GET", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip

# The kinds of opcodes, by what the walk does with them.
(
    _NOTHING, _TEXT, _SOFT, _INT32, _LONG, _FLOAT, _LIST, _DICT, _SET, _MARK, _MEMOIZE, _PUT, _GET,
    _DUP, _POP, _POP_MARK, _TUPLE_OF, _TUPLE, _NEW_LIST, _NEW_DICT, _FROZENSET, _APPEND, _APPENDS,
    _SETITEM, _SETITEMS, _ADDITEMS, _GLOBAL, _STACK_GLOBAL, _CALL, _BUILD, _STOP,
) = range(31)  # fmt: skip

_KINDS = {
    "PROTO": _NOTHING, "FRAME": _NOTHING,
    "SHORT_BINUNICODE": _TEXT, "BINUNICODE": _TEXT, "BINUNICODE8": _TEXT,
    "SHORT_BINBYTES": _TEXT, "BINBYTES": _TEXT, "BINBYTES8": _TEXT,
    "NONE": _SOFT, "NEWTRUE": _SOFT, "NEWFALSE": _SOFT, "BININT1": _SOFT, "BININT2": _SOFT,
    "BININT": _INT32, "LONG1": _LONG, "LONG4": _LONG, "BINFLOAT": _FLOAT,
    "EMPTY_LIST": _LIST, "EMPTY_DICT": _DICT, "EMPTY_SET": _SET, "EMPTY_TUPLE": _TUPLE_OF,
    "MARK": _MARK, "MEMOIZE": _MEMOIZE, "BINPUT": _PUT, "LONG_BINPUT": _PUT,
    "BINGET": _GET, "LONG_BINGET": _GET, "DUP": _DUP, "POP": _POP, "POP_MARK": _POP_MARK,
    "TUPLE1": _TUPLE_OF, "TUPLE2": _TUPLE_OF, "TUPLE3": _TUPLE_OF, "TUPLE": _TUPLE,
    "LIST": _NEW_LIST, "DICT": _NEW_DICT, "FROZENSET": _FROZENSET,
    "APPEND": _APPEND, "APPENDS": _APPENDS, "SETITEM": _SETITEM, "SETITEMS": _SETITEMS,
    "ADDITEMS": _ADDITEMS, "GLOBAL": _GLOBAL, "STACK_GLOBAL": _STACK_GLOBAL,
    "REDUCE": _CALL, "NEWOBJ": _CALL, "BUILD": _BUILD, "STOP": _STOP,
}  # fmt: skip

_HASHING = frozenset({_SETITEM, _SETITEMS, _ADDITEMS, _FROZENSET, _NEW_DICT})
_LOOSE = frozenset(
    {_SOFT, _INT32, _LONG, _FLOAT, _TUPLE_OF, _TUPLE, _FROZENSET, _CALL, _GLOBAL, _STACK_GLOBAL}
)

# What an opcode allocates, in bytes, beside a length that it has and the parts that it takes.
_SLOT = 8
_BATCH = 4_096  # a pickler adds 1,000 to a list at a time
_CHARGES = {
    _TEXT: 64, _SOFT: 8, _INT32: 40, _LONG: 48, _FLOAT: 32, _LIST: 80, _DICT: 88, _SET: 240,
    _MARK: 8, _MEMOIZE: 20, _PUT: 20, _GET: 8, _DUP: 8, _TUPLE_OF: 64, _TUPLE: 64,
    _NEW_LIST: 80, _NEW_DICT: 208, _FROZENSET: 240, _APPEND: 40, _APPENDS: 24, _SETITEM: 160,
    _SETITEMS: 160, _GLOBAL: 8, _CALL: 128, _BUILD: 240,
}  # fmt: skip
_ENTRY = 72
"""An entry of a dict or a set, with the room that is kept for the next ones..."""
_FREE_ENTRIES = 5
"""... but for the first ones, for which there is room from the beginning."""

_OPS: list[tuple[int, int, int, int] | None] = [None] * 256
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
    _OPS[ord(_op.code)] = (0 if _prefix else max(_n, 0), _prefix, _kind, _CHARGES.get(_kind, 0))
_OPS[ord("M")] = (2, 0, _SOFT, 40)
_OPS[ord(")")] = (0, 0, _TUPLE_OF, 8)
_BYTEARRAY = 0x96
_WIDTHS = {ord(")"): 0, 0x85: 1, 0x86: 2, 0x87: 3}


def inspect(data: bytes, bounds: Bounds = FRAME) -> None:
    """Check that loading a pickle takes no more memory and time than the bounds say.

    Raises:
        ProtocolError: it is cut short, nonsense, or made to exhaust memory, stack or time.
        NotPlainDataError: it has a bytearray.
    """
    for _ in inspecting(data, bounds):
        pass


def inspecting(data: bytes, bounds: Bounds = FRAME) -> Iterator[None]:
    """The same in portions of a few milliseconds each. Raises as `inspect` does."""
    try:
        small = len(data) <= _SMALL_BYTES or not bounds.served
        if not (small and _is_harmless(data, bounds)):
            yield from _play(data, bounds)
    except (IndexError, KeyError):
        raise ProtocolError("a frame is not a whole pickle") from None


def _is_harmless(data: bytes, bounds: Bounds) -> bool:
    """A fast walk; False when only a closer look can tell.

    What can be hashed for long are many entries that are no texts, and tuples that hold one
    another more than once.
    """
    at = puts = gets = hashing = loose = nested = 0
    end = len(data)
    ops, hashes, counted = _OPS, _HASHING, _LOOSE
    while True:
        op = ops[data[at]]
        if op is None:
            raise _not_taken(data[at])
        fixed, prefix, kind, _ = op
        at += 1 + fixed
        if kind == _TEXT:
            at += prefix + int.from_bytes(data[at : at + prefix], "little")
        elif kind in counted:
            loose += 1
            if kind == _GLOBAL:
                at = _behind_lines(data, at)
            elif kind != _SOFT and kind != _INT32 and kind != _FLOAT:
                nested += 1
                if prefix:
                    at += prefix + int.from_bytes(data[at : at + prefix], "little")
            if kind in hashes:
                hashing += 1
        elif kind in (_GET, _DUP):
            gets += 1
        elif kind in hashes:
            hashing += 1
        elif kind in (_MEMOIZE, _PUT):
            if kind == _PUT:
                _check_put(data, at, fixed, puts, bounds)
            puts += 1
        elif kind == _STOP:
            if at != end:
                raise ProtocolError("a frame goes on behind its pickle")
            break
        elif kind == _BUILD and not bounds.builds:
            raise _not_taken(ord("b"))
        elif prefix:
            at += prefix + int.from_bytes(data[at : at + prefix], "little")
        if at > end:
            raise ProtocolError("a frame has a pickle that is cut short")
    if not hashing:
        return True
    if gets and (nested or loose * gets > _LOOSE_TIMES_GETS):
        return False
    return nested < HASH_DEPTH // 2 and (bounds.entries is None or loose <= bounds.entries)


def _not_taken(code: int) -> QueueError:
    if code == _BYTEARRAY:
        return NotPlainDataError(
            "bytearray cannot travel: send bytes(b), and of an array of numpy a.tolist()"
        )
    return ProtocolError(f"a frame has the pickle opcode 0x{code:02x}, which is not taken")


def _behind_lines(data: bytes, at: int) -> int:
    """Where the two lines of a GLOBAL end; behind the end when they don't."""
    return data.find(b"\n", data.find(b"\n", at) + 1) + 1 or len(data) + 1


def _check_put(data: bytes, at: int, width: int, puts: int, bounds: Bounds) -> None:
    """Refuse a place in the memo that picklers do not choose: the memo grows up to there."""
    if not bounds.puts:
        raise _not_taken(data[at - width - 1])
    if int.from_bytes(data[at - width : at], "little") > puts:
        raise ProtocolError("a frame has a pickle made to exhaust memory")


class _Tally:
    """What the pickle has taken so far of its bounds."""

    def __init__(self, data: bytes, bounds: Bounds) -> None:
        self.most = VALUE_FACTOR * len(data) + VALUE_FREE_BYTES if bounds.served else 2**63
        self.size = len(data)
        self.bounds = bounds
        self.entries = self.nodes = 0

    def check(self, charge: int) -> None:
        """Raise ProtocolError if that many bytes are more than it may take."""
        if charge > self.most:
            raise ProtocolError(
                f"a value of {self.size:,} bytes would take more than {self.most:,} in memory:"
                " put many small parts together to one text, such as with json.dumps"
            )

    def hashes(self, values: list[int]) -> None:
        """These become keys of a dict or members of a set."""
        if max(values, default=0) < 2:
            return
        for value in values:
            if value >> _DEEP > HASH_DEPTH:
                raise ProtocolError("a frame has a key of a dict or set that is nested too deeply")
            if value >= 2:
                self.entries += 1
                self.nodes += value & _NODES
        if self.nodes > self.bounds.nodes:
            raise ProtocolError(
                "a frame has keys of dicts or members of sets that refer to one another too often:"
                f" they have more than {self.bounds.nodes:,} parts written out; send a list"
            )
        if self.bounds.entries is not None and self.entries > self.bounds.entries:
            raise ProtocolError(
                f"a frame has more than {self.bounds.entries:,} keys of dicts or members of sets"
                " that are neither texts nor small whole numbers: send a list"
            )


def _play(data: bytes, bounds: Bounds) -> Iterator[None]:
    """Play the opcodes on a stack of ints, one for each value.

    0 is a text or bytes, whose hashes nobody can foresee; 1 a narrow int, of which too few have
    places that collide; 2 what is hashed at once and foreseeably; more are the nodes of a tuple or
    frozenset when written out, and from bit 32 on how deep it is.
    """
    tally = _Tally(data, bounds)
    stack: list[int] = []
    marks: list[int] = []
    memo: list[int] = []
    at, end, ops = 0, len(data), _OPS
    charge, most = 0, tally.most
    pause = WALK_BYTES
    while True:
        op = ops[data[at]]
        if op is None:
            raise _not_taken(data[at])
        fixed, prefix, kind, cost = op
        code = data[at]
        at += 1
        charge += cost
        if charge > most:
            tally.check(charge)
        if kind == _SOFT:
            at += fixed
            stack.append(1)
        elif kind == _TEXT:
            length = int.from_bytes(data[at : at + prefix], "little")
            at += prefix + length
            if at > end:
                break
            charge += length if data[at - length : at].isascii() else 4 * length
            stack.append(0)
        elif kind == _MEMOIZE:
            memo.append(stack[-1])
        elif kind == _INT32:
            narrow = -_NARROW < int.from_bytes(data[at : at + 4], "little", signed=True) < _NARROW
            at += fixed
            stack.append(1 if narrow else 2)
        elif kind == _GET:
            stack.append(memo[int.from_bytes(data[at : at + fixed], "little")])
            at += fixed
        elif kind == _FLOAT:
            at += fixed
            stack.append(2)
        elif kind in (_LIST, _DICT, _SET):
            stack.append(2)
        elif kind == _MARK:
            marks.append(len(stack))
        elif kind in (_TUPLE_OF, _TUPLE):
            bottom = marks.pop() if kind == _TUPLE else len(stack) - _WIDTHS[code]
            parts = _taken(stack, bottom)
            charge += _held(len(parts))
            stack.append(_written_out(parts))
        elif kind == _APPENDS:
            bottom = marks.pop()
            charge += _held(len(stack) - bottom)
            _drop(stack, bottom)
            stack[-1]  # there must be something that they are added to
        elif kind == _SETITEMS:
            parts = _taken(stack, marks.pop())
            stack[-1]
            charge += _ENTRY * max(0, len(parts) // 2 - _FREE_ENTRIES)
            tally.hashes(parts[::2])
        elif kind == _ADDITEMS:
            parts = _taken(stack, marks.pop())
            stack[-1]
            charge += _ENTRY * max(0, len(parts) - _FREE_ENTRIES)
            tally.hashes(parts)
        elif kind == _SETITEM:
            parts = _taken(stack, len(stack) - 2)
            stack[-1]
            tally.hashes(parts[:1])
        elif kind == _APPEND:
            stack.pop()
            stack[-1]
        elif kind == _LONG:
            length = int.from_bytes(data[at : at + prefix], "little")
            at += prefix + length
            charge += length + length // 8
            stack.append(2 + (length >> 5))
        elif kind == _FROZENSET:
            parts = _taken(stack, marks.pop())
            charge += _ENTRY * max(0, len(parts) - _FREE_ENTRIES)
            tally.hashes(parts)
            stack.append(_written_out(parts))
        elif kind in (_NEW_LIST, _NEW_DICT):
            parts = _taken(stack, marks.pop())
            charge += (_SLOT if kind == _NEW_LIST else _ENTRY // 2) * len(parts)
            if kind == _NEW_DICT:
                tally.hashes(parts[::2])
            stack.append(2)
        elif kind == _DUP:
            stack.append(stack[-1])
        elif kind == _POP:
            if marks and marks[-1] == len(stack):
                marks.pop()
            else:
                stack.pop()
        elif kind == _POP_MARK:
            _drop(stack, marks.pop())
        elif kind == _PUT:
            at += fixed
            _check_put(data, at, fixed, len(memo), bounds)
            place = int.from_bytes(data[at - fixed : at], "little")
            memo[place : place + 1] = [stack[-1]]
        elif kind == _GLOBAL:
            at = _behind_lines(data, at)
            stack.append(2)
        elif kind in (_STACK_GLOBAL, _CALL):
            parts = _taken(stack, len(stack) - 2)
            stack.append(_written_out(parts) if kind == _CALL else 2)
        elif kind == _BUILD:
            if not bounds.builds:
                raise _not_taken(code)
            stack.pop()
            stack[-1]
        elif kind == _STOP:
            tally.check(charge)
            if at != end:
                raise ProtocolError("a frame goes on behind its pickle")
            return
        else:  # PROTO and FRAME
            at += fixed
        if at > pause:
            pause = at + WALK_BYTES
            yield
    raise ProtocolError("a frame has a pickle that is cut short")


def _held(count: int) -> int:
    """Bytes of the places of a list or tuple; of a large one those of the unpickler's stack too."""
    return _SLOT * count * (2 if count > _BATCH else 1)


def _drop(stack: list[int], bottom: int) -> None:
    """Take away what is on the stack from `bottom` on."""
    if not 0 <= bottom <= len(stack):
        raise IndexError
    del stack[bottom:]


def _taken(stack: list[int], bottom: int) -> list[int]:
    """The same, and returns it."""
    parts = stack[bottom:]
    _drop(stack, bottom)
    return parts


def _written_out(parts: list[int]) -> int:
    """A tuple, frozenset or object of these parts. Its nodes stop counting where all bounds do."""
    top = max(parts, default=0)
    if top < 3:
        return 2 + len(parts) + (1 << _DEEP)
    nodes: int = 2 + sum(part & _NODES or 1 for part in parts)
    return min(nodes, _NODES) + ((top >> _DEEP) + 1 << _DEEP)

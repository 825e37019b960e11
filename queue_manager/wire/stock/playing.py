"""A closer look at a pickle: its opcodes are played on a stack that has an int for each value.

The int says how its value hashes:
- 0 is a text or bytes. Nobody can foresee their hashes.
- 1 is a narrow int. There are too few of them to make many collide.
- 2 is another value that hashes at once. Its hash can be foreseen.
- A larger int is a tuple or frozenset. Its low 32 bits are the parts that it has when it is written
  out, and the bits above are how deep it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...errors import ProtocolError
from ..limits import HASH_DEPTH, VALUE_FACTOR, VALUE_FREE_BYTES, WALK_BYTES
from .opcodes import (
    ADDITEMS,
    APPEND,
    APPENDS,
    BATCH,
    BUILD,
    CALL,
    DICT,
    DUP,
    ENTRY,
    FLOAT,
    FREE_ENTRIES,
    FROZENSET,
    GET,
    GLOBAL,
    INT32,
    LIST,
    LONG,
    MARK,
    MEMOIZE,
    NEW_DICT,
    NEW_LIST,
    OPS,
    POP,
    POP_MARK,
    PUT,
    PUT_WIDTHS,
    SET,
    SETITEM,
    SETITEMS,
    SLOT,
    SOFT,
    STACK_GLOBAL,
    STOP,
    TEXT,
    TUPLE,
    TUPLE_OF,
    WIDTHS,
    Bounds,
    behind_lines,
    check_put,
    not_taken,
)

_NARROW = 2**20
_DEEP = 32
_NODES: int = 2**_DEEP - 1
_OTHERS = frozenset({FLOAT, LIST, DICT, SET})


def play(data: bytes, bounds: Bounds) -> Iterator[None]:
    """Play a pickle, in portions of a few milliseconds.

    Raises ProtocolError, and IndexError or KeyError where the opcodes do not fit together.
    """
    playing = _Playing(data, bounds)
    stack, memo, check, most = playing.stack, playing.memo, playing.check, playing.most_bytes
    ops, rare, end, pause = OPS, _RARE, len(data), WALK_BYTES
    at = charge = 0
    while at <= end:
        code = data[at]
        op = ops[code]
        if op is None:
            raise not_taken(code)
        fixed, prefix, kind, cost = op
        at += 1 + fixed
        charge += cost
        if charge > most:
            check(charge)
        if kind == SOFT:
            stack.append(1)
        elif kind == TEXT:
            length = int.from_bytes(data[at : at + prefix], "little")
            at += prefix + length
            charge += length if data[at - length : at].isascii() else 4 * length
            stack.append(0)
        elif kind == MEMOIZE:
            memo.append(stack[-1])
        elif kind == INT32:
            number = int.from_bytes(data[at - 4 : at], "little", signed=True)
            stack.append(1 if -_NARROW < number < _NARROW else 2)
        elif kind == GET:
            stack.append(memo[int.from_bytes(data[at - fixed : at], "little")])
        elif kind in _OTHERS:
            stack.append(2)
        elif kind == MARK:
            playing.marks.append(len(stack))
        elif kind >= PUT:
            charge += rare[kind](playing, code, at)
        else:
            at, charge = playing.step(op, at, charge)
            if kind == STOP:
                return
        if at > pause:
            pause = at + WALK_BYTES
            yield
    raise ProtocolError("a frame has a pickle that is cut short")


class _Playing:
    """What the opcodes have made so far, and how much of the bounds is used."""

    def __init__(self, data: bytes, bounds: Bounds) -> None:
        self.data, self.bounds = data, bounds
        self.most_bytes = VALUE_FACTOR * len(data) + VALUE_FREE_BYTES if bounds.served else 2**63
        self.stack: list[int] = []
        self.marks: list[int] = []
        self.memo: list[int] = []
        self._entries = self._nodes = 0

    def check(self, charge: int) -> None:
        """Raise ProtocolError if the pickle may not take that many bytes."""
        if charge > self.most_bytes:
            raise ProtocolError(
                f"a value of {len(self.data):,} bytes would take more than {self.most_bytes:,} in"
                " memory: put many small parts together to one text, such as with json.dumps"
            )

    def hashes(self, values: list[int]) -> None:
        """Count values that become keys of a dict or members of a set. Raises ProtocolError."""
        if max(values, default=0) < 2:
            return
        for value in values:
            if value >> _DEEP > HASH_DEPTH:
                raise ProtocolError("a frame has a key of a dict or set that is nested too deeply")
            if value >= 2:
                self._entries += 1
                self._nodes += value & _NODES
        if self._nodes > self.bounds.nodes:
            raise ProtocolError(
                "a frame has keys of dicts or members of sets that refer to one another too often:"
                f" they have more than {self.bounds.nodes:,} parts written out; send a list"
            )
        if self.bounds.entries is not None and self._entries > self.bounds.entries:
            raise ProtocolError(
                f"a frame has more than {self.bounds.entries:,} keys of dicts or members of sets"
                " that are neither texts nor small whole numbers: send a list"
            )

    def step(self, op: tuple[int, int, int, int], at: int, charge: int) -> tuple[int, int]:
        """Play an opcode whose length depends on the data. Returns its end, and the charge."""
        _, prefix, kind, _ = op
        if kind == LONG:
            length = int.from_bytes(self.data[at : at + prefix], "little")
            self.stack.append(2 + (length >> 5))
            return at + prefix + length, charge + length + length // 8
        if kind == GLOBAL:
            self.stack.append(2)
            return behind_lines(self.data, at), charge
        if kind == STOP:
            self.check(charge)
            if at != len(self.data):
                raise ProtocolError("a frame goes on behind its pickle")
        return at, charge  # of PROTO and FRAME, too

    def taken(self, bottom: int) -> list[int]:
        """Take what is on the stack from `bottom` on."""
        if not 0 <= bottom <= len(self.stack):
            raise IndexError
        parts = self.stack[bottom:]
        del self.stack[bottom:]
        return parts

    def marked(self) -> list[int]:
        """Take what is on the stack from the last mark on."""
        return self.taken(self.marks.pop())

    def added(self) -> list[int]:
        """The same for parts that are added to the value below them. That value has to be there."""
        parts = self.marked()
        self.stack[-1]
        return parts


# --- the rare opcodes: a function plays one, and returns the charge besides its fixed cost ---


def _tuple_of(playing: _Playing, code: int, at: int) -> int:
    stack, width = playing.stack, WIDTHS[code]
    bottom = len(stack) - width
    if bottom < 0:
        raise IndexError
    stack[bottom:] = [_written_out(stack[bottom:])]
    return SLOT * width


def _tuple(playing: _Playing, code: int, at: int) -> int:
    parts = playing.marked()
    playing.stack.append(_written_out(parts))
    return _held(len(parts))


def _appends(playing: _Playing, code: int, at: int) -> int:
    return _held(len(playing.added()))


def _append(playing: _Playing, code: int, at: int) -> int:
    playing.stack.pop()
    playing.stack[-1]
    return 0


def _setitems(playing: _Playing, code: int, at: int) -> int:
    parts = playing.added()
    playing.hashes(parts[::2])
    return ENTRY * max(0, len(parts) // 2 - FREE_ENTRIES)


def _setitem(playing: _Playing, code: int, at: int) -> int:
    parts = playing.taken(len(playing.stack) - 2)
    playing.stack[-1]
    playing.hashes(parts[:1])
    return 0


def _additems(playing: _Playing, code: int, at: int) -> int:
    parts = playing.added()
    playing.hashes(parts)
    return ENTRY * max(0, len(parts) - FREE_ENTRIES)


def _frozenset(playing: _Playing, code: int, at: int) -> int:
    parts = playing.marked()
    playing.hashes(parts)
    playing.stack.append(_written_out(parts))
    return ENTRY * max(0, len(parts) - FREE_ENTRIES)


def _new_list(playing: _Playing, code: int, at: int) -> int:
    parts = playing.marked()
    playing.stack.append(2)
    return SLOT * len(parts)


def _new_dict(playing: _Playing, code: int, at: int) -> int:
    parts = playing.marked()
    playing.hashes(parts[::2])
    playing.stack.append(2)
    return ENTRY // 2 * len(parts)


def _dup(playing: _Playing, code: int, at: int) -> int:
    playing.stack.append(playing.stack[-1])
    return 0


def _pop(playing: _Playing, code: int, at: int) -> int:
    if playing.marks and playing.marks[-1] == len(playing.stack):
        playing.marks.pop()
    else:
        playing.stack.pop()
    return 0


def _pop_mark(playing: _Playing, code: int, at: int) -> int:
    playing.marked()
    return 0


def _put(playing: _Playing, code: int, at: int) -> int:
    width, memo = PUT_WIDTHS[code], playing.memo
    check_put(playing.data, at, width, len(memo), playing.bounds)
    place = int.from_bytes(playing.data[at - width : at], "little")
    memo[place : place + 1] = [playing.stack[-1]]
    return 0


def _stack_global(playing: _Playing, code: int, at: int) -> int:
    playing.taken(len(playing.stack) - 2)
    playing.stack.append(2)
    return 0


def _call(playing: _Playing, code: int, at: int) -> int:
    playing.stack.append(_written_out(playing.taken(len(playing.stack) - 2)))
    return 0


def _build(playing: _Playing, code: int, at: int) -> int:
    if not playing.bounds.builds:
        raise not_taken(code)
    return _append(playing, code, at)


_RARE: dict[int, Callable[[_Playing, int, int], int]] = {
    PUT: _put, DUP: _dup, POP: _pop, POP_MARK: _pop_mark, TUPLE_OF: _tuple_of, TUPLE: _tuple,
    NEW_LIST: _new_list, NEW_DICT: _new_dict, FROZENSET: _frozenset, APPEND: _append,
    APPENDS: _appends, SETITEM: _setitem, SETITEMS: _setitems, ADDITEMS: _additems,
    STACK_GLOBAL: _stack_global, CALL: _call, BUILD: _build,
}  # fmt: skip


def _held(count: int) -> int:
    """Bytes of the places in a list or tuple. A large one has them on the stack, too."""
    return SLOT * count * (2 if count > BATCH else 1)


def _written_out(parts: list[int]) -> int:
    """The int of a tuple, frozenset or object of these parts. Its nodes have an upper limit."""
    top = max(parts, default=0)
    if top < 3:
        return 2 + len(parts) + (1 << _DEEP)
    nodes: int = 2 + sum(part & _NODES or 1 for part in parts)
    return min(nodes, _NODES) + ((top >> _DEEP) + 1 << _DEEP)

"""What stays the same of code while nothing of it has changed that matters: its fingerprint.

The version of a function that travels as a pickle is another one in each process. The pickle has
sets in the order of their hashes, the lines in which the function stood, the program's path, and a
random number for each class of the program. This module reads a pickle opcode by opcode and loads
nothing of it. So it sees what travels, and calls no code of the user's a second time.
"""

from __future__ import annotations

import hashlib
import pickletools
import re
from collections.abc import Mapping
from typing import Any

from ...job.files import version_of

_MOST_OPCODES = 100_000
"""A pickle with more of them would take too long: its bytes count as they are."""

_PASSING = frozenset(
    {"__doc__", "__file__", "__firstlineno__", "__static_attributes__", "_cloudpickle_submodules"}
)
"""Entries of what cloudpickle makes of functions and classes that say nothing of what these do. A
dataclass shows its defaults in the first, and so a set in any order. The fourth is in any order,
and the last depends on what else the program has imported."""

_CODE_PARTS, _LINES = 18, slice(13, 15)
"""How many arguments a code object is made of, and which of them are its lines."""

_RANDOM = re.compile(rb"str:[0-9a-f]{32}")
"""The number that cloudpickle gives to a class."""


def fingerprint(files: Mapping[str, bytes]) -> str:
    """A hash of the files of a job: their version, if none of them is a pickle.

    Two versions of a function with the same fingerprint do the same.
    """
    return version_of(
        {name: _stable(data) if name.endswith(".pickle") else data for name, data in files.items()}
    )


def _stable(stamped: bytes) -> bytes:
    """What stays the same of a pickle with its tag. All of it, if it can't be read."""
    tag, _, pickled = stamped.partition(b"\n")
    try:
        return tag + b"\n" + _Digests().of(_Reading().whole(pickled))
    except (ValueError, LookupError, AttributeError, RecursionError):  # no pickle of ours
        return stamped


class _Node:
    """A value of a pickle. kind: what it is; an atom's text. parts: what it is made of."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: bytes, parts: list[_Node] | None = None) -> None:
        self.kind = kind
        self.parts = [] if parts is None else parts


_MADE = {
    "EMPTY_LIST": (b"list", 0),
    "EMPTY_DICT": (b"dict", 0),
    "EMPTY_SET": (b"set", 0),
    "EMPTY_TUPLE": (b"tuple", 0),
    "TUPLE1": (b"tuple", 1),
    "TUPLE2": (b"tuple", 2),
    "TUPLE3": (b"tuple", 3),
    "STACK_GLOBAL": (b"global", 2),
    "REDUCE": (b"call", 2),
    "NEWOBJ": (b"new", 2),
    "NEWOBJ_EX": (b"new", 3),
}
"""By opcode: what it makes, and of how many values."""

_ADDED = {"APPEND": 1, "SETITEM": 2}
"""By opcode: how many values it adds to the one below them."""


class _Reading:
    """The stack and the memo of an unpickler, with nodes in the place of values."""

    def __init__(self) -> None:
        self._stack: list[_Node] = []
        self._marks: list[int] = []
        self._memo: list[_Node] = []

    def whole(self, pickled: bytes) -> _Node:
        """The node of what is pickled. Raises ValueError or LookupError if it can't be read."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
            if count > _MOST_OPCODES:
                raise ValueError("too many opcodes")
            self._act(opcode.name, argument)
        return self._stack.pop()

    def _act(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _MADE:
            kind, count = _MADE[name]
            stack.append(_Node(kind, self._popped(count)))
        elif name in _ADDED:
            self._grow(self._popped(_ADDED[name]))
        else:
            match name:
                case "MEMOIZE":
                    self._memo.append(stack[-1])
                case "BINGET" | "LONG_BINGET":
                    stack.append(self._memo[argument])
                case "MARK":
                    self._marks.append(len(stack))
                case "APPENDS" | "SETITEMS" | "ADDITEMS":
                    self._grow(self._marked())
                case "TUPLE" | "FROZENSET":
                    stack.append(_Node(b"tuple" if name == "TUPLE" else b"set", self._marked()))
                case "BUILD":
                    self._grow([_Node(b"state", self._popped(1))])
                case "POP":
                    self._drop()
                case "POP_MARK":
                    self._marked()
                case "PROTO" | "FRAME" | "STOP":
                    pass
                case _:
                    stack.append(_Node(_atom(name, argument)))

    def _popped(self, count: int) -> list[_Node]:
        start = len(self._stack) - count
        popped = self._stack[start:]
        del self._stack[start:]
        return popped

    def _marked(self) -> list[_Node]:
        return self._popped(len(self._stack) - self._marks.pop())

    def _grow(self, parts: list[_Node]) -> None:
        self._stack[-1].parts += parts

    def _drop(self) -> None:
        """A call whose value nobody takes changes its first argument: cloudpickle sets states so.

        The argument has the call as its part then.
        """
        dropped = self._stack.pop()
        if dropped.kind == b"call":
            setter, arguments = dropped.parts
            if len(arguments.parts) == 2 and arguments.parts[0].kind == b"call":
                changed, state = arguments.parts
                changed.parts.append(_Node(b"state", [setter, state]))


_ATOMS = {"NONE", "NEWTRUE", "NEWFALSE"}
_SIZED = (int, float, str, bytes, bytearray)


def _atom(name: str, argument: Any) -> bytes:
    """The text of an atom. It is the same for all opcodes that make the same value."""
    if name in _ATOMS:
        return name.encode()
    if not isinstance(argument, _SIZED):
        raise ValueError(f"an opcode that no pickle of ours has: {name}")
    kind = type(argument).__name__.encode() + b":"
    if isinstance(argument, str):
        return kind + argument.encode("utf-8", "surrogatepass")
    if isinstance(argument, int | float):
        return kind + repr(argument).encode()
    return kind + argument


class _Digests:
    """The hashes of nodes. Equal values have equal ones, whether they are one object or several."""

    def __init__(self) -> None:
        self._known: dict[_Node, bytes] = {}
        self._above: set[_Node] = set()

    def of(self, node: _Node) -> bytes:
        """The hash of a node. A node within itself counts by its kind alone."""
        known = self._known.get(node)
        if known is not None:
            return known
        digest = hashlib.sha256(b"%d:" % len(node.kind) + node.kind)
        if node in self._above:
            return digest.digest()
        self._above.add(node)
        for part in self._parts(node):
            digest.update(part)
        self._above.discard(node)
        self._known[node] = digest.digest()
        return self._known[node]

    def _parts(self, node: _Node) -> list[bytes]:
        parts = node.parts
        if node.kind == b"set":
            return sorted(map(self.of, parts))
        if node.kind == b"dict":
            pairs = zip(parts[::2], parts[1::2], strict=True)
            return sorted(self.of(k) + self.of(v) for k, v in pairs if not _passes(k))
        if node.kind == b"call":
            called, arguments, *states = parts
            parts = [called, *_arguments(called, arguments), *states]
        return list(map(self.of, parts))


def _passes(key: _Node) -> bool:
    kind, _, text = key.kind.partition(b":")
    return kind == b"str" and text.decode("utf-8", "surrogatepass") in _PASSING


def _arguments(called: _Node, arguments: _Node) -> list[_Node]:
    """The arguments of a call, without those that differ from one pickling to the next."""
    parts = list(arguments.parts)
    if _is_code(called) and len(parts) == _CODE_PARTS:
        del parts[_LINES]
    elif called.kind == b"global" and called.parts[0].kind == b"str:cloudpickle.cloudpickle":
        parts = [part for part in parts if not _RANDOM.fullmatch(part.kind)]
    return parts


def _is_code(called: _Node) -> bool:
    """Whether it is the type of code objects: what cloudpickle looks up by the name CodeType."""
    return called.kind == b"call" and [part.kind for part in called.parts[1].parts] == [
        b"str:CodeType"
    ]

"""Pickles of strangers, read without running code or taking more memory than they bring.

Owns the frames of standard-library clients (`loads`, `dumps`) and the walk over a pickle's
opcodes (`inspect`) that `codec` uses too. The opcodes and what they take and give are those of
CPython's `Lib/pickletools.py`. Knows nothing of what a frame means.
"""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import pickletools
import queue
import uuid
from multiprocessing.managers import Token
from typing import Any

from .errors import NotPlainDataError, ProtocolError

PLAIN = (
    "plain data is None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, "
    "datetime, date, time, timedelta, timezone, Decimal and UUID"
)

# Deeper than this, hashing nested tuples can overflow the C stack and kill the process.
MAX_DEPTH = 1_000
# A value of a few bytes can refer to itself so often that hashing or printing it never ends.
MAX_NODES = 16_000_000

_PERSISTENT = {"PERSID", "BINPERSID"}
_INDIRECT = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER", "BYTEARRAY8"}
_TEXT = {"INT", "LONG", "FLOAT", "STRING", "UNICODE", "PUT", "GET"}
# Text opcodes are of protocol 0, which nobody sends; PUT and INT take their size from a text.
_REFUSED = _PERSISTENT | _INDIRECT | _TEXT

_END, _LINES, _GET, _PUT, _MEMOIZE, _DUP, _TUPLE, _OTHER = range(8)
_CONTAINERS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_KINDS = {
    "STOP": _END,
    "GLOBAL": _LINES,
    "BINGET": _GET,
    "LONG_BINGET": _GET,
    "BINPUT": _PUT,
    "LONG_BINPUT": _PUT,
    "MEMOIZE": _MEMOIZE,
    "DUP": _DUP,
    "TUPLE": _TUPLE,
    "TUPLE1": _TUPLE,
    "TUPLE2": _TUPLE,
    "TUPLE3": _TUPLE,
    "FROZENSET": _TUPLE,
}


def _argument(op: pickletools.OpcodeInfo) -> tuple[int, int]:
    """The bytes of an opcode's fixed argument, and of its length prefix (one of them is 0)."""
    n = 0 if op.arg is None else op.arg.n
    prefix = {
        pickletools.TAKEN_FROM_ARGUMENT1: 1,
        pickletools.TAKEN_FROM_ARGUMENT4: 4,
        pickletools.TAKEN_FROM_ARGUMENT4U: 4,
        pickletools.TAKEN_FROM_ARGUMENT8U: 8,
    }.get(n, 0)
    return (0, prefix) if prefix else (max(n, 0), 0)


_OPS: list[tuple[int, int, int] | None] = [None] * 256
_EFFECTS: dict[int, tuple[int, bool, int, bool]] = {}
for _op in pickletools.opcodes:
    if _op.name not in _REFUSED:
        _code = ord(_op.code)
        _OPS[_code] = (*_argument(_op), _KINDS.get(_op.name, _OTHER))
        _marked = pickletools.markobject in _op.stack_before
        _taken = (
            _op.stack_before.index(pickletools.markobject) if _marked else len(_op.stack_before)
        )
        _given = 0 if _op.name == "MARK" else len(_op.stack_after)
        _EFFECTS[_code] = (_taken, _marked, _given, _op.name in _CONTAINERS)
_MARK = ord("(")
_POP = ord("0")


def inspect(data: bytes) -> None:
    """Check that loading a pickle takes memory and time in proportion to its length.

    Raises:
        ProtocolError: it is cut short, nonsense, or made to exhaust memory, stack or time.
    """
    try:
        steps, tuples, gets = _walk(data)
        # A value can only be deep or self-similar and hashable with many tuples in it.
        if tuples > MAX_DEPTH // 2 or (gets and tuples > 16):
            _measure(steps)
    except (IndexError, KeyError):
        raise ProtocolError("a frame is not a whole pickle") from None


def _walk(data: bytes) -> tuple[list[tuple[int, int, int]], int, int]:
    """The opcodes as (code, kind, argument of a memo opcode), and how many tuples and gets."""
    steps: list[tuple[int, int, int]] = []
    at = memo = tuples = gets = 0
    end = len(data)
    while True:
        code = data[at]
        op = _OPS[code]
        if op is None:
            raise ProtocolError(f"a frame has the pickle opcode 0x{code:02x}, which is not taken")
        fixed, prefix, kind = op
        at += 1
        argument = 0
        if prefix:
            length = int.from_bytes(data[at : at + prefix], "little")
            at += prefix + length
        elif kind != _OTHER:
            if kind == _END:
                if at != end:
                    raise ProtocolError("a frame goes on behind its pickle")
                return steps, tuples, gets
            if kind == _TUPLE:
                tuples += 1
            elif kind == _MEMOIZE:
                memo += 1
            elif kind in (_GET, _PUT):
                argument = int.from_bytes(data[at : at + fixed], "little")
                if kind == _GET:
                    gets += 1
                elif argument > end:
                    raise ProtocolError("a frame has a pickle made to exhaust memory")
            elif kind == _DUP:
                gets += 1
            else:
                at = data.find(b"\n", data.find(b"\n", at) + 1) + 1 or end + 1
            at += fixed
        else:
            at += fixed
        if at > end:
            raise ProtocolError("a frame has a pickle that is cut short")
        steps.append((code, kind, argument))


def _measure(steps: list[tuple[int, int, int]]) -> None:
    """Play the opcodes on a stack of (depth, nodes when written out)."""
    stack: list[tuple[int, int]] = []
    marks: list[int] = []
    memo: dict[int, tuple[int, int]] = {}
    for code, kind, argument in steps:
        if kind in (_MEMOIZE, _PUT):
            memo[argument if kind == _PUT else len(memo)] = stack[-1]
        elif kind == _GET:
            stack.append(memo[argument])
        elif kind == _DUP:
            stack.append(stack[-1])
        elif code == _MARK:
            marks.append(len(stack))
        elif code == _POP and marks and marks[-1] == len(stack):
            marks.pop()
        else:
            _apply(code, stack, marks)


def _apply(code: int, stack: list[tuple[int, int]], marks: list[int]) -> None:
    taken, marked, given, container = _EFFECTS[code]
    bottom = (marks.pop() if marked else len(stack)) - taken
    if bottom < 0:
        raise IndexError
    parts = stack[bottom:]
    del stack[bottom:]
    if not given:
        return
    inner = parts[1:] if container else parts
    depth = 1 + max((part[0] for part in inner), default=0)
    nodes = 1 + sum(part[1] for part in parts)
    if container:
        depth = max(depth, parts[0][0])
    if depth > MAX_DEPTH:
        raise ProtocolError("a frame has a value that is nested too deeply")
    if nodes > MAX_NODES:
        raise ProtocolError("a frame has a value that refers to itself too often")
    stack.append((depth, nodes))


def _latin1(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, with which protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ProtocolError("a frame has bytes in a strange encoding")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
    ("uuid", "UUID"): uuid.UUID,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
    ("_codecs", "encode"): _latin1,
    ("multiprocessing.managers", "Token"): Token,
}


# What a call can raise at its caller: built-in classes only.
_RAISED: dict[tuple[str, str], Any] = {
    ("_queue", "Empty"): queue.Empty,
    ("queue", "Empty"): queue.Empty,
    ("queue", "Full"): queue.Full,
    ("builtins", "AttributeError"): AttributeError,
    ("builtins", "RuntimeError"): RuntimeError,
    ("builtins", "TypeError"): TypeError,
    ("builtins", "ValueError"): ValueError,
}


class _Unpickler(pickle.Unpickler):
    allowed = _ALLOWED

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise NotPlainDataError(f"{module}.{name} cannot travel: {PLAIN}") from None


class _ReplyUnpickler(_Unpickler):
    allowed = _ALLOWED | _RAISED


def loads(data: bytes) -> Any:
    """Read one frame of a standard-library client (protocol 2 or later).

    Raises:
        NotPlainDataError: it holds an object of a class that is not on the short list.
        ProtocolError: it is not a pickle, or one made to do harm.
    """
    return _load(data, _Unpickler)


def loads_reply(data: bytes) -> Any:
    """Read an answer of a manager: plain data, or an exception of a built-in class.

    Raises as `loads` does.
    """
    return _load(data, _ReplyUnpickler)


def _load(data: bytes, unpickler: type[_Unpickler]) -> Any:
    inspect(data)
    try:
        return unpickler(io.BytesIO(data)).load()
    except (NotPlainDataError, ProtocolError):
        raise
    except Exception as error:
        raise ProtocolError(f"a frame is not a pickle of plain data: {error}") from error


def dumps(reply: Any) -> bytes:
    """Write a reply that standard-library clients from Python 3.8 on can read."""
    return pickle.dumps(reply, protocol=4)

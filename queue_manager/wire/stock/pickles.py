"""Reads pickles of strangers. It runs none of their code, and bounds the memory that they take.

This module owns the frames of standard-library clients (`loads`, `dumps`). `inspection` checks
first what a frame would take. This module knows nothing of what a frame means.
"""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import queue
import uuid
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...errors import NotPlainDataError, ProtocolError, TooLargeError
from ..limits import (
    ENCODED_BYTES,
    HASHED_ENTRIES,
    VALUE_FACTOR,
    VALUE_FREE_BYTES,
    is_name,
    printable,
)
from .inspection import inspecting
from .opcodes import ITEM

PLAIN = (
    "plain data is None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, "
    "datetime, date, time, timedelta, timezone, ZoneInfo, Decimal and UUID"
)

NUMPY = "of numpy send n.item() for a number, a.tolist() for an array"

_REPLY = ITEM._replace(puts=True, builds=True)

# --- what a pickle may name ------------------------------------------------------------------
#
# BUILD changes an object, and a frame could have it change an object that this process shares. So
# everything here is safe from it: C types, classes with a `__setstate__` of their own (which fails
# if it is called on the class), and functions that are made for one frame.


def not_plain(name: str) -> NotPlainDataError:
    """The error for a value that can't travel. It says what to send instead. name: with module."""
    if name.startswith("numpy."):
        return NotPlainDataError(f"{printable(name)} cannot travel: {NUMPY}; {PLAIN}")
    return NotPlainDataError(f"{printable(name)} cannot travel: {PLAIN}")


class StrangersUuid(uuid.UUID):
    """A UUID in a pickle. BUILD sets its number, and this class checks that it is one."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        number = state["int"]
        if type(number) is not int or not 0 <= number < 1 << 128:
            raise ProtocolError("a frame has a UUID that is none")
        object.__setattr__(self, "int", number)
        object.__setattr__(self, "is_safe", uuid.SafeUUID.unknown)
        object.__setattr__(self, "__class__", uuid.UUID)


class NamedZone(datetime.tzinfo):
    """A `zoneinfo.ZoneInfo` in the master, which knows its name alone.

    A client and a slot get it as a ZoneInfo. The master does not know its offset, so a datetime
    with it can be no key of a dict and no member of a set.
    """

    def __init__(self, key: Any) -> None:
        if not is_name(key):
            raise ProtocolError("a frame has a time zone without a name")
        self.key: str = key

    def __reduce__(self) -> tuple[Any, ...]:
        return zoneinfo.ZoneInfo, (self.key,)

    def __setstate__(self, state: Any) -> None:
        raise ProtocolError("a frame has a time zone that is none")

    def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta | None:
        """Raise an error, because None would mean a datetime without a zone."""
        raise NotPlainDataError(
            "a datetime with a ZoneInfo cannot be a key of a dict or a member of a set on its way"
            " to a queue: send it in UTC, as with t.astimezone(timezone.utc)"
        )

    dst = tzname = utcoffset  # type: ignore[assignment]


class Token:
    """Stands for `multiprocessing.managers.Token`, by which a proxy names its object."""

    __slots__ = ("id",)

    id: Any

    def __setstate__(self, state: Any) -> None:
        _, _, self.id = state


_ALLOWED: dict[tuple[str, str], Any] = {
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("uuid", "UUID"): StrangersUuid,
    ("zoneinfo", "ZoneInfo"): NamedZone,
    ("multiprocessing.managers", "Token"): Token,
}

# The exceptions that an answer may have: built-in classes only.
_RAISED: dict[tuple[str, str], Any] = {
    ("_queue", "Empty"): queue.Empty,
    ("queue", "Empty"): queue.Empty,
    ("queue", "Full"): queue.Full,
    ("builtins", "AttributeError"): AttributeError,
    ("builtins", "RuntimeError"): RuntimeError,
    ("builtins", "TypeError"): TypeError,
    ("builtins", "ValueError"): ValueError,
}


class Allowance:
    """What all calls in one pickle may build together. A pickle can use one large text often.

    Args:
        size_bytes: the size of the pickle.
    """

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = VALUE_FACTOR * size_bytes + VALUE_FREE_BYTES
        self._left_entries = HASHED_ENTRIES

    def take(self, size_bytes: int) -> None:
        """Count these bytes. Raises ProtocolError if fewer are left."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ProtocolError("a frame has a pickle made to exhaust memory")

    def decimal(self) -> Callable[[Any], decimal.Decimal]:
        """Return a function that makes a Decimal of a text."""

        def build(text: Any) -> decimal.Decimal:
            if type(text) is not str:
                raise ProtocolError("a frame has a Decimal that is none")
            self.take(len(text) + 104)
            return decimal.Decimal(text)

        return build

    def encode(self) -> Callable[..., bytes]:
        """Return a function for `_codecs.encode`, with which protocol 2 writes bytes."""

        def encode(text: Any, encoding: Any) -> bytes:
            if type(text) is not str or encoding not in ("latin1", "latin-1"):
                raise ProtocolError("a frame has bytes in a strange encoding")
            self.take(len(text) + 33)
            return text.encode("latin-1")

        return encode

    def getattr(self) -> Callable[..., Any]:
        """Return a function for `getattr`, with which picklers name `ZoneInfo._unpickle`."""

        def get(of: Any, name: Any) -> Callable[..., Any]:
            if of not in (NamedZone, zoneinfo.ZoneInfo) or name != "_unpickle":
                raise NotPlainDataError(f"builtins.getattr cannot travel: {PLAIN}")
            return lambda key, from_cache=True: of(key)

        return get

    def set_of(self, kind: type[Any]) -> Callable[..., Any]:
        """Return a function that makes a set of a list, as protocols 2 and 3 write sets."""

        def build(members: Iterable[Any] = ()) -> Any:
            if type(members) not in (list, tuple):
                raise ProtocolError("a frame has a set of what is no list")
            members = list(members)
            self.take(216 + 72 * len(members))
            loose = [type(one) for one in members if type(one) not in (str, bytes)]
            self._left_entries -= len(loose)
            if self._left_entries < 0 or not _PLAINLY_HASHED.issuperset(loose):
                raise ProtocolError("a frame has a large set: pickle it with protocol 4 or later")
            return kind(members)

        return build


_PLAINLY_HASHED = frozenset({int, float, bool, type(None)})
_ATOMS = _PLAINLY_HASHED | {str, bytes}

_MADE: dict[tuple[str, str], Callable[[Allowance], Any]] = {
    ("builtins", "getattr"): lambda left: left.getattr(),
    ("__builtin__", "getattr"): lambda left: left.getattr(),
    ("decimal", "Decimal"): Allowance.decimal,
    ("_codecs", "encode"): Allowance.encode,
    ("builtins", "set"): lambda left: left.set_of(set),
    ("__builtin__", "set"): lambda left: left.set_of(set),
    ("builtins", "frozenset"): lambda left: left.set_of(frozenset),
    ("__builtin__", "frozenset"): lambda left: left.set_of(frozenset),
}


class _Unpickler(pickle.Unpickler):
    allowed = _ALLOWED

    size_bytes = 0
    _left: Allowance | None = None

    def find_class(self, module: str, name: str) -> Any:
        known = self.allowed.get((module, name))
        if known is not None:
            return known
        make = _MADE.get((module, name))
        if make is None:
            raise not_plain(f"{module}.{name}")
        if self._left is None:
            self._left = Allowance(self.size_bytes)
        return make(self._left)


class _ReplyUnpickler(_Unpickler):
    allowed = _ALLOWED | _RAISED | {("zoneinfo", "ZoneInfo"): zoneinfo.ZoneInfo}


def loads(data: bytes) -> Any:
    """Read one frame of a standard-library client (protocol 2 or later).

    Raises:
        NotPlainDataError: the frame has an object of a class that is not allowed.
        ProtocolError: the frame is no pickle, or its pickle would take too much.
    """
    for _ in inspecting(data):
        pass
    return _load(data, _Unpickler)


def reading(data: bytes) -> Iterator[Any]:
    """As `loads`, in portions of a few milliseconds. It yields None until it yields the value.

    Raises as `loads` does.
    """
    yield from inspecting(data)
    yield _load(data, _Unpickler)


def loads_reply(data: bytes) -> Any:
    """Read an answer of a manager: plain data, or an exception of a built-in class.

    Raises as `loads` does.
    """
    for _ in inspecting(data, _REPLY):
        pass
    return _load(data, _ReplyUnpickler)


def _load(data: bytes, unpickler: type[_Unpickler]) -> Any:
    try:
        loading = unpickler(io.BytesIO(data))
        loading.size_bytes = len(data)
        return loading.load()
    except (NotPlainDataError, ProtocolError):
        raise
    except Exception as error:
        text = printable(str(error))
        raise ProtocolError(f"a frame is not a pickle of plain data: {text}") from None


class Bounded(io.BytesIO):
    """A buffer of at most `limit_bytes`. A small value that repeats a large int can take more."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._limit_bytes:
            raise TooLargeError(f"a value takes more than {self._limit_bytes:,} bytes")
        return super().write(data)


def dumps(reply: Any) -> bytes:
    """Pickle a reply for standard-library clients from Python 3.8 on.

    Raises TooLargeError if it takes more than `ENCODED_BYTES`.
    """
    if type(reply) is tuple and len(reply) == 2 and _ATOMS.issuperset(map(type, reply)):
        data = pickle.dumps(reply, 4)  # without values in it, it is as large as its two parts
        if len(data) <= ENCODED_BYTES:
            return data
    buffer = Bounded(ENCODED_BYTES)
    pickle.Pickler(buffer, 4).dump(reply)
    return buffer.getvalue()

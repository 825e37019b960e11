"""Payloads and results as bytes: plain data in, plain data out, a batch at a time.

A batch is `L` (all values are atoms: one MessagePack array, 0.01 µs a value) or `S` (a
MessagePack array of items, each the bytes of one value). An item is a MessagePack atom, or a
pickle of protocol 4 if it begins with 0x80, which no atom does. So items can be counted, kept
and dropped without decoding them. Knows nothing of tasks, runs or sizes of blocks.
"""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import uuid
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from .errors import NotPlainDataError, ProtocolError, TooLargeError
from .wire.limits import ENCODED_BYTES, printable
from .wire.opcodes import ITEM, Bounds, inspect
from .wire.pickles import Allowance, Bounded, NamedZone, not_plain

ATOMS = frozenset({int, str, bytes, float, bool, type(None)})
_PICKLE = 0x80

_encoder = msgspec.msgpack.Encoder()
_anything = msgspec.msgpack.Decoder()
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_bins = msgspec.msgpack.Decoder(list[bytes])


class Encoded(NamedTuple):
    """A value that was encoded when it was yielded, so that later changes do not reach it."""

    data: bytes


# --- one value -------------------------------------------------------------------------------
#
# Objects are rebuilt by functions of this module, under these names, not by their classes:
# else a class, which is no plain data, could travel in the place of one of its objects. The
# names are in stored data: they must stay.


def _datetime(*arguments: Any) -> datetime.datetime:
    return datetime.datetime(*arguments)


def _date(*arguments: Any) -> datetime.date:
    return datetime.date(*arguments)


def _time(*arguments: Any) -> datetime.time:
    return datetime.time(*arguments)


def _timedelta(*arguments: Any) -> datetime.timedelta:
    return datetime.timedelta(*arguments)


def _timezone(*arguments: Any) -> datetime.timezone:
    return datetime.timezone(*arguments)


def _decimal(text: Any) -> decimal.Decimal:
    return decimal.Decimal(text)


def _uuid(data: Any) -> uuid.UUID:
    return uuid.UUID(bytes=data)


def _zone(key: Any) -> datetime.tzinfo:
    """A time zone by its name, where one is decoded that is worked with."""
    try:
        return zoneinfo.ZoneInfo(key)
    except Exception:  # what the files of the system make of a strange name is anybody's guess
        raise ProtocolError(
            f"the time zone {printable(str(key))!r} is not known on this machine: install tzdata"
        ) from None


_BUILDERS: dict[type, Callable[..., Any]] = {
    datetime.datetime: _datetime,
    datetime.date: _date,
    datetime.time: _time,
    datetime.timedelta: _timedelta,
    datetime.timezone: _timezone,
    decimal.Decimal: _decimal,
    uuid.UUID: _uuid,
    zoneinfo.ZoneInfo: _zone,
}
_NAMES = {builder.__name__: builder for builder in _BUILDERS.values()}
_OURS = frozenset(_BUILDERS.values())


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Called by the C pickler for all but the built-in types (and for our builders)."""
        kind = type(value)
        if kind is uuid.UUID:
            return _uuid, (value.bytes,)
        if kind is zoneinfo.ZoneInfo or kind is NamedZone:
            if value.key is None:
                raise NotPlainDataError("a ZoneInfo without a name cannot travel: send UTC")
            return _zone, (value.key,)
        builder = _BUILDERS.get(kind)
        if builder is not None:
            return builder, value.__reduce_ex__(4)[1]
        if kind is _FUNCTION and value in _OURS:
            return NotImplemented
        raise _not_plain(value)


_FUNCTION = type(_uuid)


class _Unpickler(pickle.Unpickler):
    size_bytes = 0
    served = False
    _left: Allowance | None = None

    def find_class(self, module: str, name: str) -> Any:
        builder = _NAMES.get(name)
        if builder is None or module != __name__:
            named = printable(f"{module}.{name}")
            raise ProtocolError(f"an item names {named}, which is no plain data")
        if builder is _decimal:
            return self._allowance().decimal()
        return NamedZone if self.served and builder is _zone else builder

    def _allowance(self) -> Allowance:
        """What the Decimals of this item may take together."""
        if self._left is None:
            self._left = Allowance(self.size_bytes)
        return self._left


def _not_plain(value: Any) -> NotPlainDataError:
    kind = type(value)
    if value is bytearray:  # what the C pickler asks about when it meets a bytearray
        kind = bytearray
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return not_plain(name)


def encode(value: Any, most: int = ENCODED_BYTES) -> bytes:
    """Encode one value.

    Args:
        value: plain data.
        most: bytes that it may take; a value that holds one large int often takes many.

    Raises:
        NotPlainDataError: it is or holds something that is no plain data.
        TooLargeError: it takes more.
    """
    if type(value) in ATOMS:
        try:
            return _encoder.encode(value)
        except (OverflowError, UnicodeEncodeError):
            pass  # ints above 64 bits and lone surrogates: pickle has them
    buffer = Bounded(most)
    try:
        _Pickler(buffer, 4).dump(value)
    except (NotPlainDataError, TooLargeError):
        raise
    except RecursionError:
        raise NotPlainDataError("a value is nested too deeply to travel") from None
    except Exception as error:  # such as a dict that changes while it is read
        raise NotPlainDataError(f"a value cannot travel: {printable(str(error))}") from error
    return buffer.getvalue()


def decode(data: bytes, bounds: Bounds = ITEM) -> Any:
    """Decode one item, whoever wrote it. Nothing is imported.

    Args:
        data: what `encode` returned.
        bounds: what it may take, which is looked at before it is decoded.

    Raises:
        ProtocolError: it is not what `encode` writes.
    """
    try:
        if data[0] != _PICKLE:
            return _atom(_anything.decode(data))
        inspect(data, bounds)
        unpickler = _Unpickler(io.BytesIO(data))
        unpickler.size_bytes, unpickler.served = len(data), bounds.served
        return unpickler.load()
    except ProtocolError:
        raise
    except NotPlainDataError as error:
        raise ProtocolError(f"an item cannot be decoded: {error}") from None
    except Exception as error:
        raise ProtocolError(f"an item cannot be decoded: {printable(str(error))}") from error


def _atom(value: Any) -> Any:
    if type(value) not in ATOMS:
        raise ProtocolError("an item is neither an atom nor a pickle")
    return value


NOTHING = b"S\x91\xc4\x00"
"""The results of one task that is done and has none: its item is empty, and read as None."""


# --- batches ---------------------------------------------------------------------------------


def freeze(value: Any) -> Any:
    """What may wait for its batch: an atom as it is, anything else encoded now.

    Raises:
        NotPlainDataError: it is or holds something that is no plain data.
    """
    return value if type(value) in ATOMS else Encoded(encode(value))


def encode_batch(values: Sequence[Any]) -> bytes:
    """Encode values, among which `Encoded` stands for one that `freeze` has encoded.

    Raises:
        NotPlainDataError: one is or holds something that is no plain data.
    """
    if set(map(type, values)) <= ATOMS:
        try:
            return b"L" + _encoder.encode(values)
        except (OverflowError, UnicodeEncodeError):
            pass
    return encode_items(value.data if type(value) is Encoded else encode(value) for value in values)


def encode_items(items: Iterable[bytes]) -> bytes:
    """A batch of items that are encoded already."""
    return b"S" + _encoder.encode(list(items))


def decode_batch(
    data: bytes, start: int = 0, stop: int | None = None, bounds: Bounds = ITEM
) -> list[Any]:
    """Decode the values at `start` up to `stop` of a batch. bounds: what each of them may take.

    Raises:
        ProtocolError: it is not what `encode_batch` writes.
    """
    if data == NOTHING:
        return [None][start:stop]
    if data[:1] == b"S":
        return [decode(item, bounds) for item in batch_items(data)[start:stop]]
    values = _load(_anything, data, b"L")
    if type(values) is not list or not set(map(type, values)) <= ATOMS:
        raise ProtocolError("a batch holds something else than atoms")
    return values if start == 0 and stop is None else values[start:stop]


@dataclass(frozen=True)
class Undecodable:
    """Stands for a value that can't be decoded. error: why."""

    error: ProtocolError


def decode_each(data: bytes, start: int, stop: int, bounds: Bounds = ITEM) -> list[Any]:
    """As `decode_batch`, but an `Undecodable` stands for each value that can't be decoded."""
    try:
        return decode_batch(data, start, stop, bounds)
    except ProtocolError as error:
        whole = error
    try:
        items = batch_items(data)[start:stop]
    except ProtocolError:
        items = []
    found: list[Any] = []
    for item in items:
        try:
            found.append(decode(item, bounds))
        except ProtocolError as error:
            found.append(Undecodable(error))
    return found + [Undecodable(whole)] * (stop - start - len(found))


def batch_items(data: bytes) -> list[bytes]:
    """The items of a batch, none of them decoded.

    Raises:
        ProtocolError: it is not a batch.
    """
    if data[:1] == b"S":
        items: list[bytes] = _load(_bins, data, b"S")
        return items
    return [bytes(raw) for raw in _load(_raws, data, b"L")]


def batch_length(data: bytes) -> int:
    """How many values a batch says that it has, read from its first bytes.

    Raises:
        ProtocolError: it is not a batch.
    """
    head = data[1:6]
    if data[:1] in (b"L", b"S") and head:
        if 0x90 <= head[0] <= 0x9F:
            return head[0] - 0x90
        if head[0] == 0xDC and len(head) >= 3:
            return int.from_bytes(head[1:3], "big")
        if head[0] == 0xDD and len(head) == 5:
            return int.from_bytes(head[1:5], "big")
    raise ProtocolError("not a batch of values")


def pick(data: bytes, kept: Iterable[int]) -> bytes:
    """The batch of only the values at the indices `kept`, none of them decoded.

    Raises:
        ProtocolError: it is not a batch, or has fewer values.
    """
    items = batch_items(data)
    try:
        return encode_items([items[index] for index in kept])
    except IndexError:
        raise ProtocolError("a batch has fewer values than was said") from None


def check_size(data: bytes, max_bytes: int, what: str) -> None:
    """Raise TooLargeError if `data`, the bytes of `what`, are more than `max_bytes`."""
    if len(data) > max_bytes:
        raise TooLargeError(
            f"{what} takes {len(data):,} bytes, above QUEUE_MAX_BYTES={max_bytes:,}: "
            "put it in a file on the shared disk and pass its path instead"
        )


def _load(decoder: msgspec.msgpack.Decoder[Any], data: bytes, tag: bytes) -> Any:
    if data[:1] != tag:
        raise ProtocolError("not a batch of values")
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError(f"a batch cannot be decoded: {printable(str(error))}") from error

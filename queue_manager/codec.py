"""Payloads and results as bytes: plain data in, plain data out, a batch at a time.

A batch is `L` (all values are atoms: one MessagePack array, 0.01 µs a value) or `S` (a
MessagePack array of items, each the bytes of one value). An item is a MessagePack atom, a small
MessagePack map of texts to atoms, or a pickle of protocol 4 if it begins with 0x80, which no atom
and no such map does. Knows nothing of tasks, runs or sizes of blocks; `batches` has what needs no
value decoded.
"""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from .errors import NotPlainDataError, ProtocolError, TooLargeError
from .wire.batches import NOTHING as NOTHING
from .wire.batches import batch_items as batch_items
from .wire.batches import batch_length as batch_length
from .wire.batches import encode_items as encode_items
from .wire.batches import load_batch
from .wire.batches import pick as pick
from .wire.limits import ENCODED_BYTES, printable
from .wire.stock.inspection import inspect
from .wire.stock.opcodes import ITEM, Bounds
from .wire.stock.pickles import Allowance, Bounded, NamedZone, not_plain

ATOMS = frozenset({int, str, bytes, float, bool, type(None)})
FLAT_BYTES = 16 * 1024
"""A map is no longer than this: decoding one takes up to fifty times its bytes."""

_PICKLE = 0x80  # also the empty map, which is therefore pickled
_MAPS = frozenset({*range(0x81, 0x90), 0xDE, 0xDF})
_TEXTS = frozenset({str})

_encoder = msgspec.msgpack.Encoder()
_anything = msgspec.msgpack.Decoder()
_maps = msgspec.msgpack.Decoder(dict[str, Any])


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


def encode(value: Any, limit_bytes: int = ENCODED_BYTES) -> bytes:
    """Encode one value.

    Args:
        value: plain data.
        limit_bytes: what it may take; a value that holds one large int often takes many.

    Raises:
        NotPlainDataError: it is or holds something that is no plain data.
        TooLargeError: it takes more.
    """
    kind = type(value)
    if kind in ATOMS or (kind is dict and _is_flat(value)):
        try:
            data = _encoder.encode(value)
            if kind is not dict or len(data) <= min(FLAT_BYTES, limit_bytes):
                return data
        except (OverflowError, UnicodeEncodeError):
            pass  # ints above 64 bits and lone surrogates: pickle has them
    buffer = Bounded(limit_bytes)
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
        first = data[0]
        if first in _MAPS:
            return _flat_map(data)
        if first != _PICKLE:
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


def _is_flat(value: dict[Any, Any]) -> bool:
    """Whether a dict has texts and atoms alone, and is not empty."""
    return (
        bool(value)
        and _TEXTS.issuperset(map(type, value))
        and ATOMS.issuperset(map(type, value.values()))
    )


def _flat_map(data: bytes) -> Any:
    if len(data) > FLAT_BYTES:
        raise ProtocolError(f"an item is a map of {len(data):,} bytes, above {FLAT_BYTES:,}")
    value = _maps.decode(data)
    if not ATOMS.issuperset(map(type, value.values())):
        raise ProtocolError("an item is a map that holds something else than atoms")
    return value


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
    values = load_batch(_anything, data, b"L")
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
    values: list[Any] = []
    for item in items:
        try:
            values.append(decode(item, bounds))
        except ProtocolError as error:
            values.append(Undecodable(error))
    return values + [Undecodable(whole)] * (stop - start - len(values))


def check_size(data: bytes, max_bytes: int, what: str) -> None:
    """Raise TooLargeError if `data`, the bytes of `what`, are more than `max_bytes`."""
    if len(data) > max_bytes:
        raise TooLargeError(
            f"{what} takes {len(data):,} bytes, above QUEUE_MAX_BYTES={max_bytes:,}: "
            "put it in a file on the shared disk and pass its path instead"
        )

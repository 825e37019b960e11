"""Payloads and results as bytes: plain data is encoded and decoded, a batch at a time.

A batch has one of two forms. `L` is one MessagePack array of atoms, at 0.01 µs a value. `S` is a
MessagePack array of items, each the bytes of one value. An item is a MessagePack atom, a small
MessagePack map of texts to atoms, an extension (`plain.foreign`), or a pickle of protocol 4. A
pickle begins with 0x80, and nothing else does. This module knows nothing of tasks, runs or sizes of
blocks. `batches` has the functions that decode no value.
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

from .errors import MissingLibraryError, NotPlainDataError, ProtocolError, TooLargeError
from .plain import foreign
from .plain.packed import packed
from .wire import batches
from .wire.batches import NOTHING as NOTHING
from .wire.batches import batch_items as batch_items
from .wire.batches import batch_length as batch_length
from .wire.batches import encode_items as encode_items
from .wire.batches import load_batch
from .wire.batches import pick as pick
from .wire.limits import ENCODED_BYTES, printable
from .wire.stock.inspection import inspect
from .wire.stock.opcodes import ITEM, Bounds
from .wire.stock.pickles import Allowance, Bounded, NamedZone

ATOMS = frozenset({int, str, bytes, float, bool, type(None)})
FLAT_BYTES = 16 * 1024
"""The longest map that is an item. Decoding a map takes up to fifty times its bytes."""

_PICKLE = 0x80  # the empty map begins with it, too, and is therefore pickled
_MAPS = frozenset({*range(0x81, 0x90), 0xDE, 0xDF})
_TEXTS = frozenset({str})

_encoder = msgspec.msgpack.Encoder()
_anything = msgspec.msgpack.Decoder()
_maps = msgspec.msgpack.Decoder(dict[str, Any])


class Encoded(NamedTuple):
    """A value that was encoded at once, so that later changes do not reach it."""

    data: bytes


# --- one value -------------------------------------------------------------------------------
#
# A pickle names functions of this module, not classes. If it named classes, a class itself could
# travel in the place of one of its objects, and a class is no plain data. These names are in stored
# data, so they must stay.


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
    """A time zone by its name, for code that calculates with it."""
    try:
        return zoneinfo.ZoneInfo(key)
    except Exception:  # a strange name can raise anything, depending on the system's files
        raise ProtocolError(
            f"the time zone {printable(str(key))!r} is not known on this machine: install tzdata"
        ) from None


def _foreign(code: Any, body: Any) -> Any:
    """An array or a table, of which a pickle has code and body (`plain.foreign`)."""
    return foreign.build(packed(code, body))


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
_OURS: frozenset[Callable[..., Any]] = frozenset({*_BUILDERS.values(), _foreign})
_NAMES = {builder.__name__: builder for builder in _OURS}


class _Pickler(pickle.Pickler):
    limit_bytes = ENCODED_BYTES

    def reducer_override(self, value: Any) -> Any:
        """The C pickler calls this for every value of no built-in type, and for our builders."""
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
        if foreign.is_foreign(kind):
            body = foreign.pack(value, self.limit_bytes)
            if body is not None:
                return _foreign, (body.code, body.body())
        raise foreign.not_plain_value(value)


_FUNCTION = type(_uuid)


class _Unpickler(pickle.Unpickler):
    size_bytes = 0
    bounds = ITEM
    _left: Allowance | None = None

    def find_class(self, module: str, name: str) -> Any:
        builder = _NAMES.get(name)
        if builder is None or module != __name__:
            named = printable(f"{module}.{name}")
            raise ProtocolError(f"an item names {named}, which is no plain data")
        if builder is _decimal:
            return self._allowance().decimal()
        if builder is _foreign:
            return foreign.builder(self._allowance(), self.bounds)
        return NamedZone if self.bounds.served and builder is _zone else builder

    def _allowance(self) -> Allowance:
        """What all Decimals, arrays and tables of this item may take together."""
        if self._left is None:
            self._left = Allowance(self.size_bytes)
        return self._left


def encode(value: Any, limit_bytes: int = ENCODED_BYTES) -> bytes:
    """Encode one value.

    Args:
        value: plain data.
        limit_bytes: the most bytes of the result. A small value can take very many, if it holds
            one large int often.

    Raises:
        NotPlainDataError: the value is or holds something that is no plain data.
        TooLargeError: the value takes more than `limit_bytes`.
    """
    kind = type(value)
    if kind in ATOMS or (kind is dict and _is_flat(value)):
        try:
            data = _encoder.encode(value)
            if kind is not dict or len(data) <= min(FLAT_BYTES, limit_bytes):
                return data
        except (OverflowError, UnicodeEncodeError):
            pass  # an int above 64 bits or a lone surrogate: pickle can encode both
    if foreign.is_foreign(kind):
        body = foreign.pack(value, limit_bytes)
        if body is None:
            raise foreign.not_plain_value(value)
        return body.item()
    buffer = Bounded(limit_bytes)
    pickler = _Pickler(buffer, 4)
    pickler.limit_bytes = limit_bytes
    try:
        pickler.dump(value)
    except (NotPlainDataError, TooLargeError):
        raise
    except RecursionError:
        raise NotPlainDataError("a value is nested too deeply to travel") from None
    except Exception as error:  # such as a dict that changes while it is read
        raise NotPlainDataError(f"a value cannot travel: {printable(str(error))}") from error
    return buffer.getvalue()


def decode(data: bytes, bounds: Bounds = ITEM) -> Any:
    """Decode one item, also one that a stranger wrote. Nothing is imported.

    Args:
        data: what `encode` returned.
        bounds: what decoding may take. This is checked before anything is decoded.

    Raises:
        ProtocolError: `encode` does not write such an item.
    """
    try:
        first = data[0]
        if first in _MAPS:
            return _flat_map(data)
        if first in foreign.FIRST_BYTES:
            return foreign.opened(foreign.unpack(data), bounds)
        if first != _PICKLE:
            return _atom(_anything.decode(data))
        inspect(data, bounds)
        unpickler = _Unpickler(io.BytesIO(data))
        unpickler.size_bytes, unpickler.bounds = len(data), bounds
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
    """Whether a dict has only texts as keys and atoms as values, and is not empty."""
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
    """Return a value that may wait for its batch: an atom as it is, any other value encoded.

    Raises:
        NotPlainDataError: the value is or holds something that is no plain data.
    """
    return value if type(value) in ATOMS else Encoded(encode(value))


def encode_batch(values: Sequence[Any]) -> bytes:
    """Encode values. An `Encoded` among them was encoded by `freeze`.

    Raises:
        NotPlainDataError: a value is or holds something that is no plain data.
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
    """Decode the values from `start` up to `stop` of a batch.

    Args:
        data: the batch.
        start: the index of the first value.
        stop: the index behind the last value; None is the end.
        bounds: what decoding each of them may take.

    Raises:
        ProtocolError: `encode_batch` does not write such a batch.
    """
    if data == NOTHING:
        return [None][start:stop]
    if data[:1] == b"S":
        return [decode(item, bounds) for item in batch_items(data)[start:stop]]
    values = load_batch(_anything, data, b"L")
    if type(values) is not list or not set(map(type, values)) <= ATOMS:
        raise ProtocolError("a batch holds something else than atoms")
    return values if start == 0 and stop is None else values[start:stop]


def join(bodies: Sequence[bytes]) -> bytes:
    """One batch of the values of several. What can't be decoded in it spoils no other value.

    Raises:
        ProtocolError: one of them is not a batch.
    """
    joined = batches.join(bodies)
    if joined[:1] == b"L":
        try:
            decode_batch(joined)
        except ProtocolError:  # among items each stands for itself
            return encode_items(batch_items(joined))
    return joined


@dataclass(frozen=True)
class Undecodable:
    """Stands for a value that can't be decoded. error: the reason."""

    error: ProtocolError

    def told(self, what: str, who: str) -> ProtocolError:
        """The error for a person: what the value is, and who can't decode it."""
        error = self.error
        if isinstance(error, MissingLibraryError):
            return ProtocolError(error.told(what, who))
        return error


def decode_each(data: bytes, start: int, stop: int, bounds: Bounds = ITEM) -> list[Any]:
    """As `decode_batch`, but an `Undecodable` stands for each value that can't be decoded."""
    try:
        return decode_batch(data, start, stop, bounds)
    except ProtocolError as error:
        of_batch = error
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
    return values + [Undecodable(of_batch)] * (stop - start - len(values))


def check_size(data: bytes, max_bytes: int, what: str) -> None:
    """Raise TooLargeError if `data`, the bytes of `what`, are more than `max_bytes`."""
    if len(data) > max_bytes:
        raise TooLargeError(
            f"{what} takes {len(data):,} bytes, above QUEUE_MAX_BYTES={max_bytes:,}: "
            "put it in a file on the shared disk and pass its path instead"
        )

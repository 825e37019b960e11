"""Checks an Arrow IPC stream before pyarrow reads it: what its messages would take in memory.

This module reads the headers of the messages, and no data. It needs no pyarrow. A stream that is
fit to be read is checked once more by pyarrow, for offsets within its columns. Sources: Arrow's
"Encapsulated message format" and its `Message.fbs` and `Schema.fbs`; "FlatBuffers Internals".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import ProtocolError

FREE_CELLS = 1_000_000
CELLS_A_BYTE = 8
"""A stream may have this many values for each of its bytes, and FREE_CELLS more. A bool takes a
bit, and only what takes none, such as a column of nulls, can have more."""

_DEPTH = 32
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_TIMESTAMP, _UNION = 10, 14
_REFUSED = {_UNION, 22, 23, 24, 25, 26}  # run-end encoded, and views, which can overlap
_FIELD_COST = 16
_EXTENSION = b"ARROW:extension:name"
_OF_PANDAS = {b"pandas.period", b"pandas.interval"}
"""The extension types of pandas. Of another one it makes what its class says, and of one over a
dictionary pyarrow 26 makes a fault of the process."""


def check(stream: bytes | memoryview, for_pandas: bool = False) -> None:
    """Look at the messages of a stream.

    Args:
        stream: all of its bytes.
        for_pandas: whether pandas reads it. It makes a text of its own for each value of a
            dictionary, unless a whole column is one.

    Raises:
        ProtocolError: it is no stream, is compressed, has values without bytes or with those of
            others, or has columns of unions, views or run ends.
    """
    try:
        _check(memoryview(stream), for_pandas)
    except (struct.error, IndexError, RecursionError, UnicodeError):
        raise ProtocolError("a table is not a whole Arrow stream") from None


def most_cells(size_bytes: int) -> int:
    """How many values a stream of this size may have."""
    return CELLS_A_BYTE * size_bytes + FREE_CELLS


def _check(stream: memoryview, for_pandas: bool) -> None:
    cells, most = 0, most_cells(len(stream))
    kinds = []
    for message in _messages(stream):
        kind, header = message.byte(1), message.table(2)
        kinds.append(kind)
        if kind == _SCHEMA and len(kinds) == 1:
            _Schema(message.size, for_pandas).look(header)
            continue
        if kind == _DICTIONARY and header.byte(2):  # each of its parts becomes a whole one
            raise ProtocolError("a table has a dictionary in parts, and should not have")
        batch = header.table(1) if kind == _DICTIONARY else header
        if kind not in (_DICTIONARY, _BATCH) or len(kinds) == 1 or batch is None:
            raise ProtocolError("a table has messages that are not those of a table")
        if batch.has(3):
            raise ProtocolError("a table is compressed, and should not be")
        batch.check_buffers(message.whole(3))
        cells += batch.lengths()
        if cells > most:
            raise ProtocolError(
                f"a table of {len(stream):,} bytes has more than {most:,} values: it has a"
                " column of nulls, or of values without a length"
            )
    if not kinds:
        raise ProtocolError("a table is not a whole Arrow stream")


class _Table:
    """A table of a FlatBuffer: places of its fields by their numbers."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self.size = len(data)
        self._fields = at - _number("<i", data, at)
        self._width = _number("<H", data, self._fields)

    def _place(self, field: int) -> int:
        """Where the field is, or 0."""
        entry = 4 + 2 * field
        if entry + 2 > self._width:
            return 0
        offset = _number("<H", self._data, self._fields + entry)
        return self._at + offset if offset else 0

    def has(self, field: int) -> bool:
        return self._place(field) != 0

    def byte(self, field: int) -> int:
        place = self._place(field)
        return _number("<B", self._data, place) if place else 0

    def whole(self, field: int) -> int:
        place = self._place(field)
        return _number("<q", self._data, place) if place else 0

    def table(self, field: int) -> _Table:
        place = self._place(field)
        if not place:
            raise ProtocolError("a table is not a whole Arrow stream")
        return _Table(self._data, place + _number("<I", self._data, place))

    def _vector(self, field: int) -> tuple[int, int]:
        """Where the vector or text of a field begins, and how many parts it has."""
        place = self._place(field)
        if not place:
            return 0, 0
        at = place + _number("<I", self._data, place)
        return at + 4, _number("<I", self._data, at)

    def length(self, field: int) -> int:
        """How long the vector or text of a field is."""
        return self._vector(field)[1]

    def text(self, field: int) -> bytes:
        """The text of a field."""
        at, size = self._vector(field)
        return bytes(self._data[at : at + size])

    def tables(self, field: int) -> Iterator[_Table]:
        """The tables of a vector."""
        at, count = self._vector(field)
        for place in range(at, at + 4 * count, 4):
            yield _Table(self._data, place + _number("<I", self._data, place))

    def lengths(self) -> int:
        """How many values the columns of a record batch have together, those within others, too."""
        rows = self.whole(0)
        if rows < 0:
            raise ProtocolError("a table is not a whole Arrow stream")
        return rows + sum(length for length, _ in self._pairs(1))

    def check_buffers(self, body_bytes: int) -> None:
        """Raise ProtocolError unless each buffer of a record batch has bytes of its own."""
        used = 0
        for at, length in self._pairs(2):
            used += length
            if at + length > body_bytes:
                raise ProtocolError("a table is not a whole Arrow stream")
        if used > body_bytes:
            raise ProtocolError("a table has columns that share their bytes, and should not have")

    def _pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The structs of a vector, of two numbers each. None of them is below 0."""
        at, count = self._vector(field)
        if at + 16 * count > self.size:
            raise ProtocolError("a table is not a whole Arrow stream")
        for pair in struct.iter_unpack("<qq", self._data[at : at + 16 * count]):
            if min(pair) < 0:
                raise ProtocolError("a table is not a whole Arrow stream")
            yield pair


def _number(form: str, data: memoryview, at: int) -> int:
    if at < 0:
        raise IndexError
    (number,) = struct.unpack_from(form, data, at)
    return int(number)


def _messages(stream: memoryview) -> Iterator[_Table]:
    """The headers of a stream's messages, up to its end."""
    at = 0
    while at < len(stream):
        mark, size = struct.unpack_from("<Ii", stream, at)
        if mark != 0xFFFFFFFF or size < 0:
            raise ProtocolError("a table is not an Arrow stream")
        at += 8
        if size == 0:
            break
        header = stream[at : at + size]
        message = _Table(header, _number("<I", header, 0))
        at += size
        body = message.whole(3)
        if body < 0 or at + body > len(stream):
            raise ProtocolError("a table is not a whole Arrow stream")
        at += body
        yield message
    if at != len(stream):
        raise ProtocolError("a table goes on behind its Arrow stream")


class _Schema:
    """Counts what the fields of a schema take. A FlatBuffer can name one field very often."""

    def __init__(self, size: int, for_pandas: bool) -> None:
        self._left, self._for_pandas = size, for_pandas
        self._dictionaries: set[int] = set()

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ProtocolError("a table has a schema made to exhaust memory")

    def look(self, schema: _Table) -> None:
        """Look at a schema. Raises ProtocolError if it names a part of itself often."""
        self._metadata(schema, 2)
        for field in schema.tables(1):
            self._field(field, 0)

    def _field(self, field: _Table, depth: int) -> None:
        kind = field.byte(2)
        if depth > _DEPTH or kind in _REFUSED:
            raise ProtocolError(
                "a table has a column of unions, views or run ends, or one nested too deeply:"
                " cast it first"
            )
        self._take(_FIELD_COST + field.length(0))
        if field.has(4):
            self._dictionary(field.table(4).whole(0), depth)
        if kind == _TIMESTAMP:
            self._take(field.table(3).length(1))
        self._metadata(field, 6)
        if self._for_pandas:
            self._extension(field)
        for child in field.tables(5):
            self._field(child, depth + 1)

    def _extension(self, field: _Table) -> None:
        for pair in field.tables(6):
            named = pair.text(0) == _EXTENSION
            if named and (field.has(4) or pair.text(1) not in _OF_PANDAS):
                raise ProtocolError(
                    "a table of pandas has a column of an extension type: cast it first"
                )

    def _dictionary(self, number: int, depth: int) -> None:
        if depth and self._for_pandas:
            raise ProtocolError(
                "a table of pandas has a dictionary within lists, structs or maps: cast it first"
            )
        if number in self._dictionaries:  # each column gets a copy of it
            raise ProtocolError("a table has columns that share a dictionary, and should not have")
        self._dictionaries.add(number)

    def _metadata(self, of: _Table, number: int) -> None:
        for pair in of.tables(number):
            self._take(_FIELD_COST // 2 + pair.length(0) + pair.length(1))

"""Lines that are JSON objects, by pyarrow's reader; odd ones one by one, by msgspec."""

from __future__ import annotations

import io
import re
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from .columns import Batch
from .fields import ALIASES, HEADERS, schema_of
from .patterns import Moment, batch_of
from .words import OddTextError

_NEEDED, _ONLY_BY = ("client", "time"), ("method", "referrer", "agent")
_HEAD_BYTES = 256 << 10
_DEEPEST = 5000
"""pyarrow ends the process where objects and lists are some 10,000 deep."""

_NO_UTF_8 = re.compile("[\udc80-\udcff]")


class Objects:
    """Reads lines of JSON.

    Args:
        by: which of the fields that no request needs are wanted.
        moment: what a time means.
    """

    def __init__(self, by: list[str], moment: Moment) -> None:
        self._wanted = [name for name in ALIASES if name in by or name not in _ONLY_BY]
        self._moment = moment
        self._schema: Any = None

    def read(self, data: bytes) -> Batch:
        """The requests of whole lines. Raises OddTextError where a line is not like the others."""
        if _is_deep(data):
            raise OddTextError("an object within objects")
        try:
            blank = _blank_lines(data)
            fields, rows = self._read(data, len(blank))
            batch = batch_of(fields, rows, blank[:], [b""] * rows, self._moment)
        except pa.ArrowException as error:
            self._schema = None  # what comes behind it may be like none of the lines before
            raise OddTextError(str(error)) from None
        # A line whose values are none of a request is found in smaller parts.
        if len(batch.unparsable) > len(blank):
            raise OddTextError("a value is not what it should be")
        return batch

    def _read(self, data: bytes, blank: int) -> tuple[dict[str, Any], int]:
        """The fields of whole lines, and how many objects there are. blank: lines without one."""
        if self._schema is None:
            head = data[: data.find(b"\n", min(_HEAD_BYTES, len(data) - 1)) + 1]
            self._schema = schema_of(head)
        table = _table(data, self._schema)
        fields = _fields(table)
        if self._has_others(data, fields):
            inferred = schema_of(data)
            others = [field for field in self._schema if field.name not in inferred.names]
            self._schema = pa.schema([*inferred, *others])
            table = _table(data, self._schema)
            fields = _fields(table)
        if len(table) != data.count(b"\n") - blank:
            raise OddTextError("two objects in a line")
        if not _is_enough(fields) or any(fields[name].null_count for name in _NEEDED):
            raise OddTextError("a field is missing")
        return fields, len(table)

    def _has_others(self, data: bytes, fields: dict[str, Any]) -> bool:
        """Whether values that are missing may be in fields that are not in the schema."""
        known = set(self._schema.names)
        if "request" in known and pa.types.is_struct(kind := self._schema.field("request").type):
            known |= {field.name for field in kind}
            known |= {name for field in kind if field.name == "headers" for name in _names(field)}
        return any(
            alias not in known and b'"%b"' % alias.encode() in data
            for name in self._wanted
            if name not in fields or fields[name].null_count
            for alias in [*ALIASES[name], *([HEADERS[name]] if name in HEADERS else [])]
        )

    def read_lines(self, lines: list[bytes]) -> Batch:
        """The requests among some lines, looked at one by one."""
        rows: list[dict[str, bytes]] = []
        good: list[bytes] = []
        bad: list[bytes] = []
        for line in lines:
            row = _row(line)
            if row is None:
                bad.append(line)
            else:
                rows.append(row)
                good.append(line)
        fields = {
            name: pa.array([row.get(name) for row in rows], pa.binary())
            for name in ALIASES
            if any(name in row for row in rows) or name in _NEEDED
        }
        return batch_of(fields, len(rows), bad, good, self._moment)


def _table(data: bytes, schema: Any) -> Any:
    """The fields of a schema. Others are skipped: there may be any number of names."""
    table = pa.json.read_json(
        io.BytesIO(data),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="ignore",
            newlines_in_values=False,
        ),
    )
    return table.combine_chunks()


def _names(field: Any) -> set[str]:
    """The names within a field that is an object."""
    return {each.name for each in field.type}


def _blank_lines(data: bytes) -> list[bytes]:
    """The lines that have nothing but blanks. pyarrow skips them."""
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == 10)
    starts = np.concatenate([[0], ends[:-1] + 1])
    maybe = text[starts] <= 32
    lines = (data[a:b] for a, b in zip(starts[maybe].tolist(), ends[maybe].tolist(), strict=True))
    return [line.removesuffix(b"\r") for line in lines if not line.strip(b" \t\r")]


def _fields(table: Any) -> dict[str, Any]:
    """The fields as binary arrays, by our names."""
    outer = {name: table.column(name).combine_chunks() for name in table.column_names}
    inner = _inside(outer.get("request"))
    headers = {name: _first(array) for name, array in _inside(inner.get("headers")).items()}
    found = {}
    for name, aliases in ALIASES.items():
        there = [fields[alias] for alias in aliases for fields in (outer, inner) if alias in fields]
        there += [headers[header]] if (header := HEADERS.get(name)) in headers else []
        texts = [pc.cast(array, pa.string()) for array in there if not _is_nested(array.type)]
        if texts:
            found[name] = pc.cast(pc.coalesce(*texts), pa.binary())
    return found


def _inside(array: Any) -> dict[str, Any]:
    """The fields of an array of objects; none of any other."""
    if array is None or not pa.types.is_struct(array.type):
        return {}
    return {each.name: pc.struct_field(array, n) for n, each in enumerate(array.type)}


def _first(array: Any) -> Any:
    """The first value of each list, null for an empty one; other arrays as they are."""
    if not pa.types.is_list(array.type):
        return array
    return pc.list_element(pc.if_else(pc.greater(pc.list_value_length(array), 0), array, None), 0)


def _is_nested(kind: Any) -> bool:
    return bool(pa.types.is_nested(kind))


def _is_enough(fields: Any) -> bool:
    return all(name in fields for name in _NEEDED)


def _is_deep(data: bytes) -> bool:
    """Whether a line may have more objects and lists within each other than pyarrow can read."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    starts = np.concatenate([[0], ends[:-1]])
    long = ends - starts > _DEEPEST
    lines = (data[start:end] for start, end in zip(starts[long], ends[long], strict=True))
    return any(line.count(b"[") + line.count(b"{") > _DEEPEST for line in lines)


def _row(line: bytes) -> dict[str, bytes] | None:
    text = _NO_UTF_8.sub(_escaped, line.decode("utf-8", "surrogateescape"))
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    inner = _object(found, "request")
    headers = _object(inner, "headers")
    row: dict[str, bytes] = {}
    for name in [*_NEEDED, *(name for name in ALIASES if name not in _NEEDED)]:
        there = [fields.get(alias) for alias in ALIASES[name] for fields in (found, inner)]
        header = headers.get(HEADERS.get(name))
        there.append(next(iter(header), None) if isinstance(header, list) else header)
        value = next((text for text in map(_bytes, there) if text is not None), None)
        if value is not None:
            row[name] = value
        elif name in _NEEDED:
            return None
    return row


def _object(fields: dict[str, Any], name: str) -> dict[Any, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _escaped(byte: re.Match[str]) -> str:
    """A byte that is no UTF-8 as `\\xNN`, in a text of JSON."""
    return f"\\\\x{ord(byte[0]) - 0xDC00:02x}"


def _bytes(value: Any) -> bytes | None:
    """A value as pyarrow writes it; None for what is no value."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e10:
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace")

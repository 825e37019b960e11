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
from .patterns import Moment, batch_of
from .words import OddTextError

ALIASES = {
    "time": ["time", "timestamp", "@timestamp", "time_iso8601", "time_local", "datetime", "ts"],
    "client": ["client", "client_ip", "remote_addr", "remote_ip", "clientip", "ip"],
    "request": ["request", "request_line"],
    "method": ["method", "request_method", "verb"],
    "path": ["path", "uri", "request_uri", "url"],
    "status": ["status", "status_code", "response"],
    "bytes": ["bytes", "body_bytes_sent", "bytes_sent", "size", "response_size"],
    "referrer": ["referrer", "referer", "http_referer", "http_referrer"],
    "agent": ["agent", "user_agent", "http_user_agent"],
    "seconds": ["seconds", "request_time", "duration", "duration_s", "response_time"],
}
"""The names that servers give to fields, the first that has a value counts. An object `request` may
have fields of its own, as Caddy writes them. A null, an object or a list is no value."""

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
            fields, rows = self._read(data)
            batch = batch_of(fields, rows, [], [b""] * rows, self._moment)
        except pa.ArrowException as error:
            self._schema = None  # what comes behind it may be like none of the lines before
            raise OddTextError(str(error)) from None
        # A line whose values are none of a request is found in smaller parts.
        if batch.unparsable:
            raise OddTextError("a value is not what it should be")
        return batch

    def _read(self, data: bytes) -> tuple[dict[str, Any], int]:
        """The fields of whole lines, and how many lines there are."""
        if self._schema is None:
            head = data[: data.find(b"\n", min(_HEAD_BYTES, len(data) - 1)) + 1]
            self._schema = _known(_table(head, None).schema)
        table = _table(data, self._schema)
        fields = _fields(table)
        if self._has_others(data, fields):
            inferred = _known(_table(data, None).schema)
            others = [field for field in self._schema if field.name not in inferred.names]
            self._schema = pa.schema([*inferred, *others])
            table = _table(data, self._schema)
            fields = _fields(table)
        if len(table) != data.count(b"\n"):
            raise OddTextError("an empty line")
        if not _is_enough(fields) or any(fields[name].null_count for name in _NEEDED):
            raise OddTextError("a field is missing")
        return fields, len(table)

    def _has_others(self, data: bytes, fields: dict[str, Any]) -> bool:
        """Whether values that are missing may be in fields that are not in the schema."""
        known = set(self._schema.names)
        if "request" in known and pa.types.is_struct(kind := self._schema.field("request").type):
            known |= {field.name for field in kind}
        return any(
            alias not in known and b'"%b"' % alias.encode() in data
            for name in self._wanted
            if name not in fields or fields[name].null_count
            for alias in ALIASES[name]
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
    table = pa.json.read_json(
        io.BytesIO(data),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="infer" if schema is None else "ignore",
            newlines_in_values=False,
        ),
    )
    return table.combine_chunks()


def _known(schema: Any) -> Any:
    """What of a schema is of use. Times stay text: pyarrow would guess what they mean."""
    names = {alias for aliases in ALIASES.values() for alias in aliases}
    return pa.schema([_kept(field, names) for field in schema if field.name in names])


def _kept(field: Any, names: set[str]) -> Any:
    if pa.types.is_struct(field.type):
        inner = [_kept(each, names) for each in field.type if each.name in names]
        return pa.field(field.name, pa.struct(inner))
    return pa.field(field.name, pa.string()) if pa.types.is_timestamp(field.type) else field


def _fields(table: Any) -> dict[str, Any]:
    """The fields as binary arrays, by our names."""
    outer = {name: table.column(name).combine_chunks() for name in table.column_names}
    request, inner = outer.get("request"), {}
    if request is not None and pa.types.is_struct(request.type):
        inner = {each.name: pc.struct_field(request, n) for n, each in enumerate(request.type)}
    found = {}
    for name, aliases in ALIASES.items():
        there = [fields[alias] for alias in aliases for fields in (outer, inner) if alias in fields]
        texts = [pc.cast(array, pa.string()) for array in there if not _is_nested(array.type)]
        if texts:
            found[name] = pc.cast(pc.coalesce(*texts), pa.binary())
    return found


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
    inner = found["request"] if isinstance(found.get("request"), dict) else {}
    row = {}
    for name, aliases in ALIASES.items():
        there = (_bytes(fields.get(alias)) for alias in aliases for fields in (found, inner))
        value = next((value for value in there if value is not None), None)
        if value is not None:
            row[name] = value
    return row if _is_enough(row) else None


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

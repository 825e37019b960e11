"""Lines that are JSON objects, by pyarrow's reader; odd ones one by one, by msgspec."""

from __future__ import annotations

import io
from typing import Any

import msgspec
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
"""The names that servers give to fields, the first that is there counts. An object `request` may
have fields of its own, as Caddy writes them."""

_HEAD_BYTES = 256 << 10


class Objects:
    """Reads lines of JSON.

    Args:
        moment: what a time means.
    """

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._schema: Any = None

    def read(self, data: bytes) -> Batch:
        """The requests of whole lines. Raises OddTextError where a line is not like the others."""
        try:
            if self._schema is None:
                head = data[: data.find(b"\n", min(_HEAD_BYTES, len(data) - 1)) + 1]
                self._schema = _known(_table(head, None).schema)
            table = _table(data, self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise OddTextError(str(error)) from None
        if len(table) != data.count(b"\n"):
            raise OddTextError("an empty line")
        fields = _fields(table)
        if not _is_enough(fields):
            raise OddTextError("a field is missing")
        # A line whose values are none of a request is found in smaller parts.
        batch = batch_of(fields, len(table), [], [b""] * len(table), self._moment)
        if batch.unparsable:
            raise OddTextError("a value is not what it should be")
        return batch

    def read_lines(self, lines: list[bytes]) -> Batch:
        """The requests among some lines, looked at one by one."""
        rows: list[dict[str, bytes | None]] = []
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
            if any(name in row for row in rows) or name in ("client", "time")
        }
        return batch_of(fields, len(rows), bad, good, self._moment)


def _table(data: bytes, schema: Any) -> Any:
    table = pa.json.read_json(
        io.BytesIO(data),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="ignore" if schema else "infer",
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
        return pa.field(field.name, pa.struct([f for f in field.type if f.name in names]))
    return pa.field(field.name, pa.string()) if pa.types.is_timestamp(field.type) else field


def _fields(table: Any) -> dict[str, Any]:
    """The fields as binary arrays, by our names."""
    arrays = {name: table.column(name).combine_chunks() for name in table.column_names}
    if "request" in arrays and pa.types.is_struct(arrays["request"].type):
        inner = arrays.pop("request")
        for number, field in enumerate(inner.type):
            arrays.setdefault(field.name, pc.struct_field(inner, number))
    found = {}
    for name, aliases in ALIASES.items():
        there = [arrays[alias] for alias in aliases if alias in arrays]
        if there:
            found[name] = pc.cast(pc.cast(there[0], pa.string()), pa.binary())
    return found


def _is_enough(fields: Any) -> bool:
    return "client" in fields and "time" in fields


def _row(line: bytes) -> dict[str, bytes | None] | None:
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict):
        return None
    if isinstance(found.get("request"), dict):
        found = {**found.pop("request"), **found}
    row = {
        name: _bytes(next(found[alias] for alias in aliases if alias in found))
        for name, aliases in ALIASES.items()
        if any(alias in found for alias in aliases)
    }
    return row if _is_enough(row) else None


def _bytes(value: Any) -> bytes | None:
    return None if value is None else str(value).encode("utf-8", "backslashreplace")

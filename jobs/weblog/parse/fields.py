"""The fields of JSON lines that are of use: their names, and of what kinds their values are.

pyarrow's reader of JSON can find out kinds itself, but it keeps a column of every name. Anybody can
send names that nobody has sent before: servers such as Caddy write down the headers of a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

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

HEADERS = {"referrer": "Referer", "agent": "User-Agent"}
"""Names in the object `headers` of an object `request`. They count where no field above has a
value. The first value of a list counts."""

_NAMES = [alias for aliases in ALIASES.values() for alias in aliases]


def schema_of(data: bytes) -> Any:
    """The schema of the fields of use in whole lines. Times that are texts stay texts.

    Raises:
        OddTextError: a line is no object, or values of a field are of several kinds.
    """
    try:
        lines = _LINES.decode_lines(data)
        fields = _fields(lines, [name for name in _NAMES if name != "request"])
        request = _request([line.request for line in lines if line.request])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise OddTextError(str(error)) from None
    return pa.schema([*fields, *([pa.field("request", request)] if request else [])])


def _request(raws: list[Any]) -> Any:
    """The kind of the field `request`; None where it is not there."""
    if not raws:
        return None
    inside = _objects(raws)
    if not inside:
        return _kind([msgspec.json.decode(raw) for raw in raws])
    requests = [_REQUEST.decode(raw) for raw in inside]
    fields = _fields(requests, _NAMES)
    headers = [_HEADERS.decode(raw) for raw in _objects([one.headers for one in requests])]
    if headers:
        fields.append(pa.field("headers", pa.struct(_fields(headers, HEADERS.values()))))
    return pa.struct(fields)


def _objects(raws: list[Any]) -> list[Any]:
    """The objects among some values, beside which there may only be nulls."""
    firsts = [bytes(memoryview(raw)[:1]) for raw in raws]
    if b"{" in firsts and set(firsts) - {b"{", b"n", b""}:
        raise OddTextError("objects and others")
    return [raw for raw, first in zip(raws, firsts, strict=True) if first == b"{"]


def _fields(objects: list[Any], names: Iterable[str]) -> list[Any]:
    found = []
    for name in names:
        values = [value for value in map(attrgetter(_PLACES[name]), objects) if value is not _NONE]
        if values:
            found.append(pa.field(name, _kind(values)))
    return found


def _kind(values: list[Any]) -> Any:
    """The type of pyarrow for values of one kind, and nulls."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int, float}:
        return pa.float64()
    if len(kinds) > 1:
        raise OddTextError("values of several kinds")
    if list in kinds:
        return pa.list_(_kind([each for value in values for each in value or ()]))
    return _KINDS[kinds.pop()] if kinds else pa.null()


_KINDS = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    dict: pa.struct([]),
}


_NONE = msgspec.UNSET
_PLACES = {
    name: f"f{place}" if name != "request" else name
    for place, name in enumerate([*_NAMES, *HEADERS.values()])
}


def _decoder(names: Iterable[str], raw: str = "") -> msgspec.json.Decoder[Any]:
    """Reads an object with some names, and skips others. raw: what is read later."""
    fields: list[Any] = [(_PLACES[name], Any, _NONE) for name in names if name != raw]
    if raw:
        fields.append((raw, msgspec.Raw, msgspec.Raw(b"")))
    kind = msgspec.defstruct("Fields", fields, rename={place: n for n, place in _PLACES.items()})
    return msgspec.json.Decoder(kind)


_LINES, _REQUEST = _decoder(_NAMES, "request"), _decoder(_NAMES, "headers")
_HEADERS = _decoder(HEADERS.values())

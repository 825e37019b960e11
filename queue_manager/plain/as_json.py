"""Plain data as JSON, exactly: what JSON lacks is an object with one key that begins with `$`."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import uuid
from typing import Any

import msgspec

from .. import codec
from ..terminal import STEERING
from .bounded import ANY, Most, beginning, fits
from .packed import PackedArray, PackedTable

_DEEPEST = 400
_LONG = 10**4300
"""Python neither reads nor writes whole numbers with more digits, unless told to (`sys.int_info`).

A million digits would take it seconds. It reads and writes hexadecimal numbers of any size at once:
`int(text, 16)`.
"""

_INSTEAD = 200
"""Characters of a value that JSON can't hold."""

_BEGINNING = 20_000
"""Characters of a value that is too large to be written out for people."""


def dumped(value: Any) -> str:
    """A value as JSON. Characters that would steer a terminal are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shown(value: Any, chars: int = ANY.chars) -> str:
    """Plain data for people, as Python writes it. If a whole number is too long, it is JSON.

    chars: of a longer value there is the beginning.
    """
    if isinstance(value, codec.Undecodable):
        return f"(can't be decoded: {value.error})"
    if not fits(value, Most(ANY.parts, chars)):
        return f"{beginning(value, min(chars, _BEGINNING))} ... (too large or nested too deeply)"
    try:
        return repr(value)
    except ValueError:
        return dumped(to_json(value))
    except RecursionError:
        return beginning(value, ANY.chars)


def to_json(value: Any, most: Most = ANY) -> Any:
    """The JSON-able form of plain data; ints stay exact at any size.

    A value that contains itself, is nested too deeply for JSON, or takes more than `most` becomes
    `{"$repr": text}`, with its beginning.
    """
    try:
        if fits(value, most):
            return _to_json(value, 0)
    except RecursionError:
        pass
    return {"$repr": f"too large or nested too deeply: {beginning(value, _INSTEAD)}"}


def _to_json(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise RecursionError
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if -_LONG < value < _LONG else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_to_json(item, depth + 1) for item in value]
    if kind is dict:
        return _object(value, depth)
    return _tagged(value, depth)


def _object(value: dict[Any, Any], depth: int) -> Any:
    plain = all(type(key) is str for key in value)
    if plain and not (len(value) == 1 and next(iter(value)).startswith("$")):
        return {key: _to_json(item, depth + 1) for key, item in value.items()}
    pairs = [[_to_json(x, depth + 1) for x in pair] for pair in value.items()]
    return {"$dict": pairs}


def _tagged(value: Any, depth: int) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple | set | frozenset):
        return {f"${type(value).__name__}": [_to_json(item, depth + 1) for item in value]}
    if isinstance(value, datetime.timedelta):
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return {f"${type(value).__name__}": value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, uuid.UUID):
        return {"$uuid": str(value)}
    if isinstance(value, PackedArray):
        return _array(value, depth)
    if isinstance(value, PackedTable):
        stream = base64.b64encode(value.data).decode("ascii")
        return {"$arrow": {"kind": value.kind, "name": value.name, "stream": stream}}
    if isinstance(value, codec.Undecodable):
        return {"$undecodable": str(value.error)}
    return {f"${type(value).__name__}": repr(value)}


def _array(array: PackedArray, depth: int) -> dict[str, Any]:
    """An array or a scalar of numpy, all of it. No numpy is needed for it."""
    dtype = msgspec.to_builtins(array.dtype)
    values = _to_json(array.values(), depth + 1)
    if array.shape is None:
        return {"$scalar": {"dtype": dtype, "value": values}}
    return {"$array": {"dtype": dtype, "shape": list(array.shape), "values": values}}

"""Plain data as JSON, exactly: what JSON lacks is an object with one key that begins with `$`."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import reprlib
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from queue_manager import codec
from queue_manager.job.failures import failure_of
from queue_manager.plain.packed import PackedArray, PackedTable
from queue_manager.terminal import STEERING
from queue_manager.wire.records import DeadLetter, ResultBlock
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

FIELDS = ("run", "task", "key", "state", "attempts", "payload", "result", "error")
LETTER_FIELDS = (*FIELDS, "losses", "worker", "evidence", "printed", "failure", "died_at")


_DEEPEST = 400
_LONG = 10**4300
"""Python neither reads nor writes whole numbers with more digits, unless told to (`sys.int_info`).

A million digits would take it seconds. It reads and writes hexadecimal numbers of any size at once:
`int(text, 16)`.
"""


class Line(dict[str, Any]):
    """One ended task, with the fields of `FIELDS`, or one dead letter with `LETTER_FIELDS`."""

    def json(self) -> str:
        """As one line of JSON."""
        return dumped(self)

    def cells(self) -> list[Any]:
        """As cells of CSV: texts as they are, everything else as JSON, None as an empty cell."""
        plain = (str, type(None))
        return [v if isinstance(v, plain) else dumped(v) for v in self.values()]


def dumped(value: Any) -> str:
    """A value as JSON. Characters that would steer a terminal are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shown(value: Any) -> str:
    """Plain data for people, as Python writes it. If a whole number is too long, it is JSON."""
    if isinstance(value, codec.Undecodable):
        return f"(can't be decoded: {value.error})"
    try:
        return repr(value)
    except ValueError:
        return dumped(to_json(value))


def to_json(value: Any) -> Any:
    """The JSON-able form of plain data; ints stay exact at any size.

    A value that contains itself, or is nested too deeply for JSON, becomes `{"$repr": text}`.
    """
    try:
        return _to_json(value, 0)
    except RecursionError:
        return {"$repr": reprlib.repr(value)}


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


def lines_of(run: int, block: ResultBlock) -> Iterator[Line]:
    """The ended tasks of a block, in task order."""
    payloads = codec.decode_each(block.body, 0, block.count, SHOWN_ITEM)
    ended: dict[int, tuple[str, Any, str, int]] = {}
    for range_ in block.ended:
        results = codec.decode_each(range_.results, 0, range_.stop - range_.start, SHOWN_ITEM)
        for position, result in zip(range(range_.start, range_.stop), results, strict=True):
            attempts = block.attempts.get(block.first + position, 0) + 1
            ended[position] = ("done", to_json(result), "", attempts)
    for letter in block.dead:
        position = letter.task - block.first
        ended[position] = ("dead", None, letter.error, letter.attempts)
    for position, (state, result, error, attempts) in sorted(ended.items()):
        key = None if block.keys is None else block.keys[position]
        payload = to_json(payloads[position])
        task = block.first + position
        values = (run, task, key, state, attempts, payload, result, error or None)
        yield Line(zip(FIELDS, values, strict=True))


class Letter(NamedTuple):
    """A dead letter with its task."""

    run: int
    letter: DeadLetter
    key: str | None
    payload: Any

    @property
    def line(self) -> Line:
        """With the fields of `LETTER_FIELDS`."""
        letter = self.letter
        payload = to_json(self.payload)
        values = (self.run, letter.task, self.key, "dead", letter.attempts, payload, None)
        more = (letter.error or None, letter.losses, letter.worker, letter.evidence, letter.printed)
        group = (failure_of(letter), letter.died_at)
        return Line(zip(LETTER_FIELDS, (*values, *more, *group), strict=True))


def letters_of(run: int, block: ResultBlock) -> Iterator[Letter]:
    """The dead letters of a block, in task order."""
    payloads = codec.decode_each(block.body, 0, block.count, SHOWN_ITEM)
    for letter in sorted(block.dead, key=lambda letter: letter.task):
        position = letter.task - block.first
        key = None if block.keys is None else block.keys[position]
        yield Letter(run, letter, key, payloads[position])

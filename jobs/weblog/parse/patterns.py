"""Lines by a pattern: those that a plain reader can't split, and those of a format of the user's.

pyarrow searches with RE2, which takes a time that is linear in the length of a line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import Batch, Column, column_of, moments_of, same

Moment = Callable[[bytes, bytes], float | None]

_QUOTED = r'"(?P<{0}>(?:[^"\\]|\\.)*)"'
COMMON = (
    # Before the client may be the name and the port of a virtual host.
    r"(?:(?:[^\s:\[]+|\[[^\s\]]+\]):\d+ )?"
    r"(?P<client>\S+) \S+ .+? \[(?P<time>[^\] ]+) (?P<zone>[^\] ]+)\] "
    + _QUOTED.format("request")
    + r" (?P<status>\d{3}) (?P<bytes>\d+|-)"
)
_REFERRED = " " + _QUOTED.format("referrer") + " " + _QUOTED.format("agent")
PATTERNS = {
    "common": rf"^{COMMON}(?: .*)?$",
    "combined": rf"^{COMMON}{_REFERRED}(?: .*)?$",
    "auto": rf"^{COMMON}(?:{_REFERRED})?(?: .*)?$",
}
"""By the name of a format. What is behind the last field of a line is left out."""

LARGEST_BYTES = 1 << 50
"""What says that it sent more is no size: sums stay exact."""

_WHOLE = re.compile(rb"\d{1,16}(\.0*)?|\d(\.\d{1,15})?e\+?\d{1,2}")
_DEFAULTS = {"status": b"-", "referrer": b"-", "agent": b"-", "bytes": b"-"}


class BadPatternError(ValueError):
    """RE2 does not know something in a pattern. One line."""


def whole(regex: str) -> str:
    """A pattern of the user's, for a whole line."""
    return f"^(?:{regex})$"


def check(pattern: str) -> None:
    """Raise BadPatternError for what RE2 can't search for, such as a look-ahead."""
    try:
        pc.extract_regex(pa.array([b""], pa.binary()), pattern)
    except pa.ArrowInvalid as error:
        text = " ".join(str(error).split())
        raise BadPatternError(f"the regex can't be used: {text}") from None


def read(lines: list[bytes], pattern: str, moment: Moment) -> Batch:
    """The requests among some lines."""
    found = pc.extract_regex(pa.array(lines, pa.binary()), pattern)
    there = found.is_valid().to_numpy(zero_copy_only=False)
    bad = [lines[row] for row in np.flatnonzero(~there)]
    found = found.filter(pa.array(there))
    fields = {found.type.field(i).name: found.field(i) for i in range(found.type.num_fields)}
    return batch_of(fields, len(found), bad, [lines[row] for row in np.flatnonzero(there)], moment)


def batch_of(
    fields: dict[str, Any], rows: int, bad: list[bytes], lines: list[bytes], moment: Moment
) -> Batch:
    """The batch of fields that are binary arrays. A line whose time or numbers are none is bad.

    Args:
        fields: by their names, as in FIELDS of `asked`.
        rows: how long each is.
        bad: lines that are no request already.
        lines: the line of each row.
    """
    columns = {name: _column(name, array) for name, array in fields.items()}
    sizes = columns.pop("bytes", None) or same("-", rows)
    seconds = columns.pop("seconds", None)
    time, zone = columns.pop("time"), columns.pop("zone", None)
    columns.setdefault("status", same("-", rows))
    moments, when = moments_of(time, zone, moment)
    good = ~np.isnan(moments)[when]
    numbers = np.array([_size(value) for value in sizes.values], np.int64)[sizes.codes]
    good &= numbers >= 0
    made = Batch(
        columns,
        np.nan_to_num(moments),
        when,
        numbers,
        None if seconds is None else _seconds(seconds),
        bad,
    )
    if good.all():
        return made
    bad += [lines[row] for row in np.flatnonzero(~good)]
    return made.taken(good)


def _column(name: str, array: Any) -> Column:
    array = pc.fill_null(array, _DEFAULTS.get(name, b"-"))
    return column_of(pc.dictionary_encode(array))


def _size(value: bytes) -> int:
    """Bytes; -1 for what is no size."""
    if value in (b"-", b""):
        return 0
    if not _WHOLE.fullmatch(value):
        return -1
    size = float(value)
    return int(size) if size.is_integer() and size <= LARGEST_BYTES else -1


def _seconds(column: Column) -> Any:
    """Seconds; NaN for what is no number."""

    def number(value: bytes) -> float:
        try:
            found = float(value)
        except ValueError:
            return math.nan
        return found if math.isfinite(found) else math.nan

    return np.array([number(value) for value in column.values], np.float64)[column.codes]

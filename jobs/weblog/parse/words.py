"""Regular lines of the common and the combined format, by pyarrow's reader of CSV.

To that reader a line is words with spaces between them, some of them in quotes. This is true only
for lines without a backslash, so those are given back, with all that do not have as many words as
most. It does not tell which words had quotes, so these are counted. Where anything else is odd the
whole text is refused, and the caller looks at smaller parts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .columns import Batch, Codes, Column, column_of, moments_of
from .patterns import LARGEST_BYTES, PATTERNS, Moment
from .times import by_hours

_WORDS = ["client", "ident", "user", "time", "zone", "request", "status", "bytes"]
_REFERRED = [*_WORDS, "referrer", "agent"]
_NEEDED = ["client", "time", "zone", "request", "status", "bytes"]
_MOST_WORDS = 30
_IN_CACHE = 256 << 10
_LINE = re.compile(PATTERNS["auto"].encode(), re.DOTALL)
COMMON_WORDS, COMBINED_WORDS = len(_WORDS), len(_REFERRED)


class OddTextError(ValueError):
    """A text that has to be looked at line by line, or in smaller parts."""


class Words:
    """Reads regular lines.

    Args:
        by: which columns are wanted beside those that are always needed.
        least: the fewest words of a line.
        moment: what a time means.
    """

    def __init__(self, by: list[str], least: int, moment: Moment) -> None:
        self._by = [name for name in ("referrer", "agent") if name in by]
        self._least = least
        self._words = COMBINED_WORDS  # as many as most lines had that were read last
        self._moment = moment

    def read(self, data: bytes) -> tuple[Batch, list[bytes]]:
        """The requests of whole lines, and the odd lines among them.

        Raises:
            OddTextError: some line is odd, but it is not known which.
        """
        _check_text(data)
        data, odd = without_backslashes(data)
        if not data:
            return _nothing(), odd
        table, left = self._table(data, self._words)
        ends = _count(data, "\n")
        if len(left.texts) * 2 > ends:
            words = left.words.most_common(1)[0][0]
            if not self._least <= words <= _MOST_WORDS:
                raise OddTextError("another format")
            self._words = words
            table, left = self._table(data, words)
        table = self._as_quoted(table, data, left)
        if len(table) + len(left.texts) != ends or any("\n" in text for text in left.texts):
            raise OddTextError("a quote has no partner")
        return self._batch(table), odd + [text.encode() for text in left.texts]

    def _table(self, data: bytes, words: int) -> tuple[Any, _Left]:
        names = (_REFERRED if words >= COMBINED_WORDS else _WORDS)[:words]
        names = names + [f"more {number}" for number in range(words - len(names))]
        kind = pa.dictionary(pa.int32(), pa.binary())
        left = _Left()
        options = {
            "read_options": pa.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=names
            ),
            "parse_options": pa.csv.ParseOptions(
                delimiter=" ", quote_char='"', double_quote=False, invalid_row_handler=left.add
            ),
            "convert_options": pa.csv.ConvertOptions(
                column_types={name: kind for name in names} | {"bytes": pa.int64()},
                include_columns=_NEEDED + [name for name in self._by if name in names],
                null_values=["-"],
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        }
        try:
            table = pa.csv.read_csv(pa.BufferReader(data), **options)
        except pa.ArrowInvalid as error:
            raise OddTextError(str(error)) from None
        return table.combine_chunks(), left

    def _as_quoted(self, table: Any, data: bytes, left: _Left) -> Any:
        """The table, without a referrer and an agent if these words have no quotes.

        Raises OddTextError if the lines do not have as many quotes as the first of them.
        """
        if not len(table):
            return table
        first = _first_read(data, left)
        found = _LINE.match(first)
        quotes = _count(data, '"') - sum(text.count('"') for text in left.texts)
        if not found or quotes != first.count(b'"') * len(table):
            raise OddTextError("some words have no quotes")
        if found["agent"] is not None:
            return table
        if self._least == COMBINED_WORDS:
            raise OddTextError("an agent has no quotes")
        return table.drop_columns([name for name in self._by if name in table.column_names])

    def _batch(self, table: Any) -> Batch:
        columns = {
            name: column_of(table.column(name).chunk(0))
            for name in table.column_names
            if name != "bytes" and table.num_rows
        }
        if not columns:
            return _nothing()
        sizes = table.column("bytes").chunk(0).fill_null(0).to_numpy()
        time, zone = columns.pop("time"), columns.pop("zone")
        moments, when = self._moments(time, zone)
        statuses = columns["status"].values
        small = sizes.min(initial=0) >= 0 and sizes.max(initial=0) <= LARGEST_BYTES
        if None in moments or not small or not all(map(_is_status, statuses)):
            raise OddTextError("a word is not what it should be")
        if any(pc.any(pc.match_substring(c.array, b'"')).as_py() for c in columns.values()):
            raise OddTextError("a quote within a word")
        return Batch(columns, moments, when, sizes)

    def _moments(self, time: Column, zone: Column) -> tuple[list[Any], Codes]:
        if len(zone.values) == 1:
            offset = zone.values[0]
            found = by_hours(time.array, lambda value: self._bracketed(value, offset))
            if found is not None:
                return found, time.codes
        return moments_of(time, zone, self._bracketed)

    def _bracketed(self, time: bytes, zone: bytes) -> float | None:
        """What `[10/Oct/2000:13:55:36` and `-0700]` mean."""
        if time[:1] != b"[" or zone[-1:] != b"]":
            return None
        return self._moment(time[1:], zone[:-1])


class _Left:
    """The lines that do not have as many words as they should, as pyarrow tells them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.words: Counter[int] = Counter()

    def add(self, row: Any) -> str:
        self.texts.append(row.text)
        self.words[row.actual_columns] += 1
        return "skip"


def _first_read(data: bytes, left: _Left) -> bytes:
    """The first line that is not left."""
    texts, begin = iter(left.texts), 0
    while True:
        end = data.find(b"\n", begin)
        line = data[begin:end].removesuffix(b"\r")
        if next(texts, "").removesuffix("\r").encode() != line:
            return line
        begin = end + 1


def _count(data: bytes, sign: str) -> int:
    """How often a character is there, in a quarter of the time that `count` of bytes takes."""
    codes, code = np.frombuffer(data, np.uint8), ord(sign)
    parts = range(0, len(codes), _IN_CACHE)
    return sum(int(np.count_nonzero(codes[at : at + _IN_CACHE] == code)) for at in parts)


def _check_text(data: bytes) -> None:
    """pyarrow tells odd lines as text, which not all bytes are, and takes a lone CR for an end."""
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        raise OddTextError("a CR within a line")
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise OddTextError("no UTF-8") from None


def without_backslashes(data: bytes) -> tuple[bytes, list[bytes]]:
    """Take out the lines with a backslash. The last line must have its end."""
    kept, odd, begin = [], [], 0
    place = data.find(b"\\")
    while place >= 0:
        start, end = data.rfind(b"\n", begin, place) + 1 or begin, data.find(b"\n", place) + 1
        kept.append(data[begin:start])
        odd.append(data[start : end - 1].removesuffix(b"\r"))
        begin = end
        place = data.find(b"\\", begin)
    return (b"".join([*kept, data[begin:]]) if odd else data), odd


def _nothing() -> Batch:
    return Batch({}, [], np.zeros(0, np.int32), np.zeros(0, np.int64))


def _is_status(value: bytes) -> bool:
    return len(value) == 3 and value.isdigit()

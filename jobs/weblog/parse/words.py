"""Regular lines of the common and the combined format: their columns are places in the text.

A line is regular if all of it is as the pattern of its format says, and this can be told from the
places of its quotes: no backslash is before one of them, and what is between them has its usual
width. All other lines are odd, and are given back. No byte of a column is copied until the values
are counted: to pyarrow a text is one array, in which values and what is between them take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .columns import Batch, Codes, Column, Mask, Sizes, no_requests
from .heads import clients_of
from .patterns import LARGEST_BYTES, Moment
from .places import BACKSLASH, BLANK, BRACE, CR, DASH, Finder, Lines, Places, eights, numbers
from .times import WIDTH, by_hours

_SHORTEST_HEAD = len("c i u ")
_BEHIND_REQUEST = len(" 200 -")
_QUOTES = len('""""""')
_OF_TIMES = [*range(24), *range(3 + 24, 3 + WIDTH)]  # the last word begins within the one before
_STATUSES = pa.array([b"%03d" % status for status in range(1000)], pa.binary())


class OddTextError(ValueError):
    """A text that has to be looked at line by line, or in smaller parts."""


@dataclass(frozen=True)
class _Part:
    """The regular lines of one text. columns: arrays in which a null is before each other value."""

    data: bytes
    columns: dict[str, Any]
    starts: Places
    statuses: Codes
    moments: npt.NDArray[np.float64]
    when: Codes
    sizes: Sizes


class Words:
    """Reads regular lines, and keeps them until a batch of them is asked for.

    Args:
        by: which columns are wanted beside those that are always needed.
        format: `common`, `combined` or `auto`.
        moment: what a time means.

    Attributes:
        held_bytes: how long the texts are whose lines it keeps.
        held_lines: how many lines it keeps.
    """

    def __init__(self, by: list[str], format: str, moment: Moment) -> None:
        wanted = () if format == "common" else ("referrer", "agent")
        self._by = [name for name in wanted if name in by]
        self._needs_referrer = format == "combined"
        self._may_be_json = format == "auto"
        self._moment = moment
        self._finder = Finder()
        self._parts: list[_Part] = []
        self.held_bytes = self.held_lines = 0

    def read(self, data: bytes) -> list[bytes]:
        """Keep the requests of whole lines; returns the odd lines among them.

        Raises:
            OddTextError: most lines are odd. None was kept.
        """
        text = np.frombuffer(data, np.uint8)
        lines = Lines.of(text, self._finder.places(text))
        part, rows = self._regular(data, lines)
        if len(rows) * 2 < len(lines.starts):
            raise OddTextError("another format")
        if len(rows):
            self._parts.append(part)
            self.held_bytes += len(data)
            self.held_lines += len(rows)
        if len(rows) == len(lines.starts):
            return []
        others = np.ones(len(lines.starts), np.bool_)
        others[rows] = False
        found = zip(lines.starts[others].tolist(), lines.ends[others].tolist(), strict=True)
        return [data[start:end].removesuffix(b"\r") for start, end in found]

    def batch(self) -> tuple[Batch, list[bytes]]:
        """All requests that were kept, and lines that turn out to be odd. It keeps none of them."""
        parts, self._parts = self._parts, []
        self.held_bytes = self.held_lines = 0
        if not parts:
            return no_requests([]), []
        columns = {
            name: _encoded([part.columns[name] for part in parts]) for name in parts[0].columns
        }
        heads = columns.pop("head")
        clients, no_heads = clients_of(heads.array)
        columns["client"] = Column(clients, heads.codes)
        columns["status"] = _statuses(np.concatenate([part.statuses for part in parts]))
        begins = np.cumsum([0, *(len(part.moments) for part in parts[:-1])])
        batch = Batch(
            columns,
            np.concatenate([part.moments for part in parts]),
            np.concatenate(
                [part.when + np.int32(begin) for part, begin in zip(parts, begins, strict=True)]
            ),
            np.concatenate([part.sizes for part in parts]),
        )
        if not no_heads.any():
            return batch, []
        bad = no_heads[heads.codes]
        return batch.taken(~bad), list(_lines(parts, bad))

    def _regular(self, data: bytes, lines: Lines) -> tuple[_Part, Places]:
        """The regular ones of some lines, and which they are."""
        rows, lines = _with_a_request(lines)
        begin, end = lines.quote(0), lines.quote(1)
        sizes, size_ends, good = _sizes(lines, end)
        good &= _is_framed(lines.text, begin, end)
        if self._may_be_json:
            good &= lines.text[lines.starts] != BRACE
        statuses = _digits(lines.text, end + 2, good)
        referred, regular = self._referred(lines, size_ends)
        good &= regular
        moments, when = self._moments(lines.text, begin - WIDTH)
        good &= ~np.isnan(moments)[when]
        pairs = {"head": (lines.starts, begin - WIDTH), "request": (begin + 1, end)}
        for name, quote in (("referrer", 2), ("agent", 4)):
            if name in self._by:
                pairs[name] = _between(lines, quote, referred, size_ends)
        if not good.all():
            pairs = {name: (first[good], last[good]) for name, (first, last) in pairs.items()}
            rows, statuses, when, sizes = rows[good], statuses[good], when[good], sizes[good]
        columns = {name: _in_turns(data, *pair) for name, pair in pairs.items()}
        starts = pairs["head"][0]
        return _Part(data, columns, starts, statuses, np.nan_to_num(moments), when, sizes), rows

    def _moments(self, text: Any, at: Places) -> tuple[npt.NDArray[np.float64], Codes]:
        """The moments of times that begin at some places, NaN for odd ones."""
        if not len(at):
            return np.zeros(0), np.zeros(0, np.int32)
        words = eights(text)
        parts = [words[at + place] for place in (0, 8, 16, WIDTH - 8)]
        begins = np.zeros(len(at), np.bool_)
        begins[0] = True
        for part in parts:
            begins[1:] |= part[1:] != part[:-1]
        times = np.column_stack([part[begins] for part in parts]).view(np.uint8)
        return by_hours(times[:, _OF_TIMES], self._moment), np.cumsum(
            begins, dtype=np.int32
        ) - np.int32(1)

    def _referred(self, lines: Lines, size_ends: Places) -> tuple[Mask, Mask]:
        """Which lines have a referrer and an agent, and in which ones this is sure."""
        text, count = lines.text, len(lines.starts)
        referred = np.zeros(count, np.bool_)
        if not (self._by or self._needs_referrer):
            return referred, np.ones(count, np.bool_)
        rows = np.flatnonzero(lines.quotes >= _QUOTES)
        some = lines.taken(rows)
        quotes = [some.quote(number) for number in range(2, _QUOTES)]
        good = (text[size_ends[rows]] == BLANK) & (quotes[0] == size_ends[rows] + 1)
        good &= (quotes[2] == quotes[1] + 2) & (text[quotes[1] + 1] == BLANK)
        good &= (text[quotes[1] - 1] != BACKSLASH) & (text[quotes[3] - 1] != BACKSLASH)
        good &= _is_end(some, quotes[3] + 1)
        referred[rows] = good
        # A line with fewer quotes has no referrer and no agent.
        return referred, referred if self._needs_referrer else referred | (lines.quotes < _QUOTES)


def _with_a_request(lines: Lines) -> tuple[Places, Lines]:
    """The lines that have room for all that a request needs, and which they are."""
    rows = np.flatnonzero(lines.quotes >= 2)
    some = lines.taken(rows)
    good = some.quote(0) - some.starts >= WIDTH + _SHORTEST_HEAD
    good &= some.ends - some.quote(1) > _BEHIND_REQUEST
    return (rows, some) if good.all() else (rows[good], some.taken(np.flatnonzero(good)))


def _is_framed(text: Any, begin: Places, end: Places) -> Mask:
    """Whether blanks stand around a time, and around a status; and no backslash before a quote."""
    found: Mask = text[begin - WIDTH - 1] == BLANK
    found &= (text[end + 1] == BLANK) & (text[end + 5] == BLANK)
    found &= text[end - 1] != BACKSLASH
    return found


def _digits(text: Any, at: Places, good: Mask) -> Codes:
    """The numbers of three digits at some places. Where there is none it is no good line."""
    number = np.zeros(len(at), np.int32)
    for place in range(3):
        digit = text[at + place] - np.uint8(ord("0"))
        good &= digit <= 9
        number = number * np.int32(10) + digit
    return np.where(good, number, np.int32(0))


def _sizes(lines: Lines, end: Places) -> tuple[Sizes, Places, Mask]:
    """The sizes behind requests and statuses, where each ends, and whether it is one."""
    at = end + _BEHIND_REQUEST
    sizes, digits = numbers(lines.text, at) if len(at) else (at, at)
    digits = digits + ((digits == 0) & (lines.text[at] == DASH))
    ends = at + digits
    return sizes, ends, (digits > 0) & (sizes <= LARGEST_BYTES) & _is_end(lines, ends)


def _is_end(lines: Lines, at: Places) -> Mask:
    """Whether a word ends before some places."""
    found: Mask = (lines.text[at] == BLANK) | (at == lines.ends)
    found |= (lines.text[at] == CR) & (at == lines.ends - 1)
    return found


def _between(lines: Lines, quote: int, there: Mask, other: Places) -> tuple[Places, Places]:
    """What is between two quotes, where these are there; nothing elsewhere."""
    rows = np.flatnonzero(there)
    some = lines.taken(rows)
    begin, end = other.copy(), other.copy()
    begin[rows], end[rows] = some.quote(quote) + 1, some.quote(quote + 1)
    return begin, end


def _in_turns(data: bytes, begins: Places, ends: Places) -> Any:
    """A binary array of the values from `begins` to `ends`, and nulls between them."""
    places = np.zeros(2 * len(begins) + 1, np.int32)
    places[:-1:2], places[1::2] = begins, ends
    places[-1] = places[-2] if len(begins) else 0
    there = b"\x55" * (len(begins) // 4 + 1)
    buffers = [pa.py_buffer(there), pa.py_buffer(places), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), 2 * len(begins), buffers, null_count=len(begins))


def _encoded(arrays: list[Any]) -> Column:
    """The column of arrays with a null behind each value."""
    found = pa.chunked_array(arrays).dictionary_encode()
    codes = [np.frombuffer(chunk.indices.buffers()[1], np.int32) for chunk in found.chunks]
    places = [(chunk.indices.offset, len(chunk)) for chunk in found.chunks]
    return Column(
        found.chunk(0).dictionary,
        np.concatenate(
            [part[at : at + size : 2] for part, (at, size) in zip(codes, places, strict=True)]
        ),
    )


def _statuses(numbers: Codes) -> Column:
    there = np.flatnonzero(np.bincount(numbers, minlength=len(_STATUSES)))
    places = np.zeros(len(_STATUSES), np.int32)
    places[there] = np.arange(len(there))
    return Column(_STATUSES.take(pa.array(there)), places[numbers])


def _lines(parts: list[_Part], wanted: Mask) -> Iterator[bytes]:
    """Some of the lines of all parts."""
    begin = 0
    for part in parts:
        mine = wanted[begin : begin + len(part.starts)]
        begin += len(part.starts)
        for start in part.starts[mine].tolist():
            yield part.data[start : part.data.find(b"\n", start)].removesuffix(b"\r")

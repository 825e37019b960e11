"""Whole lines become batches of requests: regular text at once, odd lines by a pattern."""

from __future__ import annotations

from collections.abc import Iterator

from ..asked import Asked
from .columns import Batch, no_requests
from .objects import Objects
from .patterns import PATTERNS, read, whole
from .times import Clock
from .words import OddTextError, Words

_MOST_HELD_BYTES = 32 << 20
_MOST_HELD_LINES = 200_000
"""Of regular lines that wait. Short lines need several times their own bytes for their places."""

_PARTS = 16
_SMALL_BYTES = 64 << 10
"""A text that is odd somewhere is cut into so many parts; one that is small is read by lines."""

_SHORTEST_BYTES = len('{"ip":1,"ts":0}')
"""No shorter line is a request in any of our formats, which have a client and a time."""

_ODD_IN_A_ROW = 16
"""After so many texts that were read by lines, only the first part of a text is tried at once."""


class Reader:
    """Reads the lines of one range.

    Args:
        asked: the format of the lines, and what is counted.
        clock: what times mean.
    """

    def __init__(self, asked: Asked, clock: Clock) -> None:
        self._asked = asked
        self._clock = clock
        self._pattern = whole(asked.regex) if asked.regex else PATTERNS.get(asked.format, "")
        self._words = Words(asked.by, asked.format, clock.moment)
        self._objects = Objects(asked.by, clock.moment)
        self._odd_texts = 0  # in a row

    def batches(self, data: bytes) -> Iterator[Batch]:
        """The requests of whole lines, and what is none among them. The last line has an end.

        Regular lines wait for more of their kind: values are counted faster where many are.
        """
        if self._asked.regex:
            yield from self._by_lines(data)
            return
        if self._odd_texts >= _ODD_IN_A_ROW and len(data) > 2 * _SMALL_BYTES:
            yield from self._probed(data)
            return
        yield from self._at_once(data)

    def _at_once(self, data: bytes) -> Iterator[Batch]:
        try:
            if self._is_json(data):
                batch = self._objects.read(data)
                self._odd_texts = 0
                yield batch
                return
            odd = self._words.read(data)
            self._odd_texts = 0
        except OddTextError:
            yield from self._odd(data)
            return
        if odd:
            yield from self._of_lines(odd)
        held = self._words
        if held.held_bytes >= _MOST_HELD_BYTES or held.held_lines >= _MOST_HELD_LINES:
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """The requests that have waited."""
        batch, odd = self._words.batch()
        yield batch
        if odd:
            yield from self._of_lines(odd)

    def _odd(self, data: bytes) -> Iterator[Batch]:
        """Look closer at a text that is odd somewhere."""
        smaller = list(parts(data, max(_SMALL_BYTES, len(data) // _PARTS)))
        if len(smaller) == 1:  # it is small, or nearly all of it is one line
            yield from self._by_lines(data)
            return
        for part in smaller:
            yield from self.batches(part)

    def _probed(self, data: bytes) -> Iterator[Batch]:
        """Read a text that is as odd as those before it, unless its first part is regular."""
        first = next(parts(data, _SMALL_BYTES))
        yield from self._at_once(first)
        rest = data[len(first) :]
        if rest:
            yield from self._by_lines(rest) if self._odd_texts else self.batches(rest)

    def _by_lines(self, data: bytes) -> Iterator[Batch]:
        self._odd_texts += 1
        yield from self._of_lines(lines_of(data))

    def _of_lines(self, lines: list[bytes]) -> Iterator[Batch]:
        others = lines
        if not self._asked.regex:
            short = [line for line in lines if len(line) < _SHORTEST_BYTES]
            if short:  # there may be a million of them in a megabyte
                yield no_requests(short)
                lines = others = [line for line in lines if len(line) >= _SHORTEST_BYTES]
        if not self._asked.regex and self._asked.format in ("json", "auto"):
            objects = [line for line in lines if self._is_json(line)]
            if objects:
                yield self._objects.read_lines(objects)
            others = [line for line in lines if not self._is_json(line)]
        if others:
            yield read(others, self._pattern, self._clock.moment)

    def _is_json(self, text: bytes) -> bool:
        if self._asked.format == "auto":
            return text[:1] == b"{"
        return self._asked.format == "json"


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a text whose last line has its end, without the ends."""
    return [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]


def parts(data: bytes, size: int) -> Iterator[bytes]:
    """Whole lines of about `size` bytes each."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + size - 1) + 1 or len(data)
        yield data[begin:end]
        begin = end

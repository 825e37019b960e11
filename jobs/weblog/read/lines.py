"""Whole lines of a range of bytes: a line is in the range in which it starts, wherever it ends.

So the ranges of a file can be cut anywhere, and need not be looked at before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

BLOCK_BYTES = 8 << 20
LONGEST_BYTES = 1 << 20
"""A longer line is no request. It is passed over in parts, so that it needs no memory."""

_STEP_BYTES = 256 << 10
_SAMPLE_BYTES = 1000


class ShorterError(ValueError):
    """A text ends before the end of its range."""


class Lines:
    """The lines that start in the range from `start` to `end`.

    Args:
        read: gives the next bytes, at most so many, none at the end. Its first are those from
            `start` - 1 on, or from 0 on if `start` is 0.
        start: where the range begins, bytes.
        end: where it ends; None if it is all that `read` gives.

    Attributes:
        too_long: the beginnings of lines that were passed over.
    """

    def __init__(
        self, read: Callable[[int], bytes], start: int = 0, end: int | None = None
    ) -> None:
        self._read = read
        self._at = max(0, start - 1)  # where the next read begins
        self._start, self._end = start, end
        self.too_long: list[bytes] = []

    def blocks(self) -> Iterator[bytes]:
        """Whole lines, each with its end. Raises ShorterError."""
        rest = b"" if self._start == 0 else self._after_a_line_end()
        while more := self._next(BLOCK_BYTES):
            cut = more.rfind(b"\n") + 1
            if cut:
                # One copy: of the bytes that are read, not of what each step makes of them.
                yield self._without_long(b"".join([rest, memoryview(more)[:cut]]))
                rest = more[cut:]
            else:
                begin = rest.rfind(b"\n") + 1  # behind what was passed over whole lines may be
                if begin:
                    yield self._without_long(rest[:begin])
                rest = rest[begin:] + more
            if len(rest) > LONGEST_BYTES:
                rest = self._pass_over(rest)
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield self._without_long(rest[:cut])
        if rest[cut:]:
            yield from self._finished(rest[cut:])

    def _next(self, most: int) -> bytes:
        """The next bytes before the end of the range."""
        if self._end is not None:
            most = min(most, self._end - self._at)
            if most <= 0:
                return b""
        data = self._read(most)
        if not data and self._end is not None:
            raise ShorterError(f"it ends at byte {self._at:,} instead of {self._end:,} or later")
        self._at += len(data)
        return data

    def _after_a_line_end(self) -> bytes:
        """Pass over the line that an earlier range has; returns what was read behind it."""
        while data := self._next(_STEP_BYTES):
            cut = data.find(b"\n") + 1
            if cut:
                return data[cut:]
        return b""

    def _pass_over(self, rest: bytes) -> bytes:
        """Pass over a line that is too long, also behind the range; returns what is behind it."""
        self.too_long.append(rest[:_SAMPLE_BYTES])
        while data := self._next(_STEP_BYTES):
            cut = data.find(b"\n") + 1
            if cut:
                return data[cut:]
        while data := self._read(_STEP_BYTES):
            if b"\n" in data:
                break
        return b""

    def _finished(self, rest: bytes) -> Iterator[bytes]:
        """The last line, which may end behind the range, or where the file does."""
        parts, size = [rest], len(rest)
        while self._end is not None and (data := self._read(_STEP_BYTES)):
            cut = data.find(b"\n") + 1
            parts.append(data[: cut or None])
            size += len(parts[-1])
            if cut:
                break
            if size > LONGEST_BYTES:
                self._pass_over(b"".join(parts))
                return
        end = b"" if parts[-1].endswith(b"\n") else b"\n"
        yield self._without_long(b"".join([*parts, end]))

    def _without_long(self, text: bytes) -> bytes:
        """Whole lines without those that are too long, wherever they were cut when they came."""
        kept, begin = [], 0
        place = 0
        while place < len(text):
            end = text.rfind(b"\n", place, place + LONGEST_BYTES + 1) + 1
            if not end:
                kept.append(text[begin:place])
                self.too_long.append(text[place : place + _SAMPLE_BYTES])
                begin = end = text.find(b"\n", place) + 1
            place = end
        return b"".join([*kept, text[begin:]]) if kept else text

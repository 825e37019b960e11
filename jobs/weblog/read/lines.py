"""Whole lines of a range of bytes: a line is in the range in which it starts, wherever it ends.

So the ranges of a file can be cut anywhere, and need not be looked at before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .holes import first_end, last_end, without_holes

BLOCK_BYTES = 1 << 20
LONGEST_BYTES = 1 << 20
"""A longer line is no request. It is passed over in parts, so that it needs no memory."""

LOOKS_BACK_BYTES = 2
"""Whether a line begins where a range does is told by so many bytes before it."""

_STEP_BYTES = 256 << 10
_SAMPLE_BYTES = 1000
_ORDER_MARK = b"\xef\xbb\xbf"


class ShorterError(ValueError):
    """A text ends before the end of its range."""


class Lines:
    """The lines that start in the range from `start` to `end`.

    Args:
        read: gives the next bytes, at most so many, none at the end. Its first are those from
            `start` - LOOKS_BACK_BYTES on, or from 0 on.
        start: where the range begins, bytes.
        end: where it ends; None if it is all that `read` gives.

    Attributes:
        too_long: the beginnings of lines that were passed over.
    """

    def __init__(
        self, read: Callable[[int], bytes], start: int = 0, end: int | None = None
    ) -> None:
        self._read = read
        self._at = max(0, start - LOOKS_BACK_BYTES)  # where the next read begins
        self._start, self._end = start, end
        self.too_long: list[bytes] = []

    def blocks(self) -> Iterator[bytes]:
        """Whole lines, each with its end. Raises ShorterError."""
        for number, text in enumerate(self._texts()):
            if self._start == 0 and number == 0:
                text = text.removeprefix(_ORDER_MARK)
            if lines := self._without_long(without_holes(text)):
                yield lines

    def _texts(self) -> Iterator[bytes]:
        """Parts that begin and end where lines do."""
        rest = b"" if self._start == 0 else self._after_a_line_end()
        while more := self._next(BLOCK_BYTES):
            cut = last_end(more) if not rest or b"\0" not in more else 0
            if cut:
                # One copy: of the bytes that are read, not of what each step makes of them.
                yield b"".join([rest, memoryview(more)[:cut]])
                rest = more[cut:]
            else:
                rest += more
                begin = last_end(rest)  # behind what was passed over whole lines may be
                if begin:
                    yield rest[:begin]
                rest = rest[begin:]
            if len(rest) > LONGEST_BYTES:
                rest = self._pass_over(rest)
        cut = last_end(rest)
        if cut:
            yield rest[:cut]
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
        before = self._next(self._start - 1 - self._at) or b"\n"
        return self._behind_the_end(before)

    def _pass_over(self, rest: bytes) -> bytes:
        """Pass over a line that is too long; returns what is behind it in this range."""
        self.too_long.append(rest[:_SAMPLE_BYTES])
        return self._behind_the_end(rest[-1:])

    def _behind_the_end(self, before: bytes) -> bytes:
        """Read on to the end of a line; returns what was read behind it."""
        while data := self._next(_STEP_BYTES):
            cut = first_end(before, data)
            if cut:
                return data[cut:]
            before = data[-1:]
        return b""

    def _finished(self, rest: bytes) -> Iterator[bytes]:
        """The last line, which may end behind the range, or where the file does."""
        parts, size, cut = [rest], len(rest), 0
        while not cut and self._end is not None and (data := self._read(_STEP_BYTES)):
            cut = first_end(parts[-1][-1:], data)
            parts.append(data[: cut or None])
            size += len(parts[-1])
            if size > LONGEST_BYTES and not cut:
                self.too_long.append(b"".join(parts)[:_SAMPLE_BYTES])
                return
        yield b"".join([*parts, b"" if cut else b"\n"])

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

"""Holes: runs of zero bytes, where a file has lost its text or never had any.

A log that was cut in place (`copytruncate`) has one up to where its server went on, and after a
crash of the machine the last block of a file may be one. A hole ends a line, and is none itself. A
single zero byte within a line is a part of that line.

So a byte ends a line if it is a line feed, or if it is zero and behind another zero or an end.
"""

from __future__ import annotations

import re

_HOLE = re.compile(rb"(?:\A|(?<=\n))\0+|\0{2,}")


def first_end(before: bytes, data: bytes) -> int:
    """The place in `data` behind the first end of a line; 0 if it has none.

    Args:
        before: the byte before `data`; a line feed where a file begins.
        data: a part of a file.
    """
    end = data.find(b"\n") + 1
    if b"\0" not in data:
        return end
    joined = before + data
    found = (joined.find(b"\0\0"), joined.find(b"\n\0"))
    ends = [place + 1 for place in found if place >= 0] + [end] * (end > 0)
    return min(ends, default=0)


def last_end(data: bytes) -> int:
    """The place behind the last end of a line; 0 if there is none. It begins where a line does."""
    if b"\0" not in data:  # to look for one byte is much faster
        return data.rfind(b"\n") + 1
    first = len(data) - len(data.lstrip(b"\0"))
    return max(first, data.rfind(b"\n") + 1, *(_behind(data, end) for end in (b"\0\0", b"\n\0")))


def _behind(data: bytes, end: bytes) -> int:
    place = data.rfind(end)
    return place + len(end) if place >= 0 else 0


def without_holes(text: bytes) -> bytes:
    """Whole lines without holes, each with its end. The text begins where a line does."""
    if b"\0" not in text:
        return text
    return _HOLE.sub(lambda hole: b"\n" if _is_within(text, hole.start()) else b"", text)


def _is_within(text: bytes, place: int) -> bool:
    """Whether a hole there ends a line."""
    return place > 0 and text[place - 1] != 0x0A

"""Where lines, quotes and numbers are in a text: many bytes are compared at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Text = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

LINE_END, CR, BLANK, QUOTE, DASH, BACKSLASH, BRACE = (ord(sign) for sign in '\n\r "-\\{')
_IN_CACHE = 256 << 10
_ALIKE = 0xD7
"""Line ends, quotes, and of all other bytes only `\\x02` and `*` are `\\x02` under this mask."""

_LOW, _HIGH = 0x7F7F7F7F7F7F7F7F, 0x8080808080808080
_TENS = np.array([10**power for power in range(9)], np.uint64)


class Finder:
    """Finds line ends and quotes. Its memory is used again and stays in the processor's cache."""

    def __init__(self) -> None:
        self._masked = np.empty(_IN_CACHE, np.uint8)
        self._found = np.empty(_IN_CACHE, np.bool_)

    def places(self, text: Text) -> Places:
        """The places of all line ends and quotes, in order."""
        parts = []
        for at in range(0, len(text), _IN_CACHE):
            part = text[at : at + _IN_CACHE]
            masked, found = self._masked[: len(part)], self._found[: len(part)]
            np.bitwise_and(part, _ALIKE, out=masked)
            parts.append(np.flatnonzero(np.equal(masked, LINE_END & _ALIKE, out=found)) + at)
        places = np.concatenate(parts)
        signs = text[places]
        right = (signs == QUOTE) | (signs == LINE_END)
        return places if right.all() else places[right]


@dataclass(frozen=True)
class Lines:
    """Lines of a text.

    Attributes:
        text: all bytes; the last one ends a line.
        starts, ends: where each line begins, and where its end stands.
        first: where its first quote stands in `places`.
        quotes: how many quotes it has.
        places: of all line ends and quotes.
    """

    text: Text
    starts: Places
    ends: Places
    first: Places
    quotes: Places
    places: Places

    @classmethod
    def of(cls, text: Text, places: Places) -> Lines:
        """The lines of a text. places: of all its line ends and quotes."""
        of_ends = np.flatnonzero(text[places] == LINE_END)
        ends = places[of_ends]
        first = _behind(of_ends)
        return cls(text, _behind(ends), ends, first, of_ends - first, places)

    def taken(self, rows: Places) -> Lines:
        """Some of the lines."""
        starts, ends, first = self.starts[rows], self.ends[rows], self.first[rows]
        return Lines(self.text, starts, ends, first, self.quotes[rows], self.places)

    def quote(self, number: int) -> Places:
        """Where the quote of this number stands in each line; all lines must have it."""
        return self.places[self.first + number]


def _behind(ends: Places) -> Places:
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    return starts


def eights(text: Text) -> npt.NDArray[np.uint64]:
    """The eight bytes that begin at each place of a text; the first one is the lowest."""
    return np.ndarray((len(text) - 7,), np.dtype("<u8"), text, strides=(1,))


def numbers(text: Text, at: Places) -> tuple[npt.NDArray[np.int64], Places]:
    """The whole numbers of up to 16 digits that begin at some places, and their digits."""
    values, digits = _short(text, at)
    long = np.flatnonzero(digits == 8)
    if len(long):
        rest, more = _short(text, at[long] + 8)
        values[long] = values[long] * _TENS[more] + rest
        digits[long] += more
    return values.astype(np.int64), digits


def _short(text: Text, at: Places) -> tuple[npt.NDArray[np.uint64], Places]:
    """The same for up to 8 digits: all bytes of a number are worked on at once."""
    begins = np.minimum(at, len(text) - 8)
    read = eights(text)[begins] >> ((at - begins) << 3).astype(np.uint64)
    read ^= np.uint64(0x3030303030303030)  # a digit is its value now, other bytes are above nine
    others = (((read & np.uint64(_LOW)) + np.uint64(0x7676767676767676)) | read) & np.uint64(_HIGH)
    digits = np.bitwise_count((others & -others) - np.uint64(1)) >> 3
    read <<= np.uint64(64) - (digits.astype(np.uint64) << np.uint64(3))
    read = (read * np.uint64(10) + (read >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    read = (read * np.uint64(100) + (read >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    read = (read * np.uint64(10_000) + (read >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
    return read, digits.astype(np.int64)

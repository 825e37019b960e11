"""What is known of some requests: of a range in its result, of a run when all are merged."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from .extremes import Extremes, Request
from .tops import MOST_VALUES, Entries, Top
from .visitors import Visitors

SAMPLES = 20
LONGEST_TEXT = 300
_SHOWN_TEXT = 200
_WHOLE = ("hour", "status", "method")
"""Lists of few values, whatever `keep` says. They get shorter only if nothing else helps."""
_MOST_BYTES = 700_000
"""A result of a task may have 1 MiB."""


class Cut(Protocol):
    """Counts by value."""

    def cut(self, most: int) -> tuple[Entries, int]:
        """The most frequent values, and how often any other one can have come."""
        ...


class _Packed(msgspec.Struct, array_like=True):
    tops: dict[str, tuple[Entries, int]]
    visitors: bytes
    largest: tuple[list[Request], bytes]
    slowest: tuple[list[Request], bytes]
    samples: list[str]
    first: float | None
    last: float | None


class Summary:
    """What is known of some requests.

    Args:
        by: the names of the lists.

    Attributes:
        lines: all lines; requests: those that were counted; unparsable: those that are no request.
            The others were not asked for, by `since` and `until`.
        size: bytes of all answers.
        first, last: the moments of requests, UTC epoch, s.
        samples: some lines that are no request.
    """

    def __init__(self, by: Iterable[str]) -> None:
        self.lines = self.requests = self.unparsable = self.size = 0
        self.first: float | None = None
        self.last: float | None = None
        self.tops = {name: Top() for name in by}
        self.visitors = Visitors()
        self.largest, self.slowest = Extremes(), Extremes()
        self.samples: list[str] = []

    def span(self, first: float | None, last: float | None) -> None:
        """There were requests from `first` to `last`."""
        if first is not None and last is not None:
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)

    def sample(self, lines: Iterable[str]) -> None:
        """Keep some lines that are no request."""
        for line in lines:
            if len(self.samples) >= SAMPLES:
                return
            self.samples.append(line)

    def packed(self, keep: int, lists: Mapping[str, Cut]) -> dict[str, Any]:
        """Plain data, with at most `keep` values of each long list; fewer if they are long."""
        whole = MOST_VALUES
        while True:
            most = {name: max(keep, whole) if name in _WHOLE else keep for name in lists}
            packed = zlib.compress(self._encoded(most, lists), 1)
            if len(packed) <= _MOST_BYTES or max(keep, whole) < 10:
                break
            keep, whole = (keep // 2, whole) if keep >= 10 else (keep, whole // 2)
        numbers = ("lines", "requests", "unparsable", "size")
        return {name: getattr(self, name) for name in numbers} | {"packed": packed}

    def _encoded(self, most: Mapping[str, int], lists: Mapping[str, Cut]) -> bytes:
        tops = {name: counted.cut(most[name]) for name, counted in lists.items()}
        return msgspec.msgpack.encode(
            _Packed(
                tops,
                self.visitors.packed(),
                self.largest.packed(),
                self.slowest.packed(),
                self.samples,
                self.first,
                self.last,
            )
        )

    def merge(self, result: dict[str, Any]) -> None:
        """Add the summary of other requests, as `packed` gives it."""
        for name in ("lines", "requests", "unparsable", "size"):
            setattr(self, name, getattr(self, name) + result[name])
        packed = msgspec.msgpack.decode(zlib.decompress(result["packed"]), type=_Packed)
        for name, (entries, lost) in packed.tops.items():
            self.tops[name].merge(entries, lost)
        self.visitors.merge(packed.visitors)
        self.largest.merge(*packed.largest)
        self.slowest.merge(*packed.slowest)
        self.sample(packed.samples)
        self.span(packed.first, packed.last)


def text_of(value: bytes) -> str:
    """A value as text; bytes that are no UTF-8 as `\\xNN`."""
    return value.decode("utf-8", "backslashreplace")


def shortened(text: str) -> str:
    """A long text by its beginning, and a digest that tells it from others that begin so."""
    if len(text) <= LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:_SHOWN_TEXT]}… [{len(text):,} characters, SHA-256 {digest}…]"

"""Lines that the master writes in English, in the language of a page.

The lines that are known are in `known_lines`, with places for values, which stay as they are. A
line that nobody knows stays English: it may be of a job, or of a newer master.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .known_lines import FAILURES, LINES, PARTS

LONGEST = 2_000
"""A line with more characters is not looked at."""

_DEEP = 4
"""How many lines may be in one another."""

_KEPT = 1_000
_PLACE = re.compile(r"\{(\w+)\}")

Translate = Callable[[str], str]


class _Known(NamedTuple):
    """A known line: its text as the catalog has it, and the form of a line that is one."""

    text: str
    form: re.Pattern[str]


def _known(text: str) -> _Known:
    """A place ends where the text behind it comes first, so the time grows with the line alone."""
    first, *rest = _PLACE.split(text)
    places, behind = rest[::2], rest[1::2]
    form = re.escape(first)
    for name, words in zip(places[:-1], behind[:-1], strict=True):
        form += f"(?>(?P<{name}>.*?){re.escape(words)})"
    if places:
        form += f"(?P<{places[-1]}>.*){re.escape(behind[-1])}"
    return _Known(text, re.compile(form, re.DOTALL))


_LINES = tuple(map(_known, LINES))
_PIECES = (*map(_known, PARTS), *_LINES)
_FAILURES = tuple(map(_known, FAILURES))


class Lines:
    """Says lines in one language. What is not known comes back as it is.

    translate: a text of the catalog, in that language.
    """

    def __init__(self, translate: Translate) -> None:
        self._translate = translate
        self.said = self._sayer(_LINES)
        """A line of the master."""

        self.failed = self._sayer(_FAILURES)
        """The line of a failure. Most are of jobs, and some are of a worker or the master."""

        self.piece = self._sayer(_PIECES)
        """A piece of a line, such as the kind of an argument."""

    def _sayer(self, known: Sequence[_Known]) -> Translate:
        @functools.lru_cache(_KEPT)
        def kept(line: str) -> str:
            return self._in(line, known, _DEEP) or line

        def say(line: str) -> str:
            return line if len(line) > LONGEST else kept(line)  # a long one is not kept, too

        return say

    def _in(self, line: str, known: Sequence[_Known], deep: int) -> str | None:
        if len(line) > LONGEST or not deep:
            return None
        for text, form in known:
            match = form.fullmatch(line)
            values = None if match is None else self._values(match.groupdict(), deep - 1)
            if values is not None:
                return self._translate(text).format(**values)
        return None

    def _values(self, found: Mapping[str, str], deep: int) -> dict[str, str] | None:
        """The values for the places. None: a piece that has to be known is not."""
        values = dict(found)
        for name, value in found.items():
            if name in ("line", "more", "who"):
                values[name] = self._in(value, _PIECES, deep) or value
            elif name.startswith("kind"):
                known = self._in(value, _PIECES, deep)
                if known is None:
                    return None
                values[name] = known
        return values

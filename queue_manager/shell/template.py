"""Commands made of a template and inputs: `{}`, `{.}`, `{/}`, `{//}`, `{/.}`, `{#}`.

They mean what they mean in GNU Parallel (parallel(1), "OPTIONS"). Inputs are texts in which a byte
that is no UTF-8 is a lone surrogate, as `os.fsdecode` has it. Knows nothing of processes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable

_PLACES = re.compile(r"\{(?:|\.|/|//|/\.|#)\}")
_ENDING = re.compile(r"\.[^/.]+\Z")


def _without_ending(text: str) -> str:
    return _ENDING.sub("", text)


def _name(text: str) -> str:
    return text.rpartition("/")[2]


def _folder(text: str) -> str:
    return os.path.dirname(text.rstrip("/") or text) or "."


_MAKERS: dict[str, Callable[[str], str]] = {
    "{}": lambda text: text,
    "{.}": _without_ending,
    "{/}": _name,
    "{//}": _folder,
    "{/.}": lambda text: _without_ending(_name(text)),
}


def has_place(text: str) -> bool:
    """Whether there is a place for an input."""
    return _PLACES.search(text) is not None


class Template:
    """A command with places for an input.

    Args:
        text: the command. Without any place, the input is its last word.
        raw: inputs are put in as they are. Otherwise each is quoted, and so one word of the shell.

    text: with a place.
    """

    def __init__(self, text: str, raw: bool = False) -> None:
        if not has_place(text):
            text += " {}"
        self.text, self.raw = text, raw
        self._texts = _PLACES.split(text)
        self._places = _PLACES.findall(text)

    def command(self, given: str, number: int) -> str | bytes:
        """The command of one input. It is bytes if it is no UTF-8.

        number: which input it is, from 1 on.
        """
        parts = [self._texts[0]]
        for place, behind in zip(self._places, self._texts[1:], strict=True):
            parts += (self._put(place, given, number), behind)
        return plain("".join(parts))

    def _put(self, place: str, given: str, number: int) -> str:
        if place == "{#}":
            return str(number)
        text = _MAKERS[place](given)
        return text if self.raw else shlex.quote(text)


def plain(text: str) -> str | bytes:
    """A text as it travels: itself, or its bytes where it is no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text

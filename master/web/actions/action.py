"""What an action is: an address, a form that asks once, and what is done then.

The same is done by a form of a page and by JSON below `/api`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from queue_manager.errors import QueueError

from ..pages.page import Asked, View


class FieldError(QueueError):
    """A field of a form is wrong; the text says what, and what to do. field: its name."""

    def __init__(self, field: str, line: str) -> None:
        super().__init__(line)
        self.field = field


class Fields:
    """What was typed into a form, or the query of a link that fills one in.

    typed: a person has typed it, no program has sent it.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = (), *, typed: bool = False) -> None:
        self.typed = typed
        self._texts: dict[str, list[str]] = {}
        for name, text in pairs:
            self._texts.setdefault(name, []).append(text)

    def text(self, name: str) -> str:
        """The first text of a field; empty if there is none."""
        return self._texts.get(name, [""])[0]

    def texts(self, name: str) -> list[str]:
        """All texts of a field."""
        return list(self._texts.get(name, ()))

    @property
    def names(self) -> list[str]:
        """The names of the fields."""
        return list(self._texts)


@dataclass(frozen=True)
class Outcome:
    """What was done.

    to: the page that is shown then. line: for the log, in English, one line; empty: the master's
    log says it, and who asked. of: numbers and names for the template `said/NAME.html`, and for
    programs. job: of the run, if it is known.
    """

    to: str
    line: str
    of: Mapping[str, Any]
    job: str = ""


@dataclass(frozen=True)
class Action:
    """One action.

    path: as a route of starlette; GET asks, POST does it. name: its form is `act/NAME.html`, what
    is said then is `said/NAME.html`. show: what the form shows. carry_out: does it; it raises
    RefusedError with the master's line, or FieldError. fields: what a program may send; None: any.
    """

    path: str
    name: str
    show: Callable[[Asked, Fields], Awaitable[View]]
    carry_out: Callable[[Asked, Fields], Awaitable[Outcome]]
    fields: tuple[str, ...] | None = ()

    @property
    def api(self) -> str:
        """The path for programs."""
        return f"/api{self.path}"

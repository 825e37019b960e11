"""What a page is: an address, a template, and what is loaded for it as plain data.

The same data is the page, its live parts and its JSON below `/api`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from queue_manager.errors import QueueError
from queue_manager.settings import Settings
from queue_manager.wire.limits import LAST_NUMBER

from ..access.tokens import Right
from ..files.disk import Disk
from ..files.found import Outs
from ..link.jobs import Jobs
from ..link.master import Master
from ..link.recent import Recent
from ..live.rates import Rates

GOES_ON = ("pending", "active", "finishing", "stalled")
"""The states of a run that has not ended."""

View = dict[str, Any]
"""What a page shows: structs of the wire and plain data."""


def number_in(text: str) -> int | None:
    """A number of a run or a task that was typed; 0 may be meant. None: it is any other text."""
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < LAST_NUMBER:
        return int(text)
    return None


class NothingThereError(QueueError):
    """There is no such page; the text says what is not there."""


class ElsewhereError(QueueError):
    """What was asked for is on another page. to: its path."""

    def __init__(self, to: str) -> None:
        super().__init__(f"this is at {to}")
        self.to = to


@dataclass(frozen=True)
class Desk:
    """What pages are made with: the master, what it has said a moment ago, and rates.

    now: UTC epoch in seconds.
    """

    master: Master
    recent: Recent
    rates: Rates
    settings: Settings
    now: Callable[[], float] = time.time

    @cached_property
    def jobs(self) -> Jobs:
        """What the master's folder has."""
        return Jobs(self.master)

    @cached_property
    def outs(self) -> Outs:
        """Where jobs write to, unless a run says it."""
        return Outs(self.master)

    @cached_property
    def disk(self) -> Disk:
        """Looks at the files of jobs."""
        return Disk()


@dataclass(frozen=True)
class Asked:
    """What was asked for. words: of the path. query: behind the `?`. right: the visitor's.
    visitor: tells visitors apart. by: who it is, as the log has it.
    is_data: for a program, not for a page. traceparent: the header of that name, of a program.

    Raises NothingThereError for a number in the path that nothing can have.
    """

    desk: Desk
    words: Mapping[str, Any]
    query: Mapping[str, str]
    right: Right = Right.READ
    visitor: str = ""
    is_data: bool = False
    by: str = ""
    traceparent: str = ""

    def __post_init__(self) -> None:
        for name, value in self.words.items():
            if isinstance(value, int) and value > LAST_NUMBER:
                raise NothingThereError(f"there is no {name} {value}")

    def number(self, name: str, otherwise: int = 0) -> int:
        """A whole number of the query. Raises NothingThereError for any other text."""
        text = self.query.get(name, "")
        if not text:
            return otherwise
        try:
            value = int(text[:40])
        except ValueError:
            value = LAST_NUMBER + 1
        if abs(value) > LAST_NUMBER:
            raise NothingThereError(f"{name}={text[:40]!r} is no number of a page")
        return value


@dataclass(frozen=True)
class Page:
    """One page.

    path: as a route of starlette. name: its template is `NAME.html`, its JSON `/api/NAME...`.
    parts: what changes while one looks: the ids of elements; each has a template `NAME/ID.html`.
    label: its name in the navigation, a text to translate; empty: it is not in there.
    """

    path: str
    name: str
    parts: tuple[str, ...]
    load: Callable[[Asked], Awaitable[View]]
    label: str = ""

    @property
    def api(self) -> str:
        """The path of its data as JSON."""
        return f"/api/{self.name}" if self.path == "/" else f"/api{self.path}"

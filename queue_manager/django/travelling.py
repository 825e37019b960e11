"""What of a Django task travels, as plain data: its payload, its result, its id, its times.

Knows neither Django nor the network. Times are texts in ISO 8601, as Django's `timezone.now()` has
them, so that both sides see the same ones.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec

_ID = re.compile(r"(\d{1,18})-(\d{1,18})-([A-Za-z0-9]{22})")
_NOTE = re.compile(r"^\[Django task: started (\S+), finished (\S+)\]\n?", re.M)

TOKEN_CHARS = 22
"""Letters and digits: as hard to guess as a random number of 128 bits."""


@dataclass(frozen=True, slots=True)
class TaskId:
    """The id of a result: where the task is, and a token that nobody guesses.

    The token is the key of the task, too. So a store that was begun anew does not show another task
    under an old id.
    """

    run: int
    task: int
    token: str

    def __str__(self) -> str:
        return f"{self.run}-{self.task}-{self.token}"

    @classmethod
    def parse(cls, text: object) -> TaskId | None:
        """The parts of an id. None: this is none."""
        found = _ID.fullmatch(str(text))
        return None if found is None else cls(int(found[1]), int(found[2]), found[3])


@dataclass(frozen=True, slots=True)
class Payload:
    """One task as it was enqueued.

    task: the path of its function. alias: that of the backend. enqueued_at, run_after: times.
    """

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    alias: str
    queue: str
    priority: int
    token: str
    enqueued_at: str
    run_after: str | None = None

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def read(cls, value: object) -> Payload:
        """Raises ValueError if that is no task of Django's: somebody else has put it."""
        if isinstance(value, Mapping) and value.keys() <= {*cls.__dataclass_fields__}:
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(value, cls)
        raise ValueError(f"this is no task of Django's: {value!r:.200}")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a task that was done brings back. worker: the name of the worker that ran it."""

    value: Any
    started_at: str
    finished_at: str
    worker: str
    attempt: int

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def read(cls, value: object) -> Ended:
        """Raises ValueError if no job of Django's has made that."""
        try:
            return msgspec.convert(value, cls)
        except msgspec.ValidationError:
            raise ValueError("its result was not made by this job") from None


def note(started_at: str, finished_at: str) -> str:
    """When a try that has failed began and ended, as a line below its traceback."""
    return f"[Django task: started {started_at}, finished {finished_at}]"


def without_note(evidence: str) -> tuple[str, str | None, str | None]:
    """A traceback without that line, and the two times, if it has the line."""
    found = None
    for found in _NOTE.finditer(evidence):  # noqa: B007  the last one: others may be quoted above
        pass
    if found is None:
        return evidence, None, None
    return evidence[: found.start()] + evidence[found.end() :], found[1], found[2]


def moment(text: str | None) -> datetime | None:
    """A time that has travelled."""
    return None if text is None else datetime.fromisoformat(text)

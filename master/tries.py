"""The tries of a task: how each of them ended, as broker and store tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

TRIES = 10
"""How many tries of a task are kept, the newest ones."""

PLACES = TRIES - 1
"""How many of them are kept beside the newest one, which is in the row of the task itself."""


class Fate(StrEnum):
    """How a try ended. LOST: with its session, uncharged. NONE: nothing has ended."""

    NONE = ""
    FAILED = "failed"
    LOST = "lost"
    DONE = "done"


class Tried(NamedTuple):
    """A try that has ended.

    ended_at: UTC epoch in seconds; 0: nobody knows. took_s: how long it took; of a lost one, how
    long its session held it. None: nobody knows.
    """

    fate: Fate = Fate.NONE
    ended_at: float = 0.0
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class TryRecord:
    """One try of a task, with what its worker told of it. The names are those of `TrackedRecord`.

    number: of all tries of the task, from 1 on, also over retries.
    """

    number: int
    fate: Fate
    ended_at: float
    took_s: float | None
    worker: str
    error: str
    evidence: str
    printed: str
    raised: bytes

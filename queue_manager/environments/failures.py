"""Remembers on disk that an environment could not be made, so that not every task tries it again.

The pause doubles with each failure. The note is for all processes of the host.
"""

from __future__ import annotations

import contextlib
import os
import time

import msgspec

from ..errors import BrokenEnvironmentError, JobError, NoEnvironmentError
from .layout import Place

BROKEN_S, LONGEST_BROKEN_S = 60.0, 3600.0
PASSING_S, LONGEST_PASSING_S = 5.0, 300.0


class Note(msgspec.Struct, frozen=True):
    """One note. at: UTC epoch. count: how often in a row. broken: another block is needed.

    shown: a process whose tasks can show the evidence has had it. Else the next such one tries.
    """

    why: str
    broken: bool
    at: float
    count: int = 1
    shown: bool = True

    @property
    def _pause_s(self) -> float:
        pauses = (BROKEN_S, LONGEST_BROKEN_S) if self.broken else (PASSING_S, LONGEST_PASSING_S)
        return min(pauses[1], pauses[0] * 2.0 ** min(self.count - 1, 16))

    @property
    def is_fresh(self) -> bool:
        """Whether it is too early to try again. A clock that was set back makes it old."""
        return 0 <= time.time() - self.at < self._pause_s

    def error(self) -> JobError:
        """The error that was noted, without its evidence, which was shown once."""
        kind = BrokenEnvironmentError if self.broken else NoEnvironmentError
        return kind(self.why)


def read(place: Place) -> Note | None:
    """The note of an environment, if there is one that can be read."""
    try:
        return msgspec.json.decode(place.failure.read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def write(place: Place, error: JobError, *, asked: bool = False, shows: bool = True) -> None:
    """Note an error. If the same failure was noted and shown before, its evidence is dropped.

    asked: somebody asked for this try, so the evidence is news to them. shows: tasks of this
    process can show it.
    """
    before = read(place)
    broken = isinstance(error, BrokenEnvironmentError)
    again = before is not None and before.broken == broken
    was_shown = before is not None and again and before.shown
    if was_shown and not asked and isinstance(error, BrokenEnvironmentError):
        error.evidence = ""
    count = before.count + 1 if before and again else 1
    note = Note(str(error), broken, time.time(), count, was_shown or shows or not broken)
    fresh = place.failure.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # the disk is full: then it is tried again sooner
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(place.failure)


def forget(place: Place) -> None:
    """The environment could be made."""
    place.failure.unlink(missing_ok=True)

"""Exceptions of a job's functions in its runner: a few are shown, all are counted."""

from __future__ import annotations

import logging
from collections import Counter

from .crash import told

log = logging.getLogger("quartermaster.runner")

SHOWN = 3

JOB_ERRORS = BaseException
"""What a function of a job may raise: none of it ends the process, which is ours.

`asyncio.CancelledError` is one of those that are no `Exception`, and a job's own may be, too."""


class Complaints:
    """What the functions of one job have raised."""

    def __init__(self) -> None:
        self._untold = 0
        self._seen: Counter[str] = Counter()

    def note(self, function: str, error: BaseException) -> None:
        """One more. It is shown with the user's part of the traceback."""
        self._untold += 1
        self._seen[function] += 1
        if self._seen[function] <= SHOWN:
            log.warning("%s() failed:\n%s", function, told(error))

    def take(self) -> int:
        """How many there were since it was last asked."""
        count, self._untold = self._untold, 0
        return count

"""Exceptions of a job's functions in its runner: all are counted, the first ones are shown."""

from __future__ import annotations

import logging
from collections import Counter

from .crash import described

log = logging.getLogger("quartermaster.runner")

SHOWN = 3

JOB_ERRORS = BaseException
"""What a function of a job may raise. None of it ends the runner, which is ours.

A job may raise `asyncio.CancelledError` or an exception of its own that is no `Exception`."""


class JobErrors:
    """Counts what the functions of one job raise."""

    def __init__(self) -> None:
        self._new = 0
        self._by_function: Counter[str] = Counter()

    def note(self, function: str, error: BaseException) -> None:
        """Count one error, and show it with the user's part of the traceback."""
        self._new += 1
        self._by_function[function] += 1
        if self._by_function[function] <= SHOWN:
            log.warning("%s() failed:\n%s", function, described(error))

    def take(self) -> int:
        """How many errors there were since the last call."""
        count, self._new = self._new, 0
        return count

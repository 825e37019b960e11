"""Says in the program's log that a run with a key has results of other code than the program's."""

from __future__ import annotations

import logging

from ...wire.messages import RunStarted

log = logging.getLogger("quartermaster.client")

REMEDY = "take another key to make all of it anew"
"""The end of the line, which a program may put in words of its own."""


def tell_other_code(started: RunStarted, job: str) -> None:
    """Tell of the results that a run has already: `started.older`.

    What the run has done stays as it is, so its results may be of two functions. job: its name.
    """
    stay = f"run {started.run} ({job}) has run other code before, and its {started.older:,} results"
    log.warning("%s stay: only what is left runs the code of now; %s", stay, REMEDY)

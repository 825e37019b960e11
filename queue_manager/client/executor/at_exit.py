"""What becomes of executors when the program ends or forks: as of `ProcessPoolExecutor`.

A program that ends without `shutdown` waits for its calls. Ctrl-C in that wait cancels them.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .executor import Core, QueueExecutor

log = logging.getLogger("quartermaster.client")

executors: weakref.WeakSet[QueueExecutor] = weakref.WeakSet()
"""All executors of this process, for the child of a fork."""

cores: weakref.WeakSet[Core] = weakref.WeakSet()
"""Those that have made calls, for the end of the program, also if their executors were dropped."""

_over = False


def is_over() -> bool:
    """Whether the program ends, and no more calls are taken."""
    return _over


def _finish() -> None:
    global _over
    _over = True
    waiting = list(cores)
    for core in waiting:
        core.end(False)
    try:
        for core in waiting:
            core.join()
    except KeyboardInterrupt:  # Python would print a traceback, and say nothing of the calls
        log.warning("interrupted: calls that have no result are cancelled")
        for core in waiting:
            core.leave()


def _forked() -> None:
    cores.clear()
    for executor in list(executors):
        executor._forked()


# At the exit of `atexit` it would be too late: Python joins threads before.
threading._register_atexit(_finish)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_forked)

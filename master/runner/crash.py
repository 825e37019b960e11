"""How a runner dies: of an error of the user's code, or of one of ours, and what it says of it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queue_manager.errors import ConnectionLostError, QueueError
from queue_manager.terminal import harmless

log = logging.getLogger("quartermaster.runner")

_OURS = str(Path(__file__).parent)


def or_die(function: Callable[..., None], *args: Any) -> None:
    """An error ends the process, in one line or with the traceback of the user's code."""
    try:
        function(*args)
    except ConnectionLostError:
        os._exit(75)
    except BaseException as error:
        try:
            _say(error)
        finally:  # the job may have closed or replaced what it is said to
            os._exit(1)


def flush_output() -> None:
    """Write out what a job has printed, if it has not closed standard output."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _say(error: BaseException) -> None:
    if isinstance(error, QueueError):
        log.error("%s", error)
    else:
        print(harmless(told(error)), end="", file=sys.stderr or sys.__stderr__)
    flush_output()


def told(error: BaseException) -> str:
    """The traceback from the user's first frame on, however odd the exception is."""
    try:
        return "".join(traceback.format_exception(type(error), error, below_ours(error)))
    except BaseException:  # such as a SyntaxError with a text in the place of its column
        frames = "".join(traceback.format_tb(below_ours(error)))
        return f"{frames}{type(error).__name__}: (it cannot be shown)\n"


def below_ours(error: BaseException) -> types.TracebackType | None:
    """The traceback from the user's first frame on; all of it when there is none."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _OURS:
        trace = trace.tb_next
    return trace or error.__traceback__

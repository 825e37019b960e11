"""Ends a runner after an error of the user's code or of ours, and says what the error was."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from queue_manager.errors import ConnectionLostError, QueueError
from queue_manager.terminal import harmless

log = logging.getLogger("quartermaster.runner")

LOST_MASTER = 75
"""The exit code of a runner whose session has ended (EX_TEMPFAIL of sysexits.h)."""

BAD_ARGUMENTS = 64
"""The exit code of a runner whose `tasks()` has rejected its arguments (EX_USAGE)."""

_OURS = str(Path(__file__).parent)

R = TypeVar("R")


class BadArgumentsError(Exception):
    """`tasks()` raised a ValueError before it yielded anything. That error is the cause."""


def blame_arguments(call: Callable[[], R]) -> R:
    """The result of a call.

    Raises:
        BadArgumentsError: the call raised a ValueError.
    """
    try:
        return call()
    except ValueError as error:
        raise BadArgumentsError from error


def exit_on_error(function: Callable[..., None], *args: Any) -> None:
    """Call a function. An error ends the process with one line, or with the user's traceback."""
    try:
        function(*args)
    except ConnectionLostError:
        os._exit(LOST_MASTER)
    except BaseException as error:
        code = 1
        if isinstance(error, BadArgumentsError) and error.__cause__ is not None:
            code, error = BAD_ARGUMENTS, error.__cause__
        try:
            _say(error)
        finally:  # the job may have closed or replaced the stream
            os._exit(code)


def flush_output() -> None:
    """Write out what a job has printed, if it has not closed standard output."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _say(error: BaseException) -> None:
    if isinstance(error, QueueError):
        log.error("%s", error)
    else:
        print(harmless(described(error)), end="", file=sys.stderr or sys.__stderr__)
    flush_output()


def described(error: BaseException) -> str:
    """The traceback from the user's first frame on, however odd the exception is."""
    try:
        return "".join(traceback.format_exception(type(error), error, user_traceback(error)))
    except BaseException:  # such as a SyntaxError with a text in the place of its column
        frames = "".join(traceback.format_tb(user_traceback(error)))
        return f"{frames}{type(error).__name__}: (it cannot be shown)\n"


def user_traceback(error: BaseException) -> types.TracebackType | None:
    """The traceback from the user's first frame on; all of it when there is none."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _OURS:
        trace = trace.tb_next
    return trace or error.__traceback__

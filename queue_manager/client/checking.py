"""Whether what a program passes is what a request may hold.

A master that gets a request with a value of the wrong type closes the session, and with it all
other work of the client. So each value is looked at before it is sent.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ..errors import ArgumentError
from ..job.contract import Options
from ..wire.limits import AFTER, NAME_CHARS

STATES = ("pending", "active", "finishing", "stalled", "done", "failed", "cancelled")
"""How a run may stand, as `qm status` names it."""


def text_of(name: str, value: Any) -> str:
    """A text that can travel. name: of the argument, for the error.

    Raises ArgumentError for anything else.
    """
    if not isinstance(value, str):
        raise ArgumentError(f"{name}={value!r:.100} is no text: pass a str")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{name}={value!a:.100} is no Unicode text that can travel") from None
    return value


def key_of(key: Any) -> str | None:
    """The key of a run, or None. Raises ArgumentError for anything else."""
    return None if key is None else text_of("key", key)


def job_of(job: Any) -> str:
    """The name of a job. Raises ArgumentError for what can't be one."""
    if len(text_of("job", job)) > NAME_CHARS:
        raise ArgumentError(
            f"job={job!r:.50} is no job: a name has {NAME_CHARS} characters or less"
        )
    return str(job)


def submitted_job(job: Any) -> str:
    """The name of a job that is to be submitted. Raises ArgumentError for what can't be one."""
    if callable(job):
        raise ArgumentError(
            "submit takes the name of a job of the master; for a function use start, map or"
            " executor().submit"
        )
    return job_of(job)


def check_options(options: Any) -> None:
    """Raise ArgumentError unless they are options, or None."""
    if options is not None and not isinstance(options, Options):
        said = f"options={options!r:.100} are no options of tasks"
        raise ArgumentError(f"{said}: pass Options(...), such as options=Options(attempts=3)")


def state_of(state: Any) -> str:
    """A state of runs, or an empty text. Raises ArgumentError for anything else."""
    if text_of("state", state) and state not in STATES:
        said = f"state={state!r:.100} is no state of a run"
        raise ArgumentError(f"{said}: pass one of {', '.join(STATES)}")
    return str(state)


def run_of(which: Any) -> int | str:
    """The number of a run, or its key. Raises ArgumentError for anything else."""
    if isinstance(which, str):
        return text_of("key", which)
    number = _number(which)
    if number is None:
        raise ArgumentError(f"run({which!r:.100}) names no run: pass its number or its key")
    return number


def numbers_of(after: Any) -> list[int]:
    """The numbers of the runs to wait for: of one run or of several, each a run or its number.

    Raises ArgumentError for anything else.
    """
    runs = after if isinstance(after, list | tuple) else [after]
    if len(runs) > AFTER:
        raise ArgumentError(f"after= has {len(runs):,} runs, and may have {AFTER:,}")
    numbers = [_number(getattr(run, "id", run)) for run in runs]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        raise ArgumentError(f"after={after!r:.100} names no run: pass runs or their numbers")
    return known


def buffer_of(buffer: Any) -> int | None:
    """How many inputs a map is ahead, at most; None: it decides. Raises ArgumentError."""
    number = None if buffer is None else _number(buffer)
    if number is None and buffer is not None:
        said = f"buffer={buffer!r:.100} is no number of inputs"
        raise ArgumentError(f"{said}: pass a whole number, such as buffer=1000")
    return number


def seconds_of(timeout: Any) -> float | None:
    """How many seconds to wait; None: for ever. Raises ArgumentError for anything else."""
    if timeout is None:
        return None
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if is_number and timeout <= math.inf:  # as `nan` is not
        seconds: float = timeout
        return seconds
    said = f"timeout={timeout!r:.100} is no time to wait"
    raise ArgumentError(f"{said}: pass a number of seconds, or None to wait without a limit")


def _number(value: Any) -> int | None:
    """A whole number of 64 bits, such as that of a run; None if the value is none."""
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return None if isinstance(value, bool) or not -(2**63) <= number < 2**63 else number

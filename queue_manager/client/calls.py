"""Requests for runs: a function that travels, or a job of the master's with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import ArgumentError, CannotTravelError
from ..job.contract import Options
from ..wire.messages import StartRun

Start = Callable[..., StartRun]
"""Makes the request for a run that a client feeds: of `seq` and `key`."""

Work = Callable[..., Any] | str
"""What tasks call: a function, or the `work` of a job that the master has, by the job's name."""


def start_of(
    work: Work,
    iterables: tuple[Any, ...],
    options: Options | None,
    *,
    lasting: bool,
    once: bool = False,
) -> Start:
    """The request for a run that this program feeds.

    iterables: those of its inputs. With several, a payload is the tuple of the arguments. once: a
    failed task is not tried again, unless `options` or the function's module say so.

    Raises:
        CannotTravelError: the function can't be sent to workers.
        ArgumentError: there is no iterable, or there are options for a job that has its own.
    """
    if not iterables:
        raise ArgumentError("give at least one iterable of inputs")
    if not isinstance(work, str):
        raise CannotTravelError("a function can't travel yet: name a job of the master's")
    if options is not None:
        raise ArgumentError(f"the job {work} has its own OPTIONS")
    return partial(StartRun, job=work, args=[], feeder="client", lasting=lasting)


def arguments_of(arguments: dict[str, Any]) -> list[str]:
    """The arguments of a job, as on the command line."""
    return [f"{name}={value}" for name, value in arguments.items()]

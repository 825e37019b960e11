"""Requests for runs: a function that travels, or a job of the master's with its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from .. import codec
from ..errors import ArgumentError
from ..job.contract import Options
from ..trace import asked_traceparent
from ..wire.messages import StartRun
from .checking import check_options, job_of

Start = Callable[..., StartRun]
"""Makes the request for a run that a client feeds: of `seq` and `key`."""

Work = Callable[..., Any] | str
"""What tasks call: a function, or the `work` of a job that the master has, by the job's name."""

Call = Literal["one", "star"]
"""`function(payload)`, or `function(*payload)`."""


def start_of(
    work: Work,
    iterables: tuple[Any, ...],
    options: Options | None,
    *,
    lasting: bool,
    once: bool = False,
) -> Start:
    """The request for a run that this program feeds.

    iterables: those of its inputs. With several, a payload is the tuple of the arguments. once: as
    a map does it: a failed task is not tried again, unless `options` or the function's module say
    so, and no task may come between those of the inputs.

    Raises:
        CannotTravelError: the function can't be sent to workers.
        ArgumentError: there is no iterable, the options are none, or the job has its own.
    """
    if not iterables:
        raise ArgumentError("give at least one iterable of inputs")
    asked = partial(StartRun, args=[], feeder="client", traceparent=asked_traceparent())
    asked = partial(asked, lasting=lasting, inputs_only=once)
    if once and not isinstance(work, str):
        own = _options_of(work) if options is None else options
        check_options(own)
        options = replace(own, attempts=1) if own.attempts is None else options
    call: Call = "one" if len(iterables) == 1 else "star"
    return _with_work(asked, work, call, options, lasting=lasting)


def then_of(work: Work, options: Options | None, after: list[int]) -> Start:
    """The request for a run that gets the results of other runs when they are done.

    Raises as `start_of`.
    """
    return _with_work(
        partial(StartRun, args=[], feeder="results", after=after, traceparent=asked_traceparent()),
        work,
        "one",
        options,
    )


def _with_work(
    asked: Start, work: Work, call: Call, options: Options | None, *, lasting: bool = True
) -> Start:
    """lasting: the same run may be asked for again, and is to know whether the code is the same."""
    if isinstance(work, str):
        if options is not None:
            raise ArgumentError(f"the job {work} has its own OPTIONS")
        return partial(asked, job=job_of(work))
    check_options(options)
    from .code import fingerprint, pack  # late: whoever only reads results needs no cloudpickle

    packed = pack(work, call=call, options=options)
    same = fingerprint(packed.files) if lasting else ""
    code = {"code": packed.files, "fingerprint": same}
    return partial(asked, job=packed.job, options=packed.options, **code)


def _options_of(function: Callable[..., Any]) -> Options:
    """Those of the function's module."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    options = getattr(module, "OPTIONS", None)
    return options if isinstance(options, Options) else Options()


def arguments_of(arguments: dict[str, Any]) -> bytes:
    """The arguments of a job as they travel: with their types.

    Raises NotPlainDataError if one of them is no plain data.
    """
    return codec.encode(arguments) if arguments else b""

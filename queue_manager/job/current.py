"""Tells a job which task it is running. The slot says it here; `work` asks.

Knows nothing of leases.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that runs. run, task: its numbers. attempt: 1 for the first try; tries that were
    lost with their worker do not count. retry_reason: what a person said who had it tried again
    (`qm retry RUN TASK --reason TEXT`). It is that of the last retry: empty if there was none, or
    it had no reason. traceparent: that of the run, for spans that belong to it; empty: none."""

    run: int
    task: int
    attempt: int
    retry_reason: str = ""
    traceparent: str = ""


TRACE_VARIABLE = "TRACEPARENT"
"""The variable of a process with its trace context, as OpenTelemetry's tools name it."""

running: ContextVar[Callable[[], CurrentTask]] = ContextVar("running")
"""What the slot has set: it makes the answer only when somebody asks."""


def current_task() -> CurrentTask:
    """Which task this call of `work` is for. Also in coroutines that `work` runs.

    Raises:
        LookupError: this is no task of a worker, or a thread that knows nothing of one.
    """
    make = running.get(None)
    if make is None:
        raise LookupError("this code is not running in a task of a worker")
    return make()

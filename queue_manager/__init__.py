"""Quartermaster's shared module: what a job and both ends of the queue must agree on.

A job or a user's program needs no other names than these. The import is light: what needs the
network is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import TaskError, TimeLimitError, WorkerDiedError
from .job.contract import Counts, Limit, Options, Quota, Reject, Result, Retry, Task
from .job.current import CurrentTask, current_task

if TYPE_CHECKING:
    from .client.asynchronous import AsyncClient
    from .client.connecting import connect, connect_async
    from .client.runs.async_run import AsyncRun
    from .client.runs.reading import Failure
    from .client.runs.run import Run
    from .client.synchronous import Client
    from .server.manager import QueueManager

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "Client",
    "Counts",
    "CurrentTask",
    "Failure",
    "Limit",
    "Options",
    "QueueManager",
    "Quota",
    "Reject",
    "Result",
    "Retry",
    "Run",
    "Task",
    "TaskError",
    "TimeLimitError",
    "WorkerDiedError",
    "__version__",
    "connect",
    "connect_async",
    "current_task",
]

_LATE = {
    "AsyncClient": "client.asynchronous",
    "AsyncRun": "client.runs.async_run",
    "Client": "client.synchronous",
    "Failure": "client.runs.reading",
    "QueueManager": "server.manager",
    "Run": "client.runs.run",
    "connect": "client.connecting",
    "connect_async": "client.connecting",
}
"""The module of each name that is loaded on first use."""


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is not None:
        from importlib import import_module

        return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

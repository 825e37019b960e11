"""Quartermaster's shared module: what a job and both ends of the queue must agree on.

A job or a user's program needs no other names than these. The import is light: `QueueManager`,
which needs the network, is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import TaskError, TimeLimitError, WorkerDiedError
from .job.contract import Counts, Limit, Options, Quota, Reject, Result, Retry, Task
from .job.current import CurrentTask, current_task

if TYPE_CHECKING:
    from .server.manager import QueueManager

__version__ = "0.1.0"

__all__ = [
    "Counts",
    "CurrentTask",
    "Limit",
    "Options",
    "QueueManager",
    "Quota",
    "Reject",
    "Result",
    "Retry",
    "Task",
    "TaskError",
    "TimeLimitError",
    "WorkerDiedError",
    "__version__",
    "current_task",
]


def __getattr__(name: str) -> Any:
    if name == "QueueManager":
        from .server.manager import QueueManager

        return QueueManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

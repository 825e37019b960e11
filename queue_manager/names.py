"""The names that are registered on the network, and the methods behind each."""

from __future__ import annotations

TASK_QUEUE = ("get_task_queue", "getTaskQueue")
"""Both tutorials' names of the queue of tasks."""

RESULT_QUEUE = ("get_result_queue", "getResultQueue")
"""Both tutorials' names of the queue of results."""

EXCHANGE = "get_exchange"
"""Our own batched sessions; their frames are messages of `records`, not pickles."""

QUEUE_METHODS = (
    "put",
    "get",
    "put_nowait",
    "get_nowait",
    "empty",
    "full",
    "qsize",
    "task_done",
    "join",
)
"""What a `queue.Queue` offers, in the shape that `BaseManager` exposes it."""

SERIALIZERS = {
    "auto": "quartermaster",
    "required": "quartermaster required",
    "off": "quartermaster off",
}
"""Our entries in `multiprocessing.managers.listener_client`, by what QUEUE_TLS may be."""

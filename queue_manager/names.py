"""The names on the network, the methods behind them, and other names that scripts use for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

QueueName = Literal["task", "result"]

TASK_QUEUE = ("get_task_queue", "getTaskQueue")
"""The names of the queue of tasks in the two tutorials."""

RESULT_QUEUE = ("get_result_queue", "getResultQueue")
"""The names of the queue of results in the two tutorials."""

NAME_CHARACTERS = 256
"""A name has no more characters than this."""

_TASK_WORDS = (
    *("task", "job", "work", "todo", "in", "input", "request"),
    *("taskurl", "dispatchedjob", "dispatchedtask"),
)
_RESULT_WORDS = (
    *("result", "done", "out", "output", "response", "answer", "feedback"),
    *("finished", "finishedjob", "finishedtask"),
)
_WORDS: dict[str, QueueName] = {
    **dict.fromkeys(_TASK_WORDS, "task"),
    **dict.fromkeys(_RESULT_WORDS, "result"),
}
"""The words by which public scripts name the two queues.

Some words mean different queues in different scripts: `data`, `url`, `worker`, `queue` alone. They
are not here, because a script that uses two of them would get one queue for both. QUEUE_NAMES can
add them.
"""

EXCHANGE = "get_exchange"
"""The name behind which our own sessions exchange messages instead of pickles."""

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
"""The methods of a `queue.Queue`, as `BaseManager` exposes them."""

SERIALIZERS = {
    "auto": "quartermaster",
    "required": "quartermaster required",
    "off": "quartermaster off",
}
"""Our entries in `multiprocessing.managers.listener_client`, by the value of QUEUE_TLS."""


def queue_named(name: str) -> QueueName | None:
    """Which queue a script means by a name; None if the name does not tell.

    `get_job_q`, `GetJobQueue`, `job_queue`, `jobs` and `get_jobs` count as one name: only the word
    that says which queue it is counts.
    """
    plain = name.replace("_", "").lower().removeprefix("get")
    for word in (plain, plain.removesuffix("queue"), plain.removesuffix("q")):
        queue = _WORDS.get(word) or _WORDS.get(word.removesuffix("s"))
        if queue is not None:
            return queue
    return None


def parse_names(text: str) -> dict[str, QueueName]:
    """Parse QUEUE_NAMES, such as `task:get_x,result:get_y`. Raises ValueError if it is wrong."""
    names: dict[str, QueueName] = {}
    for part in text.split(","):
        queue, _, name = (word.strip() for word in part.partition(":"))
        which = _QUEUES.get(queue)
        if which is None or not _is_name(name) or name in ALWAYS:
            raise ValueError(part)
        if names.setdefault(name, which) != which:
            raise ValueError(part)
    return names


_QUEUES: dict[str, QueueName] = {"task": "task", "result": "result"}
ALWAYS = frozenset({*TASK_QUEUE, *RESULT_QUEUE, EXCHANGE})
"""The names that every master registers."""


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*", name) is not None and len(name) <= NAME_CHARACTERS


def unknown(name: str, added: Mapping[str, QueueName]) -> str:
    """The error for a script that asks for a name which is not registered.

    added: the names that QUEUE_NAMES has added so far. The advice keeps them.
    """
    shown = name if _is_name(name) else "NAME"
    before = [f"{queue}:{given}" for given, queue in sorted(added.items())]
    also = f" QUEUE_NAMES has added {', '.join(sorted(added)[:_NAMED])}." if added else ""
    if len(before) <= _NAMED:
        task, result = (",".join([*before, f"{queue}:{shown}"]) for queue in _QUEUES)
        how = f"set QUEUE_NAMES={task} or QUEUE_NAMES={result} on the master"
    else:
        how = f"append ,task:{shown} or ,result:{shown} to QUEUE_NAMES on the master"
    return (
        f"no {name!r} is registered on this network. The queue of tasks is get_task_queue,"
        " getTaskQueue, get_job_q, task_queue and their like; the queue of results is"
        f" get_result_queue, getResultQueue, get_result_q, result_queue and their like.{also}"
        f" To add one, {how}"
    )


_NAMED = 8
"""An error lists at most this many of the added names."""

"""The names that are on the network, the methods behind each, and what else scripts call them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

QueueName = Literal["task", "result"]

TASK_QUEUE = ("get_task_queue", "getTaskQueue")
"""Both tutorials' names of the queue of tasks."""

RESULT_QUEUE = ("get_result_queue", "getResultQueue")
"""Both tutorials' names of the queue of results."""

MOST_CHARACTERS = 256
"""The longest name that is looked at."""

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
"""What public scripts call the two queues, without the parts that say nothing.

Words that name one queue here and the other there (`data`, `url`, `worker`, `queue` alone) are left
to QUEUE_NAMES: two queues of a script that became one would mix what it keeps apart.
"""

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


def queue_named(name: str) -> QueueName | None:
    """Which queue a script means by a name; None when nobody can tell.

    `get_job_q`, `GetJobQueue`, `job_queue`, `jobs` and `get_jobs` are one name: of its words only
    those that say which queue it is count.
    """
    plain = name.replace("_", "").lower().removeprefix("get")
    for word in (plain, plain.removesuffix("queue"), plain.removesuffix("q")):
        found = _WORDS.get(word) or _WORDS.get(word.removesuffix("s"))
        if found is not None:
            return found
    return None


def parse_names(text: str) -> dict[str, QueueName]:
    """What QUEUE_NAMES says: `task:get_x,result:get_y`. Raises ValueError when it says nothing."""
    found: dict[str, QueueName] = {}
    for part in text.split(","):
        queue, _, name = (word.strip() for word in part.partition(":"))
        which = _QUEUES.get(queue)
        if which is None or not _is_name(name) or name in ALWAYS:
            raise ValueError(part)
        if found.setdefault(name, which) != which:
            raise ValueError(part)
    return found


_QUEUES: dict[str, QueueName] = {"task": "task", "result": "result"}
ALWAYS = frozenset({*TASK_QUEUE, *RESULT_QUEUE, EXCHANGE})
"""The names that every master registers."""


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*", name) is not None and len(name) <= MOST_CHARACTERS


def unknown(name: str, added: Mapping[str, QueueName]) -> str:
    """What a script is told that asks for a name that is not here.

    added: the names that QUEUE_NAMES has given so far; what is to be set keeps them.
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
"""How many of the added names are told."""

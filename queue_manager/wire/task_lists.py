"""The messages about tasks of a run by their state, and the record in them."""

from __future__ import annotations

from typing import Literal

import msgspec

from .records import Message

TaskState = Literal["waiting", "leased", "delayed", "done", "dead", "cancelled"]

TASKS_LEVEL = 3
"""The level of the protocol from which on a master knows `AskTasks`."""


class AskTasks(Message, frozen=True, array_like=True, tag="tasks?"):
    """Ask for a page of the tasks of a run in one state, in the order of their numbers.

    after: the `last` of the page before; 0 begins with the first task. limit: how many tasks a page
    has, at most 500. Answer: `TaskList`.
    """

    seq: int
    run: int
    state: TaskState
    after: int = 0
    limit: int = 100


class TaskLine(msgspec.Struct, frozen=True, array_like=True):
    """A task in a list.

    attempts: charged ones. worker: who runs it, or who reported its last failed try. since_s: how
    long it has been leased. due_s: how long it is still delayed. died_at: when it became a dead
    letter (UTC epoch in seconds). error: the beginning of that of its last failed try. result: a
    batch with its result alone; None: it has none, or it is too large for a list.
    """

    task: int
    attempts: int = 0
    worker: str = ""
    since_s: float | None = None
    due_s: float | None = None
    died_at: float = 0.0
    error: str = ""
    result: bytes | None = None


class TaskList(Message, frozen=True, array_like=True, tag="tasks"):
    """A page of tasks.

    last: the next request asks behind it. complete: nothing is behind this page. A page may have
    fewer tasks than its limit, or none, though there are more behind it.
    """

    seq: int
    tasks: list[TaskLine]
    last: int
    complete: bool

"""The tasks of a run in one state, page by page; and the way to a task by its number."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, get_args

from queue_manager.wire.task_lists import TASKS_LEVEL, AskTasks, TaskLine, TaskList, TaskState

from ..text.values import value_of
from .page import Asked, ElsewhereError, NothingThereError, Page, View, number_in

STATES: tuple[TaskState, ...] = get_args(TaskState)

PAGE = 100
"""How many tasks a page has at most."""

_LOOKS_S = 0.1
"""For so long pages that are not full are put together: the master looks at some 10,000 rows for
each. Behind them the list goes on."""

_RESULT_CHARS = 200


async def load(asked: Asked) -> View:
    """One page of tasks behind the task `after`. With `task=`, the way to that task."""
    number: int = asked.words["run"]
    if "task" in asked.query:
        raise ElsewhereError(f"/runs/{number}/tasks/{_task_of(asked.query['task'])}")
    state = _state_of(asked.query.get("state", ""))
    run = await asked.desk.recent.run(number)
    after = asked.number("after")
    limit = max(1, min(asked.number("limit", PAGE), PAGE))
    asked.desk.master.check_level(TASKS_LEVEL, "lists of tasks")
    lines: list[TaskLine] = []
    place, complete = after, False
    until = time.monotonic() + _LOOKS_S
    while not complete:
        left = limit - len(lines)
        ask = partial(AskTasks, run=number, state=state, after=place, limit=left)
        page = await asked.desk.recent.get(("tasks", number, state, place, left), ask, TaskList)
        lines += page.tasks
        place, complete = page.last, page.complete
        if len(lines) >= limit or time.monotonic() >= until:
            break
    counts = {name: getattr(run, name) for name in STATES}
    return {
        "run": run,
        "state": state,
        "states": counts,
        "after": after,
        "tasks": [_line(one, state) for one in lines],
        "next": None if complete else place,
    }


def _state_of(text: str) -> TaskState:
    for state in STATES:
        if text in (state, ""):
            return state
    raise NothingThereError(f"there is no state {text[:40]!r} of a task: {', '.join(STATES)}")


def _task_of(text: str) -> int:
    """A number that was typed. Raises NothingThereError for any other text."""
    task = number_in(text.strip())
    if not task:
        raise NothingThereError(f"{text.strip()[:40]!r} is no number of a task, such as 1")
    return task


def _line(one: TaskLine, state: str) -> dict[str, Any]:
    """result: the beginning of it, as Python writes it; empty if it is too large."""
    said = {
        "task": one.task,
        "attempts": one.attempts,
        "worker": one.worker,
        "error": one.error,
        "since_s": one.since_s,
        "due_s": one.due_s,
        "died_at": one.died_at or None,
    }
    if state == "done":
        text = "" if one.result is None else value_of(one.result, 0, chars=_RESULT_CHARS + 1).text
        cut = len(text) > _RESULT_CHARS
        said["result"] = text[:_RESULT_CHARS] + "\N{HORIZONTAL ELLIPSIS}" * cut
    return said


TASKS = Page("/runs/{run:int}/tasks", "tasks", ("head", "list"), load)

"""Cancel a run, or tasks of it that wait, and forget a run."""

from __future__ import annotations

from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.wire.messages import Accepted, CancelRun, ForgetRun, TasksCancelled

from ..pages.page import GOES_ON, Asked, View, number_in
from .action import Action, FieldError, Fields, Outcome

LONG_S = 60.0
"""How long the master has for what may concern a million tasks."""


async def show(asked: Asked, fields: Fields) -> View:
    """The run that is asked about, and a task of it, if it is about one. nothing: it has ended."""
    run = await asked.desk.recent.run(asked.words["run"])
    return {"run": run, "task": task_of(fields), "nothing": run.state not in GOES_ON}


async def show_run(asked: Asked, fields: Fields) -> View:
    """The run that is asked about, and whether it goes on, so that nobody can forget it yet."""
    run = await asked.desk.recent.run(asked.words["run"])
    return {"run": run, "goes_on": run.state in ("pending", "active", "stalled")}


def task_of(fields: Fields) -> int:
    """The task that a form is about; 0: all of the run. Raises FieldError."""
    text = fields.text("task").strip()
    if not text:
        return 0
    task = number_in(text)
    if not task:
        raise FieldError("task", f"{text[:40]!r} is no number of a task, such as 1")
    return task


async def cancel(asked: Asked, fields: Fields) -> Outcome:
    """Cancel the run, or one task of it that waits."""
    number: int = asked.words["run"]
    task = task_of(fields)
    if task:
        return await _cancel_task(asked, number, task)
    ask = partial(CancelRun, run=number, by=asked.by)
    reply = await asked.desk.master.ask(ask, Accepted, LONG_S)
    return Outcome(f"/runs/{number}", "", {"run": number, "task": 0, "tasks": reply.tasks})


async def _cancel_task(asked: Asked, number: int, task: int) -> Outcome:
    ask = partial(CancelRun, run=number, tasks=[(task, task + 1)], by=asked.by)
    reply = await asked.desk.master.ask(ask, TasksCancelled, LONG_S)
    if not reply.ranges:
        raise RefusedError(f"run {number}: task {task} does not wait, so it can't be cancelled")
    of = {"run": number, "task": task, "tasks": 1}
    return Outcome(f"/runs/{number}/tasks/{task}", "", of)


async def forget(asked: Asked, fields: Fields) -> Outcome:
    """Delete the run with its tasks and results."""
    number: int = asked.words["run"]
    ask = partial(ForgetRun, run=number, by=asked.by)
    reply = await asked.desk.master.ask(ask, Accepted, LONG_S)
    return Outcome("/runs", "", {"run": number, "tasks": reply.tasks})


CANCEL = Action("/runs/{run:int}/cancel", "cancel", show, cancel, ("task",))
FORGET = Action("/runs/{run:int}/forget", "forget", show_run, forget)

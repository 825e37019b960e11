"""One task: what it was given, what it gave, and how its last failed try ended."""

from __future__ import annotations

from functools import partial

from msgspec.structs import asdict

from queue_manager.job.failures import failure_of
from queue_manager.wire.messages import AskTask, TaskShown
from queue_manager.wire.records import DeadLetter, RunStatus, TaskStatus

from ..text.values import value_of
from .page import Asked, Page, View

_BYTES = ("body", "position", "results", "result_position", "raised")


async def load(asked: Asked) -> View:
    """The task with this number of this run."""
    run, number = asked.words["run"], asked.words["task"]
    recent = asked.desk.recent
    ask = partial(AskTask, run=run, task=number)
    task = (await recent.get(("task", run, number), ask, TaskShown)).task
    of = await recent.run(run)
    done = task.results is not None
    return {
        "task": {name: x for name, x in asdict(task).items() if name not in _BYTES},
        "run": of,
        "payload": value_of(task.body, task.position),
        "result": value_of(task.results, task.result_position)
        if task.results is not None
        else None,
        "failure": failure(task) if task.error and not done else "",
        "why": why(task, of),
        "may_retry": task.state == "dead" and of.state != "cancelled",
        "may_cancel": task.state in ("waiting", "delayed") and bool(run),
    }


def failure(task: TaskStatus) -> str:
    """Which failure its last failed try was, as `ValueError@lines.py:12`."""
    letter = DeadLetter(
        task.task, task.attempts, task.losses, task.error, task.evidence, raised=task.raised
    )
    return failure_of(letter)


def why(task: TaskStatus, run: RunStatus) -> list[str]:
    """Why a task that waits does not run: what holds up its run."""
    return run.why if task.state in ("waiting", "delayed") else []


TASK = Page(
    "/runs/{run:int}/tasks/{task:int}",
    "task",
    ("head", "actions", "why", "facts", "values", "failed"),
    load,
)

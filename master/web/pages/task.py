"""One task: what it was given, what it gave, and how each of its tries ended."""

from __future__ import annotations

from functools import partial

from msgspec.structs import asdict

from queue_manager.job.failures import failure_of, named
from queue_manager.wire.messages import AskTask, TaskShown
from queue_manager.wire.records import DeadLetter, RunStatus, TaskStatus, TaskTry

from ..text.values import value_of
from .page import Asked, Page, View

_OTHERWISE = ("body", "position", "results", "result_position", "raised", "tries")
"""What is shown in another form."""


async def load(asked: Asked) -> View:
    """The task with this number of this run."""
    run, number = asked.words["run"], asked.words["task"]
    recent = asked.desk.recent
    ask = partial(AskTask, run=run, task=number, tries=True)
    task = (await recent.get(("task", run, number), ask, TaskShown)).task
    of = await recent.run(run)
    done = task.results is not None
    return {
        "task": {name: x for name, x in asdict(task).items() if name not in _OTHERWISE},
        "run": of,
        "payload": value_of(task.body, task.position, is_data=asked.is_data),
        "result": value_of(task.results, task.result_position, is_data=asked.is_data)
        if task.results is not None
        else None,
        "failure": failure_of(_letter(task)) if task.error and not done else "",
        "tries": [_shown(one) for one in task.tries],
        "why": why(task, of),
        "may_retry": task.state == "dead" and of.state != "cancelled",
        "may_cancel": task.state in ("waiting", "delayed") and bool(run),
    }


def _letter(of: TaskStatus | TaskTry) -> DeadLetter:
    """What names a failure, as a dead letter has it."""
    return DeadLetter(0, 0, 0, of.error, of.evidence, raised=of.raised)


def _shown(one: TaskTry) -> View:
    """A try as plain data. Its texts are those of its worker."""
    letter = _letter(one)
    exception, place = named(letter) if one.error else ("", "")
    ended_at = one.ended_at or None
    return {
        "number": one.number,
        "fate": one.fate,
        "worker": one.worker,
        "started_at": None if ended_at is None or one.took_s is None else ended_at - one.took_s,
        "ended_at": ended_at,
        "took_s": one.took_s,
        "error": one.error,
        "exception": exception,
        "place": place,
        "failure": failure_of(letter) if one.fate == "failed" and one.error else "",
        "evidence": one.evidence,
        "printed": one.printed,
    }


def why(task: TaskStatus, run: RunStatus) -> list[str]:
    """Why a task that waits does not run: what holds up its run."""
    return run.why if task.state in ("waiting", "delayed") else []


TASK = Page(
    "/runs/{run:int}/tasks/{task:int}",
    "task",
    ("head", "actions", "why", "facts", "values", "tries"),
    load,
)

"""Makes Django's records (Task, TaskResult, TaskError) of what has travelled, and of its status.

Knows no connection. Needs Django 6.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from django.tasks.base import Task, TaskError, TaskResult, TaskResultStatus
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.utils import timezone
from django.utils.module_loading import import_string

from .. import codec
from ..job.raised import read_raised
from ..wire.limits import printable
from ..wire.records import TaskStatus
from .travelling import Ended, Payload, TaskId, moment, without_note

_STATUS = {
    "leased": TaskResultStatus.RUNNING,
    "done": TaskResultStatus.SUCCESSFUL,
    "dead": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
}
"""In every other state a task waits."""

_CANCELLED = TaskError(
    exception_class_path="concurrent.futures.CancelledError",
    traceback="concurrent.futures.CancelledError: its run was cancelled\n",
)


class NoTaskError(Exception):
    """What was enqueued is no task of this project. The text is one line."""


def task_of(asked: Payload) -> Any:
    """The task of this project that was enqueued, as it was enqueued.

    Raises:
        NoTaskError: there is nothing at that path, or no task, or its settings have no such
            backend or queue.
    """
    try:
        found = import_string(asked.task)
    except (ImportError, TypeError, ValueError) as error:  # the last two for a path that is none
        why = printable(str(error))
        raise NoTaskError(f"this project has no task {asked.task}: {why}") from error
    if not isinstance(found, Task):
        raise NoTaskError(f"{asked.task} is not declared with @task")
    try:
        return replace(
            found,
            backend=asked.alias,
            queue_name=asked.queue,
            priority=asked.priority,
            run_after=moment(asked.run_after),
        )
    except (InvalidTask, InvalidTaskBackend, ValueError) as error:
        why = printable(str(error))
        raise NoTaskError(f"{asked.task} is no valid task here: {why}") from error


def result_of(task: Any, asked: Payload, number: TaskId) -> Any:
    """The result of a task that has just been enqueued."""
    return TaskResult(
        task=task,
        id=str(number),
        status=TaskResultStatus.READY,
        enqueued_at=moment(asked.enqueued_at),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=asked.args,
        kwargs=asked.kwargs,
        backend=asked.alias,
        errors=[],
        worker_ids=[],
    )


def put(result: Any, **values: Any) -> None:
    """Set attributes of a result, which Django has frozen for everybody else."""
    known = {field.name for field in fields(result)}
    for name, value in values.items():
        assert name in known, name
        object.__setattr__(result, name, value)


def as_it_is(result: Any, status: TaskStatus) -> Any:
    """A result with all that the master knows of its task.

    Raises:
        ProtocolError, ValueError: what has come back is not of this job.
    """
    state = _STATUS.get(status.state, TaskResultStatus.READY)
    error, started, finished = _last_failure(status)
    put(result, status=state, errors=[] if error is None else [error])
    put(result, worker_ids=_workers(status.attempts, status.worker if error else ""))
    put(result, started_at=started, last_attempted_at=started)
    if state == TaskResultStatus.FAILED:
        put(result, finished_at=finished)
        if status.state == "cancelled":
            put(result, errors=[*result.errors, _CANCELLED])
    elif state == TaskResultStatus.RUNNING:
        _running(result, status)
    elif state == TaskResultStatus.SUCCESSFUL and status.results is not None:
        _done(result, status, status.results)
    return result


def _last_failure(status: TaskStatus) -> tuple[Any, Any, Any]:
    """The last try that has failed: its error and its times, as far as they are known."""
    if not status.error:
        return None, None, None
    raised = read_raised(status.raised)
    path = f"{raised.module}.{raised.qualname}" if raised else "queue_manager.errors.TaskError"
    evidence, started, finished = without_note(status.evidence)
    error = TaskError(exception_class_path=path, traceback=evidence or f"{status.error}\n")
    try:
        return error, moment(started), moment(finished)
    except ValueError:  # anybody may write such a line
        return error, None, None


def _workers(attempts: int, last: str) -> list[str]:
    """As many workers as there were tries; the master knows the last one."""
    return [""] * (attempts - 1) + [last] if attempts else []


def _running(result: Any, status: TaskStatus) -> None:
    since = timezone.now() - timedelta(seconds=status.since_s or 0.0)
    put(result, last_attempted_at=since, started_at=result.started_at or since)
    put(result, worker_ids=[*_workers(status.attempts, ""), status.worker])


def _done(result: Any, status: TaskStatus, results: bytes) -> None:
    """Take what the job has brought back. Raises ProtocolError, ValueError: it is not of this job.

    How many tries there were is the master's to say: a number of a worker might be any.
    """
    told = Ended.read(codec.decode_batch(results)[0])
    started, finished = moment(told.started_at), moment(told.finished_at)
    put(result, _return_value=told.value, last_attempted_at=started)
    put(result, started_at=result.started_at or started, finished_at=finished)
    put(result, worker_ids=_workers(status.attempts + 1, told.worker))

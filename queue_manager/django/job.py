"""The job that runs tasks of Django's in a worker: `jobs/django_tasks.py` has its three names.

The master imports this module to look at the job, and needs no Django for that. A worker needs the
Django project: its packages, its code on PYTHONPATH, and DJANGO_SETTINGS_MODULE.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from ..job.contract import Options, Reject, Retry
from ..job.current import current_task
from .travelling import Ended, Payload, TaskId, note

OPTIONS = Options(attempts=1)
"""A task that raises has failed: Django knows no retries. A job file may say otherwise."""

SETTINGS = "DJANGO_SETTINGS_MODULE"


def setup() -> None:
    """Load the Django project."""
    import django  # a worker without it says that it lacks it

    if not os.environ.get(SETTINGS):
        raise RuntimeError(f"{SETTINGS} is not set: start this worker in the Django project")
    django.setup()


def work(payload: Any) -> dict[str, Any]:
    """Run one task. Its return value comes back with its times.

    Raises what the task raises; Reject when it is no task of this project.
    """
    from django.db import close_old_connections

    asked, now = _asked(payload), current_task()
    task = _registered(asked)
    close_old_connections()  # one that the database has closed meanwhile
    try:
        return _run(task, asked, TaskId(now.run, now.task, asked.token), now.attempt)
    finally:
        close_old_connections()


def _asked(payload: Any) -> Payload:
    try:
        return Payload.read(payload)
    except ValueError as error:
        raise Reject(str(error)) from None


def _registered(asked: Payload) -> Any:
    """The task at a path. Only what the project has declared with `@task` is ever called."""
    from .tasks import NoTaskError, task_of

    try:
        return task_of(asked)
    except NoTaskError as error:
        raise Reject(str(error)) from error


def _run(task: Any, asked: Payload, number: TaskId, attempt: int) -> dict[str, Any]:
    from django.tasks import TaskContext, TaskResultStatus
    from django.tasks.signals import task_finished, task_started
    from django.utils import timezone
    from django.utils.json import normalize_json

    from .tasks import put, result_of

    backend, started = type(task.get_backend()), timezone.now()
    result = result_of(task, asked, number)
    workers = [""] * (attempt - 1) + [_worker()]
    put(result, status=TaskResultStatus.RUNNING, worker_ids=workers)
    put(result, started_at=started, last_attempted_at=started)
    task_started.send(sender=backend, task_result=result)
    context = (TaskContext(task_result=result),) if task.takes_context else ()
    try:
        value = normalize_json(task.call(*context, *result.args, **result.kwargs))
    except Retry:
        raise
    except BaseException as error:
        put(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
        with contextlib.suppress(BaseException):  # an exception may do anything
            error.add_note(note(started.isoformat(), result.finished_at.isoformat()))
        task_finished.send(sender=backend, task_result=result)
        raise
    put(result, status=TaskResultStatus.SUCCESSFUL, finished_at=timezone.now(), _return_value=value)
    task_finished.send(sender=backend, task_result=result)
    finished = result.finished_at.isoformat()
    return Ended(value, started.isoformat(), finished, workers[-1], attempt).plain()


def _worker() -> str:
    """The name of this slot's worker, as the master has it."""
    return f"{os.environ.get('WORKER_NAME') or socket.gethostname()}/{os.getppid()}"

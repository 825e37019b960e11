"""Django's own test cases of its two backends and of tasks, run against ours.

They come from the source archive of the Django that is installed. Each list names what is left out,
and why.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.tasks import TaskResultStatus
from django.test import override_settings
from tasks import test_dummy_backend, test_immediate_backend, test_tasks

from queue_manager.django import QuartermasterBackend
from tests.django.conftest import finished


class RecordingBackend(QuartermasterBackend):
    """No worker takes its tasks. It has the list of Django's dummy backend, for Django's tests."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.results: list[Any] = []

    def _tags(self, queue: str) -> list[str]:
        return ["nobody"]

    def clear(self) -> None:
        self.results.clear()

    def enqueue(self, *args: Any, **kwargs: Any) -> Any:
        self.results.append(super().enqueue(*args, **kwargs))
        return self.results[-1]

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Any:
        self.results.append(await super().aenqueue(*args, **kwargs))
        return self.results[-1]


class WaitingBackend(QuartermasterBackend):
    """Its tasks have run in a worker when `enqueue` returns, as with Django's immediate backend."""

    def enqueue(self, *args: Any, **kwargs: Any) -> Any:
        result = finished(super().enqueue(*args, **kwargs))
        if result.status == TaskResultStatus.FAILED:  # stands for the log of the worker's process
            logging.getLogger("django.tasks").error(result.errors[-1].traceback)
        return result

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(finished, await super().aenqueue(*args, **kwargs))


def backend(kind: type, **more: Any) -> dict[str, Any]:
    return {"BACKEND": f"{kind.__module__}.{kind.__qualname__}", "QUEUES": [], **more}


@override_settings(TASKS={"default": backend(RecordingBackend)})
class DummyBackendTestCase(test_dummy_backend.DummyBackendTestCase):
    """Left out: which class it is; what changes a result in memory; `clear`, which forgets nothing
    on a master; and what overrides the setting with the dummy backend again."""

    test_using_correct_backend = None
    test_refresh_result = test_refresh_result_async = test_clear = None
    test_validate_on_enqueue = test_validate_on_aenqueue = None


@override_settings(TASKS={"default": backend(WaitingBackend)})
class ImmediateBackendTestCase(test_immediate_backend.ImmediateBackendTestCase):
    """Left out: which class it is; what ours can and the immediate one can't; the log, which is in
    the worker's process, as is a KeyboardInterrupt; and what overrides the setting again."""

    test_using_correct_backend = None
    test_cannot_get_result = test_cannot_refresh_result = test_cannot_pass_run_after = None
    test_enqueue_logs = test_failed_logs = test_successful_task_no_none_in_logs = None
    test_throws_keyboard_interrupt = None
    test_validate_on_enqueue = test_validate_on_aenqueue = None


@override_settings(
    TASKS={
        "default": backend(RecordingBackend, QUEUES=["default", "queue_1"]),
        "immediate": {
            "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
            "QUEUES": [],
        },
        "missing": {"BACKEND": "does.not.exist"},
    }
)
class TaskTestCase(test_tasks.TaskTestCase):
    """Left out: which classes they are."""

    test_using_correct_backend = test_get_backend = None


del test_dummy_backend, test_immediate_backend, test_tasks

"""The backend that Django's settings name. It enqueues tasks and reads their results.

Owns what Django asks of a backend, and the names of its options. Needs Django 6.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.json import normalize_json

from .. import codec
from ..errors import ProtocolError, QueueError, RefusedError, SettingsError
from ..job.tags import CHARACTERS, is_tag
from ..settings import Settings, load_settings
from ..wire.messages import AskTask, TaskShown
from ..wire.records import NewBlock, TaskStatus
from .connection import Connection, connection_to
from .runs import Queue
from .tasks import NoTaskError, as_it_is, result_of, task_of
from .travelling import TOKEN_CHARS, Payload, TaskId

JOB = "django_tasks"
TIMEOUT_S = 10.0
PLAIN_QUEUE = "default"
"""Tasks of this queue go to any worker; those of any other one to workers with its name as tag."""

_OWN = {"JOB", "TAGS", "TIMEOUT"}
_SETTINGS = {
    "HOST": "QUEUE_HOST",
    "PORT": "QUEUE_PORT",
    "AUTHKEY": "QUEUE_AUTHKEY",
    "AUTHKEY_FILE": "QUEUE_AUTHKEY_FILE",
    "TLS": "QUEUE_TLS",
}
"""Options that go before a variable of the environment."""


class QuartermasterBackend(BaseTaskBackend):  # type: ignore[misc]  # no types of Django's here
    """`TASKS = {"default": {"BACKEND": "queue_manager.django.QuartermasterBackend"}}`.

    OPTIONS: HOST, PORT, AUTHKEY, AUTHKEY_FILE and TLS go before the variables QUEUE_HOST and so on.
    JOB is the job on the master (`django_tasks`). TAGS maps a queue to the tags that its workers
    must have; the queue `default` needs none, any other one its own name. TIMEOUT is how many
    seconds an `enqueue` or a `get_result` takes at most (10).
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._queues: dict[tuple[Connection, str], Queue] = {}

    # --- what Django asks for ---

    def validate_task(self, task: Any) -> None:
        """As Django's, and the queue's tags must be tags. Raises InvalidTask.

        Raises ImproperlyConfigured if TAGS has a wrong value.
        """
        super().validate_task(task)
        with self._blaming_options():
            wrong = [tag for tag in self._tags(task.queue_name) if not is_tag(tag)]
        if wrong:
            raise InvalidTask(
                f"Queue '{task.queue_name}' needs the tag {wrong[0]!r}, and a tag has {CHARACTERS}"
                " alone: see TAGS."
            )

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Have a task run. It is on the master's disk when this returns.

        Raises:
            InvalidTask, TypeError: as of every backend.
            QueueError: no answer of the master within the timeout, or it refuses; one line, which
                says if nobody knows whether the task is there.
        """
        payload, block = self._packed(task, args, kwargs)
        placed = self._connection.begin(self._queue(task).put(block)).result()
        result = result_of(task, payload, TaskId(*placed, payload.token))
        task_enqueued.send(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """As `enqueue`, without holding up the event loop."""
        payload, block = self._packed(task, args, kwargs)
        placing = self._connection.begin(self._queue(task).put(block))
        result = result_of(task, payload, TaskId(*await placing.arrived(), payload.token))
        await task_enqueued.asend(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The result of a task of any process.

        Raises:
            TaskResultDoesNotExist: there is none, or it was pruned (QUEUE_KEEP_DAYS), or this
                project has no such task, queue or backend any more; or somebody else has made it.
            QueueError: no answer of the master within the timeout.
        """
        number = _number(result_id)
        shown = self._connection.begin(self._connection.limited(self._ask(number)))
        return self._result(number, shown.result())

    async def aget_result(self, result_id: str) -> Any:
        """As `get_result`, without holding up the event loop."""
        number = _number(result_id)
        shown = self._connection.begin(self._connection.limited(self._ask(number)))
        return self._result(number, await shown.arrived())

    def check(self, **kwargs: Any) -> list[Any]:
        """What `manage.py check` says of the options and queues. It asks no master."""
        wrong = [f"OPTIONS has no {name}" for name in sorted({*self.options} - _OWN - {*_SETTINGS})]
        tags: set[str] = set()
        looks: list[Callable[[], object]] = [
            lambda: self._settings,
            lambda: self._timeout_s,
            lambda: self._job,
            lambda: tags.update(tag for queue in self.queues for tag in self._tags(queue)),
        ]
        for look in looks:
            try:
                look()
            except SettingsError as error:
                wrong.append(str(error))
        wrong += [
            f"{tag!r} is no tag: it has {CHARACTERS} alone" for tag in tags if not is_tag(tag)
        ]
        return [Error(f"TASKS[{self.alias!r}]: {text}", id="quartermaster.E001") for text in wrong]

    # --- what is behind it ---

    @property
    def _connection(self) -> Connection:
        """The session of this process. Raises ImproperlyConfigured: an option, or no key."""
        with self._blaming_options():
            return connection_to(self._settings, self._timeout_s)

    @contextlib.contextmanager
    def _blaming_options(self) -> Iterator[None]:
        """Raises ImproperlyConfigured in the place of a SettingsError."""
        try:
            yield
        except SettingsError as error:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: {error}") from None

    @cached_property
    def _settings(self) -> Settings:
        ours = {_SETTINGS[k]: str(v) for k, v in self.options.items() if k in _SETTINGS}
        return load_settings({**os.environ, **ours})

    @cached_property
    def _timeout_s(self) -> float:
        given = self.options.get("TIMEOUT", TIMEOUT_S)
        try:
            timeout_s = float(given)
        except (TypeError, ValueError):
            timeout_s = 0.0
        if not timeout_s > 0.0:
            raise SettingsError(f"TIMEOUT={given!r}: expected a number of seconds above 0")
        return timeout_s

    @cached_property
    def _job(self) -> str:
        job = self.options.get("JOB", JOB)
        if not isinstance(job, str):
            raise SettingsError(f"JOB={job!r}: expected the name of a job")
        return job

    def _queue(self, task: Any) -> Queue:
        connection, name = self._connection, task.queue_name
        found = self._queues.get((connection, name))
        if found is None:
            with self._blaming_options():
                found = Queue(connection, self._job, self.alias, name, sorted(self._tags(name)))
            self._queues = {k: q for k, q in self._queues.items() if k[0] is connection}
            self._queues[connection, name] = found
        return found

    def _tags(self, queue: str) -> list[str]:
        given = self.options.get("TAGS", {})
        plain = [] if queue == PLAIN_QUEUE else [queue]
        tags: Any = given.get(queue, plain) if isinstance(given, Mapping) else None
        tags = [tags] if isinstance(tags, str) else tags
        several = isinstance(tags, list | tuple | set | frozenset)
        if not several or not all(isinstance(tag, str) for tag in tags):
            raise SettingsError(f"TAGS={given!r:.200}: expected a list of tags for each queue")
        return list(tags)

    def _packed(self, task: Any, args: Any, kwargs: Any) -> tuple[Payload, NewBlock]:
        """A task as it travels. Raises InvalidTask, or TypeError of what is no JSON."""
        self.validate_task(task)
        now = timezone.now()
        after = task.run_after
        if isinstance(after, timedelta):
            after = now + after
        payload = Payload(
            task.module_path,
            normalize_json(list(args)),
            normalize_json(dict(kwargs)),
            self.alias,
            task.queue_name,
            int(task.priority),
            get_random_string(TOKEN_CHARS),
            now.isoformat(),
            None if after is None else after.isoformat(),
        )
        body = codec.encode_batch([payload.plain()])
        delay_s = 0.0 if after is None else max(0.0, (after - now).total_seconds())
        return payload, NewBlock(
            1, body, [payload.token], priority=payload.priority, delay_s=delay_s
        )

    async def _ask(self, number: TaskId) -> TaskStatus | None:
        make = partial(AskTask, run=number.run, task=number.task)
        try:
            return (await self._connection.again(make, TaskShown)).task
        except RefusedError:  # no such run, or no such task in it
            return None

    def _result(self, number: TaskId, status: TaskStatus | None) -> Any:
        if status is None or status.key != number.token:
            raise TaskResultDoesNotExist(str(number))
        try:
            asked = Payload.read(codec.decode_batch(status.body)[0])
            return as_it_is(result_of(task_of(asked), asked, number), status)
        except (NoTaskError, ProtocolError, LookupError, TypeError, ValueError) as error:
            raise TaskResultDoesNotExist(f"{number}: {error}") from error


def _number(result_id: object) -> TaskId:
    """Raises TaskResultDoesNotExist when this is no id of ours."""
    number = TaskId.parse(result_id)
    if number is None:
        raise TaskResultDoesNotExist(str(result_id))
    return number


__all__ = ["QuartermasterBackend", "QueueError"]

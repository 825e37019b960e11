"""Which run takes the tasks of a queue: one of each day, that every process of the project feeds.

A run that never ended would keep the results of all times. So the first process that enqueues on a
new day (UTC) begins a run, and says that those before it get no more. These end when their tasks
have ended, and the master prunes them as it does other runs. Knows no Django.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from ..errors import ConnectionLostError, RefusedError, UnreachableError
from ..wire.messages import (
    Accepted,
    AskRun,
    AskRuns,
    AskTask,
    RunList,
    RunShown,
    RunStarted,
    StartRun,
    SubmitTasks,
    TasksEnded,
    TaskShown,
)
from ..wire.records import NewBlock, RunStatus
from .connection import Connection

_TRIES = 10


def today() -> str:
    """The day by which runs go, such as 2026-11-27."""
    return datetime.now(UTC).date().isoformat()


@dataclass(slots=True)
class _Current:
    """The run that takes a queue's tasks. part: above 1 if earlier runs of that day were ended."""

    day: str
    part: int
    run: int


class Queue:
    """One queue of one backend.

    Args:
        connection: the session with the master.
        job: the job that runs its tasks.
        alias, name: those of the backend and the queue.
        needs: the tags that a worker must have.
        day: tells which day it is.
    """

    def __init__(
        self,
        connection: Connection,
        job: str,
        alias: str,
        name: str,
        needs: list[str],
        day: Callable[[], str] = today,
    ) -> None:
        self._connection, self._job, self._needs, self._day = connection, job, needs, day
        self._whose = [f"alias={alias}", f"queue={name}"]
        self._current: _Current | None = None

    async def put(self, task: NewBlock) -> tuple[int, int]:
        """Add one task, which has a key. Returns the numbers of its run and of the task, on disk.

        Raises:
            RefusedError: the master's own line.
            UnreachableError: the master is away, or silent, for the timeout of the connection. The
                line says if nobody knows whether the task is there.
        """
        sent: list[int] = []
        try:
            return await self._connection.limited(self._put(task, sent))
        except ConnectionLostError as error:
            if not sent:
                raise
            raise type(error)(f"{error}; whether the task was enqueued is unknown") from None

    async def _put(self, task: NewBlock, sent: list[int]) -> tuple[int, int]:
        """As `put`. sent: gets the runs that may have the task, though no answer has come."""
        for _ in range(_TRIES):
            current = await self._run()
            run = current.run
            if sent and sent[-1] != run and (found := await self._find(sent[-1], task)):
                return sent[-1], found
            make = partial(SubmitTasks, run=run, blocks=[task])
            await self._connection.reach()
            sent.append(run)
            try:
                accepted = await self._connection.once(make, Accepted)
            except UnreachableError:
                raise
            except ConnectionLostError:
                pass  # its key makes it harmless to say it again
            except RefusedError:
                sent.pop()
                if await self._takes(run):
                    raise
                if current.run == run:  # nobody else has seen it first
                    current.part, current.run = current.part + 1, 0
            else:
                return run, accepted.first or await self._find(run, task)
        raise ConnectionLostError(f"lost the master {_TRIES} times at the same task")

    async def _run(self) -> _Current:
        """The run of today."""
        day = self._day()
        if self._current is None or self._current.day < day:  # a clock may be set back
            self._current = _Current(day, 1, 0)
        current = self._current
        if not current.run:
            part = [f"part={current.part}"] if current.part > 1 else []
            args = [*self._whose, f"day={current.day}", *part]
            key = " ".join(["django", *args, *(f"needs={tag}" for tag in self._needs)])
            make = partial(
                StartRun, job=self._job, args=args, key=key, feeder="clients", needs=self._needs
            )
            started = await self._connection.again(make, RunStarted)
            current.run = started.run
            if started.created:
                await self._end_older(current)
        return current

    async def _end_older(self, current: _Current) -> None:
        """Say that the queue's runs of days before get no more tasks."""
        after, more = 0, True
        while more:
            make = partial(AskRuns, after=after, state="active", job=self._job, ended=0)
            page = await self._connection.again(make, RunList)
            after, more = page.last, not page.complete
            for run in page.runs:
                if self._is_older(run, current):
                    await self._connection.again(partial(TasksEnded, run=run.run), Accepted)

    def _is_older(self, run: RunStatus, current: _Current) -> bool:
        *whose, day = run.args[: len(self._whose) + 1]
        # Days in this form are in the order of their texts. A process whose clock is behind must
        # not end the run of those that are ahead.
        return whose == self._whose and not run.exhausted and day < f"day={current.day}"

    async def _takes(self, run: int) -> bool:
        """Whether a run still takes tasks, so that something else was refused."""
        try:
            shown = await self._connection.again(partial(AskRun, run=run), RunShown)
        except RefusedError:  # it was forgotten
            return False
        return shown.run.state == "active" and not shown.run.exhausted

    async def _find(self, run: int, task: NewBlock) -> int:
        """The number of a task that was accepted already; 0 if it was not."""
        assert task.keys is not None
        make = partial(AskTask, run=run, task=0, key=task.keys[0])
        try:
            return (await self._connection.again(make, TaskShown)).task.task
        except RefusedError:
            return 0

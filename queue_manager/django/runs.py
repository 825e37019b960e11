"""Which run takes the tasks of a queue: one of each day, that every process of the project feeds.

A run that never ended would keep the results of all times. So the first process that enqueues on a
new day (UTC) begins a run, and says that those of earlier days get no more tasks. These end when
their tasks have ended, and the master prunes them as it does other runs. Knows no Django.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from ..errors import ConnectionLostError, QueueError, RefusedError, UnreachableError
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

_OTHERS_S = 60.0
"""How long a process waits before it looks for runs of earlier days, if it has not begun the run of
the day.

The process that has begun it looks at once. But that process may end too early, or the answer that
says that the run is new may be lost. The others wait because clocks differ: a process whose clock
is a little behind still needs a run of the day before, and would lose it to each of the others.
"""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 600.0


def today() -> str:
    """The day by which runs go, such as 2026-11-27."""
    return datetime.now(UTC).date().isoformat()


@dataclass(slots=True)
class _Current:
    """The run that takes a queue's tasks.

    part: above 1 if earlier runs of that day were ended. run: 0 while it is not known. looks:
    whether this process has begun to look for runs of earlier days.
    """

    day: str
    part: int
    run: int
    looks: bool = False


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
        raise ConnectionLostError(f"lost the master, or the day's run, {_TRIES} times in a row")

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
            if not current.looks:
                current.looks = True
                pause_s = 0.0 if started.created else _OTHERS_S
                self._connection.beside(self._end_older(current, pause_s))
        return current

    async def _end_older(self, current: _Current, pause_s: float) -> None:
        """Have the queue's runs of earlier days end. Repeat it until they do, or a new day begins.

        No task needs this, so none waits for it or fails with it. pause_s: when to begin.
        """
        while self._current is current and not self._connection.closed:
            await asyncio.sleep(pause_s)
            with contextlib.suppress(QueueError):
                if await self._connection.limited(self._end_each_older(current)):
                    return
            pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    async def _end_each_older(self, current: _Current) -> bool:
        """Say that the runs of earlier days get no more tasks. Returns whether all of them do."""
        after, more, all_end = 0, True, True
        while more:
            make = partial(AskRuns, after=after, state="active", job=self._job, ended=0)
            page = await self._connection.again(make, RunList)
            after, more = page.last, not page.complete
            for run in page.runs:
                if self._is_older(run, current):
                    all_end &= await self._end(run.run)
        return all_end

    async def _end(self, run: int) -> bool:
        """Say that a run gets no more tasks. Returns False if the master refuses that."""
        try:
            await self._connection.again(partial(TasksEnded, run=run), Accepted)
        except RefusedError:  # it may have been cancelled or forgotten just now
            return False
        return True

    def _is_older(self, run: RunStatus, current: _Current) -> bool:
        at = len(self._whose)
        if run.exhausted or run.args[:at] != self._whose:
            return False
        # Anybody may start runs of this job, with any arguments.
        day = run.args[at] if len(run.args) > at else ""
        # Days in this form are in the order of their texts. A process whose clock is behind must
        # not end the run of those that are ahead.
        return "day=" < day < f"day={current.day}"

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

"""An `async def work` in a slot: many tasks in flight on one event loop.

Owns the loop, how many tasks fly, and their time limit. Before each step of a coroutine the
shared page says whose step it is, so that a step that kills the process is charged to its own task.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any

from queue_manager import Result, codec
from queue_manager.job.loading import Job
from queue_manager.ranges import Ranges
from queue_manager.wire.records import Failed, Outcome

from ..ipc import outcomes
from ..ipc.pipe import STRAY, Cancel, Give, Report, SlotEnd
from ..ipc.shared_page import (
    CANCEL_S,
    LIMIT,
    NONE,
    OPENED,
    POSITION,
    STARTED,
    STEP,
    Row,
    SharedPage,
)
from .reporter import FLUSH_S
from .stdio import TaskOutput, running
from .work_loop import copies, payloads_of

LONGEST_SHARE_S = 1.0
"""A task counts as no longer than this, in seconds, for the size of later leases."""


class Steps:
    """A coroutine that tells the shared page when it is the one that runs.

    Args:
        coroutine: of the task.
        row: of its lease.
        position: of the task.
        since: when the task started (monotonic).
        timeout_s: its limit of time, if it has one.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        row: Row,
        position: int,
        since: float,
        timeout_s: float | None,
    ) -> None:
        self._coroutine, self._row, self._position = coroutine, row, position
        self._since, self._timeout_s = since, timeout_s or 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        step = self._coroutine.send
        argument: Any = None
        while True:
            # The limit counts from the task's start; a step that begins behind it, such as what a
            # cancelled coroutine puts in order, has `CANCEL_S` of its own.
            self._row.times[STEP] = max(self._since, time.monotonic() - self._timeout_s)
            self._row.numbers[POSITION] = self._position
            try:
                waiting = step(argument)
            except StopIteration as end:
                return end.value
            finally:
                if (
                    copies
                ):  # the shared page, and what the event loop waits at, are still its parent's
                    os._exit(STRAY)
                self._row.numbers[POSITION] = NONE
            try:
                argument = yield waiting
                step = self._coroutine.send
            except BaseException as error:
                argument, step = error, self._coroutine.throw


class _Flight:
    """One lease in the air: what flies, and what landed and is not yet reported."""

    def __init__(self, give: Give, row: Row, payloads: Sequence[Any]) -> None:
        self.give, self.lease, self.row, self.payloads = give, give.lease, row, payloads
        self.position = give.lease.start
        self.flying: dict[int, float] = {}
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.cancelled: set[int] = set()
        self.landed: list[Outcome] = []
        row.numbers[POSITION] = NONE

    @property
    def over(self) -> bool:
        """Whether all tasks that could start have landed."""
        return not self.flying and self.position >= self.end

    @property
    def end(self) -> int:
        """Where the lease ends now: the supervisor may have taken the rest back."""
        return min(self.lease.stop, self.row.numbers[LIMIT])

    def start(self) -> tuple[int, Any] | None:
        """The next task, marked as started; None when there is none."""
        position = self.position
        if position >= self.lease.stop:
            return None
        self.row.numbers[OPENED] = position + 1  # before the limit is read: see `shared_page`
        if position >= self.end:
            return None
        self.position += 1
        self.flying[position] = time.monotonic()
        self._mark()
        return position, self.payloads[position - self.lease.start]

    def cancel(self, ranges: Ranges) -> None:
        """Let go of these tasks, also of those whose first step is still to come."""
        for position in list(self.flying):
            if any(start <= position < stop for start, stop in ranges):
                self.cancelled.add(position)
                if position in self.tasks:
                    self.tasks[position].cancel()

    def land(self, tail: TaskOutput, value: Any, error: BaseException | None, share: int) -> None:
        """Record how a task ended.

        A task's time is divided by the number of tasks that fly: the master sizes leases by it,
        and a lease of 0.1 s of work must keep the loop as busy as the slot's concurrency says.
        """
        number, max_bytes, position = self.lease.number, self.give.max_bytes, tail.position
        took_s = min(time.monotonic() - self.flying[position], LONGEST_SHARE_S) / share
        found: list[Outcome]
        if error is not None:
            found = [outcomes.failed(number, position, error, took_s, tail.text)]
        elif isinstance(value, Result):
            found = [outcomes.branch(number, position, value, took_s, max_bytes)]
        else:
            found = outcomes.done(number, position, [value], took_s, max_bytes)
        self.landed += found  # from here on nothing of the job's is called
        del self.flying[position]
        self.tasks.pop(position, None)
        self._mark()

    def give_up(self, tail: TaskOutput) -> None:
        """Record that a task took too long."""
        position = tail.position
        took_s = time.monotonic() - self.flying.pop(position)
        self.tasks.pop(position, None)
        line = f"timed out after {self.lease.timeout_s:g} s"
        number = self.lease.number
        self.landed.append(Failed(number, position, line, took_s=took_s, printed=tail.text))

    def _mark(self) -> None:
        self.row.times[STARTED] = next(iter(self.flying.values()), time.monotonic())


class _Late:
    """The limit of one task: cancelled behind it, and given up where that does not help.

    Args:
        hangs: called when the task has not ended so long after it was cancelled (`CANCEL_S`).
    """

    def __init__(
        self, timeout_s: float, task: asyncio.Task[Any], hangs: Callable[[], None]
    ) -> None:
        self._task, self._hangs, self._fired = task, hangs, False
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._cancel)

    def over(self) -> bool:
        """The task has ended. Whether that was too late."""
        self._timer.cancel()
        return self._fired

    def _cancel(self) -> None:
        self._fired = True
        self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(CANCEL_S, self._hangs)


class AsyncSlot:
    """The event loop of a job whose `work` is a coroutine function."""

    def __init__(self, job: Job, end: SlotEnd, shared_page: SharedPage) -> None:
        self._job, self._end, self._shared_page = job, end, shared_page
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._factory = self._loop.get_task_factory()
        self._flights: list[_Flight] = []
        self._startable: deque[_Flight] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = 1
        self._alone = False
        self._leaving = False
        self._flush_due: asyncio.TimerHandle | None = None
        self._flush_soon = False
        self._ended: asyncio.Future[bool] | None = None

    def set_up(self) -> None:
        """Run `setup` in the loop, so that it can make what belongs to one."""
        self._runner.run(self._set_up())
        self._factory = self._loop.get_task_factory()

    async def _set_up(self) -> None:
        made = self._job.setup() if self._job.setup is not None else None
        if inspect.isawaitable(made):
            await made

    def run(self, give: Give) -> bool:
        """Run leases until none is left. False: this process must end."""
        self._loop.set_task_factory(self._factory)  # a task may have set one that makes no tasks
        return self._runner.run(self._run(give))

    async def _run(self, give: Give) -> bool:
        self._ended = self._loop.create_future()
        self._loop.add_reader(self._end.sock, self._or_end, self._readable)
        self._take(give)
        self._obey()  # what came together with the first
        try:
            return await self._ended
        finally:
            self._loop.remove_reader(self._end.sock)

    def _readable(self) -> None:
        if not self._end.read():
            self._end_with(False)
        elif self._ended is not None and not self._ended.done():
            self._obey()

    def _obey(self) -> None:
        """Act on all that was read."""
        for order in self._end.taken():
            if isinstance(order, Cancel):
                self._cancel(order)
            else:
                self._take(order)

    def _take(self, give: Give) -> None:
        before, known = self._limit, bool(self._flights)
        self._alone = give.alone
        self._limit = 1 if give.alone else self._job.options.concurrency
        payloads, _ = payloads_of(give.lease)
        flight = _Flight(give, self._shared_page.rows[give.row], payloads)
        self._flights.append(flight)
        self._startable.append(flight)
        if self._limit != before or not known:
            self._end.send(Report(give.lease.number, [], concurrency=self._limit))
        self._start()

    def _cancel(self, order: Cancel) -> None:
        for flight in self._flights:
            if flight.lease.number == order.lease:
                flight.cancel(order.ranges)
                self._plan_flush(flight)  # it may have nothing left

    def _start(self) -> None:
        """Let as many fly as may. This is run for every task: it looks at no lease in vain."""
        while self._startable and len(self._tasks) < self._limit and not self._leaving:
            flight = self._startable[0]
            found = flight.start()
            if found is None:  # nor ever: an end only comes nearer
                self._startable.popleft()
                self._plan_flush(flight)
                continue
            # Not by `create_task`: the job may have given the loop a factory of its own.
            task = asyncio.Task(self._one(flight, *found), loop=self._loop)
            self._tasks.add(task)
            task.add_done_callback(partial(self._or_end, self._landed, flight, found[0]))

    def _landed(self, flight: _Flight, position: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if position in flight.flying:  # it has ended without a record
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            flight.land(TaskOutput(flight.lease.number, position), None, error, self._limit)
        self._plan_flush(flight)
        if self._alone:  # a broken pipe must show before the next starts
            self._flush()
        self._start()

    def _or_end(self, act: Callable[..., None], *args: Any) -> None:
        """Call this; an error ends the slot, which would wait for ever after it."""
        try:
            act(*args)
        except BaseException as error:
            if self._ended is not None and not self._ended.done():
                told = RuntimeError(f"the slot's loop has failed: {outcomes.one_line(error)}")
                told.__cause__ = error
                self._ended.set_exception(told)

    async def _one(self, flight: _Flight, position: int, payload: Any) -> None:
        """One task from its start to its record.

        A job may cancel the task that runs this, at any moment: what counts is the record.
        """
        tail = TaskOutput(flight.lease.number, position)
        if position in flight.cancelled:
            flight.land(tail, None, asyncio.CancelledError(), self._limit)
            return
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine
        flight.tasks[position] = task
        late = None
        if flight.lease.timeout_s is not None:
            hangs = partial(self._or_end, self._hangs, flight, tail)
            late = _Late(flight.lease.timeout_s, task, hangs)
        value, error = await self._outcome(flight, tail, payload)
        if late is None or not late.over():
            flight.land(tail, value, error, self._limit)
        elif position in flight.flying:  # else that was said while it did not end
            flight.give_up(tail)

    def _hangs(self, flight: _Flight, tail: TaskOutput) -> None:
        """A coroutine does not end although it was cancelled."""
        flight.give_up(tail)
        self._leave()

    async def _outcome(
        self, flight: _Flight, tail: TaskOutput, payload: Any
    ) -> tuple[Any, BaseException | None]:
        running.set(tail)
        try:
            if type(payload) is codec.Undecodable:
                return None, payload.error
            work, position = self._job.work(payload), tail.position
            since, timeout_s = flight.flying[position], flight.lease.timeout_s
            value = await Steps(work, flight.row, position, since, timeout_s)
            return (value if isinstance(value, Result) else codec.freeze(value)), None
        except BaseException as error:  # also SystemExit: `work` does not end the slot
            return None, error

    def _plan_flush(self, flight: _Flight) -> None:
        """Report soon: at once where a lease is over, for the next one is asked for by that."""
        soon = flight.over
        if self._flush_due is not None:
            if self._flush_soon or not soon:
                return
            self._flush_due.cancel()
        self._flush_soon = soon
        wait_s = 0.0 if soon else FLUSH_S
        self._flush_due = self._loop.call_later(wait_s, self._or_end, self._flush)

    def _flush(self) -> None:
        self._flush_due, self._flush_soon = None, False
        reports = []
        for flight in list(self._flights):
            found, flight.landed = outcomes.merged(flight.landed), []
            if flight.over:
                self._flights.remove(flight)
                if flight in self._startable:  # its row is another lease's from now on
                    self._startable.remove(flight)
            if found or flight.over:
                number, over = flight.lease.number, flight.over
                reports.append(Report(number, found, over, self._leaving, self._limit))
        self._end.send(*reports)
        if not self._flights:
            self._end_with(not self._leaving)

    def _leave(self) -> None:
        """A coroutine does not end: report what landed, and end without it and its neighbours.

        The lease of the coroutine may be over with that report: it says already that we leave.
        """
        self._leaving = True
        self._flush()
        for flight in self._flights:
            self._end.send(Report(flight.lease.number, [], leaving=True))
        self._end_with(False)

    def _end_with(self, go_on: bool) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(go_on)

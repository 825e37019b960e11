"""Runs an `async def work` in a slot: many tasks at a time on one event loop.

This module owns the loop, how many tasks run, and when outcomes are reported.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from queue_manager import Result, codec
from queue_manager.job import current
from queue_manager.job.current import CurrentTask
from queue_manager.job.loading import Job

from ..ipc import outcomes
from ..ipc.pipe import Cancel, Give, Report, SlotEnd
from ..ipc.shared_page import SharedPage
from .reporter import FLUSH_S
from .running_lease import RunningLease, RunningTask
from .stdio import running_output
from .steps import Steps
from .time_limit import TimeLimit
from .work_loop import payloads_of


class AsyncSlot:
    """The event loop of a job whose `work` is a coroutine function."""

    def __init__(self, job: Job, end: SlotEnd, shared_page: SharedPage) -> None:
        self._job, self._end, self._shared_page = job, end, shared_page
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._factory = self._loop.get_task_factory()
        self._leases: list[RunningLease] = []
        self._startable: deque[tuple[RunningLease, TimeLimit | None]] = deque()
        self._limits: dict[int, TimeLimit] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._concurrency = 1
        self._alone = False
        self._leaving = False
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flush_at_once = False
        self._ended: asyncio.Future[bool] | None = None

    def set_up(self) -> None:
        """Run `setup` in the loop, so that it can make objects that belong to the loop."""
        self._runner.run(self._set_up())
        self._factory = self._loop.get_task_factory()

    async def _set_up(self) -> None:
        made = self._job.setup() if self._job.setup is not None else None
        if inspect.isawaitable(made):
            await made

    def run(self, give: Give) -> bool:
        """Run leases until none is left. False: this process must end."""
        self._loop.set_task_factory(self._factory)  # a task may have set another one
        return self._runner.run(self._run(give))

    async def _run(self, give: Give) -> bool:
        self._ended = self._loop.create_future()
        self._loop.add_reader(self._end.sock, self._or_end, self._readable)
        self._take(give)
        self._obey()  # on orders that came with the first lease
        try:
            return await self._ended
        finally:
            self._loop.remove_reader(self._end.sock)

    # --- orders of the supervisor ---

    def _readable(self) -> None:
        if not self._end.read():
            self._end_with(False)
        elif self._ended is not None and not self._ended.done():
            self._obey()

    def _obey(self) -> None:
        """Act on all orders that were read."""
        for order in self._end.taken():
            if isinstance(order, Cancel):
                self._cancel(order)
            else:
                self._take(order)

    def _take(self, give: Give) -> None:
        before, known = self._concurrency, bool(self._leases)
        self._alone = give.alone
        self._concurrency = 1 if give.alone else self._job.options.concurrency
        payloads, _ = payloads_of(give.lease)
        lease = RunningLease(give, self._shared_page.rows[give.row], payloads)
        self._leases.append(lease)
        self._startable.append((lease, self._time_limit(lease)))
        if self._concurrency != before or not known:
            self._end.send(Report(give.lease.number, [], concurrency=self._concurrency))
        self._start()

    def _time_limit(self, lease: RunningLease) -> TimeLimit | None:
        if lease.given.timeout_s is None:
            return None
        hangs = partial(self._or_end, self._hangs, lease)
        limit = TimeLimit(lease.given.timeout_s, lease.running, hangs)
        self._limits[lease.given.number] = limit
        return limit

    def _cancel(self, order: Cancel) -> None:
        for lease in self._leases:
            if lease.given.number == order.lease:
                lease.cancel(order.ranges)
                self._plan_flush(lease)  # it may have nothing left

    # --- tasks ---

    def _start(self) -> None:
        """Start as many tasks as may run. It is called for each task, so it looks at few leases."""
        while self._startable and len(self._tasks) < self._concurrency and not self._leaving:
            lease, limit = self._startable[0]
            running = lease.start()
            if running is None:  # and never will be: a lease's end only comes nearer
                self._startable.popleft()
                self._plan_flush(lease)
                continue
            # `create_task` would use a task factory that the job may have set.
            task = asyncio.Task(self._one(lease, running, limit), loop=self._loop)
            running.task = task
            self._tasks.add(task)
            task.add_done_callback(partial(self._or_end, self._task_ended, lease, running))

    async def _one(
        self, lease: RunningLease, running: RunningTask, limit: TimeLimit | None
    ) -> None:
        """Run one task from its first step to its record.

        A job may cancel the asyncio task that runs this at any moment, so only the record counts.
        """
        if limit is not None:
            limit.begin(running)
        value, error = await self._outcome(lease, running)
        if not running.is_late:
            lease.end(running, value, error, self._concurrency)
        elif running.position in lease.running:  # else `_hangs` has recorded it
            lease.time_out(running)

    async def _outcome(
        self, lease: RunningLease, running: RunningTask
    ) -> tuple[Any, BaseException | None]:
        running_output.set(running.output)
        given, at = lease.given, running.position
        task = (given.run, given.first + at, given.attempts + 1, given.reason)
        current.running.set(partial(CurrentTask, *task))
        payload = running.payload
        try:
            if type(payload) is codec.Undecodable:
                return None, payload.told("the input", "worker")
            work, since = self._job.work(payload), running.started
            value = await Steps(work, lease.row, running.position, since, lease.given.timeout_s)
            return (value if isinstance(value, Result) else codec.freeze(value)), None
        except BaseException as error:  # SystemExit, too: `work` does not end the slot
            return None, error

    def _task_ended(
        self, lease: RunningLease, running: RunningTask, task: asyncio.Task[None]
    ) -> None:
        self._tasks.discard(task)
        if running.position in lease.running:  # the asyncio task has ended without a record
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            lease.end(running, None, error, self._concurrency)
        self._plan_flush(lease)
        if self._alone:  # so that a broken pipe shows before the next task starts
            self._flush()
        self._start()

    def _hangs(self, lease: RunningLease, running: RunningTask) -> None:
        """A cancelled coroutine does not end: record its task, and leave."""
        lease.time_out(running)
        self._leave()

    def _or_end(self, act: Callable[..., None], *args: Any) -> None:
        """Call `act`. An error of it ends the slot, which would wait for ever otherwise."""
        try:
            act(*args)
        except BaseException as error:
            if self._ended is not None and not self._ended.done():
                failure = RuntimeError(f"the slot's loop has failed: {outcomes.one_line(error)}")
                failure.__cause__ = error
                self._ended.set_exception(failure)

    # --- reports ---

    def _plan_flush(self, lease: RunningLease) -> None:
        """Report soon; at once if the lease has ended, because the next one is asked for then."""
        at_once = lease.finished
        if self._flush_timer is not None:
            if self._flush_at_once or not at_once:
                return
            self._flush_timer.cancel()
        self._flush_at_once = at_once
        wait_s = 0.0 if at_once else FLUSH_S
        self._flush_timer = self._loop.call_later(wait_s, self._or_end, self._flush)

    def _flush(self) -> None:
        self._flush_timer, self._flush_at_once = None, False
        reports = []
        for lease in list(self._leases):
            records, finished = lease.take(), lease.finished
            if finished:
                self._leases.remove(lease)
                limit = self._limits.pop(lease.given.number, None)
                if limit is not None:
                    limit.close()
                # The row belongs to another lease from now on.
                self._startable = deque(one for one in self._startable if one[0] is not lease)
            if records or finished:
                number = lease.given.number
                reports.append(Report(number, records, finished, self._leaving, self._concurrency))
        self._end.send(*reports)
        if not self._leases:
            self._end_with(not self._leaving)

    def _leave(self) -> None:
        """Report the tasks that have ended, and end the slot. All other tasks go back.

        The first report may be the last one of its lease, so it says already that the slot leaves.
        """
        self._leaving = True
        self._flush()
        for lease in self._leases:
            self._end.send(Report(lease.given.number, [], leaving=True))
        self._end_with(False)

    def _end_with(self, go_on: bool) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(go_on)

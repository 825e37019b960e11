"""A run with more waiting tasks than its runner would submit.

The master holds a runner back at 100,000 tasks ahead of its workers. So a second session submits
tasks to the open run without waiting for the answers, and collects their results.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.wire.messages import AskRun, Collect, Page, RunShown, SubmitTasks
from queue_manager.wire.records import BLOCK_TASKS, NewBlock, RunStatus

from . import run
from .processes import DEADLINE_S
from .session import client, run_status

SUBMIT_TASKS = 4 * BLOCK_TASKS
PACE_TASKS = 4 * SUBMIT_TASKS
_LOOK_S = 0.01
_OWN_SEQ = 2**32  # above every number of the link, which counts from 1


class Backlog:
    """One run with many waiting tasks.

    Args:
        folder: where the fifo `until` is made.
        port: the port of the master.
        job: a job that squares numbers, and whose run stays open until somebody writes to `until`.
        block: how many tasks a block has.
        delay_s: the delay of each task, in seconds.
        groups: how many groups the blocks are dealt out to; 0 means no group.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        job: str = "patient",
        block: int = BLOCK_TASKS,
        delay_s: float = 0.0,
        groups: int = 0,
    ) -> None:
        until = folder / "until"  # nobody ever writes to it
        os.mkfifo(until)
        self.run = run.start(port, [job, f"until={until}"])
        self._port, self._block, self._delay_s, self._groups = port, block, delay_s, groups
        self._seq = _OWN_SEQ
        self._submitted = self._done = self._after = 0

    def fill(self, waiting: int) -> None:
        """Submit until at least `waiting` tasks wait on disk. No worker may be connected."""
        asyncio.run(self._fill(waiting))

    def hold(self, waiting: int, warm_up: int, count: int) -> float:
        """Collect results and submit as many new tasks, beside a worker. Gives tasks per second."""
        return asyncio.run(self._hold(waiting, warm_up, count))

    def catch_up(self) -> None:
        """Collect all results that there are, so that the next `hold` begins with new tasks."""
        asyncio.run(self._catch_up())

    def status(self) -> RunStatus:
        """The status of the run."""
        return asyncio.run(run_status(self._port, self.run))

    def watch_rate(self, warm_up_s: float, measure_s: float) -> float:
        """Tasks per second of a worker during `measure_s`, or until no task waits any more."""
        began, before = self._watched(warm_up_s)
        ended, after = self._watched(measure_s)
        return (after - before) / (ended - began)

    def _watched(self, longest_s: float) -> tuple[float, int]:
        """Wait until no task waits, at most `longest_s`. Gives the time, and the tasks done."""
        status = asyncio.run(self._watch(time.monotonic() + longest_s))
        return time.monotonic(), status.done

    async def _watch(self, until: float) -> RunStatus:
        async with client(self._port) as link:
            while True:
                status = await self._status(link)
                if time.monotonic() >= until or not status.waiting + status.leased:
                    return status
                await asyncio.sleep(_LOOK_S)

    async def _fill(self, waiting: int) -> None:
        status = await run_status(self._port, self.run)
        self._submitted = status.tasks
        goal = status.tasks + waiting - status.waiting - status.delayed
        while self._submitted < goal:
            # The master keeps an answer for each submit until the session ends. With one session
            # for all tasks, these answers would be most of its memory.
            async with client(self._port, "runner") as link:
                paced = min(goal, self._submitted + PACE_TASKS)
                while self._submitted < paced:
                    self._submit(link, min(paced - self._submitted, SUBMIT_TASKS))
                await self._until(link, partial(_has, tasks=paced))

    async def _hold(self, waiting: int, warm_up: int, count: int) -> float:
        began_at = end = 0.0
        begin = self._done + warm_up
        async with client(self._port, "runner") as link, asyncio.timeout(DEADLINE_S):
            self._submitted = (await self._status(link)).tasks
            page = await self._page(link)
            while True:
                following = asyncio.create_task(self._page(link, page.last))
                await asyncio.sleep(0)  # the master makes the next page meanwhile
                self._check(page)
                end = time.monotonic()
                if not began_at and self._done >= begin:
                    began_at, begin = end, self._done
                while waiting - (self._submitted - self._done) >= BLOCK_TASKS:
                    self._submit(link, BLOCK_TASKS)
                if began_at and self._done >= begin + count:
                    following.cancel()
                    return (self._done - begin) / (end - began_at)
                page = await following

    async def _catch_up(self) -> None:
        status = await run_status(self._port, self.run)
        async with client(self._port, "runner") as link:
            while self._done < status.done:
                self._check(await self._page(link))

    async def _until(self, link: Link, holds: Callable[[RunStatus], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds(await self._status(link)):
                await asyncio.sleep(_LOOK_S)

    def _submit(self, link: Link, tasks: int) -> None:
        """Send `tasks` tasks in blocks. The last block may be short."""
        blocks = []
        for first in range(self._submitted, self._submitted + tasks, self._block):
            count = min(self._block, self._submitted + tasks - first)
            body = codec.encode_batch(list(range(first, first + count)))
            group = f"group {first // self._block % self._groups}" if self._groups else None
            blocks.append(NewBlock(count, body, group=group, delay_s=self._delay_s))
        self._seq += 1
        self._submitted += tasks
        link.send(SubmitTasks(self._seq, self.run, blocks))

    async def _page(self, link: Link, after: int | None = None) -> Page:
        behind = self._after if after is None else after
        return await link.request(lambda seq: Collect(seq, self.run, behind), Page)

    async def _status(self, link: Link) -> RunStatus:
        return (await link.request(lambda seq: AskRun(seq, self.run), RunShown)).run

    def _check(self, page: Page) -> None:
        for ended in page.outcomes:
            payloads = codec.decode_batch(page.bodies[ended.first], ended.start, ended.stop)
            if codec.decode_batch(ended.results) != [n * n for n in payloads]:
                raise RuntimeError(f"wrong results from task {ended.first} on")
            self._done += len(payloads)
        self._after = page.last


def _has(status: RunStatus, tasks: int) -> bool:
    return status.tasks >= tasks

"""Quartermaster: a session that feeds an open run and collects, as a client library does.

One by one: each task is a block of its own, and the next is sent after the answer, which comes
after the fsync. In bulk: blocks of up to 1,024 tasks, four a message, four messages on their way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.errors import QueueError
from queue_manager.wire.messages import Accepted, Collect, Page, SubmitTasks
from queue_manager.wire.records import BLOCK_TASKS, NewBlock

from ...rig.session import client, start_run

T = TypeVar("T")

FIRST_TASK = 1
BLOCKS, MESSAGES = 4, 4
BLOCK_BYTES = 60_000
_RETRY_S = 0.02


class Client:
    """Keeps one question for results open, so that they come as soon as they are on disk."""

    def __init__(self) -> None:
        self._port = int(os.environ["PEER_URL"].rpartition(":")[2])
        self._until = Path(os.environ["PEER_FOLDER"]) / "until"
        os.mkfifo(self._until)
        self._loop = asyncio.new_event_loop()
        self._run = self._do(start_run(self._port, ["mixed", f"until={self._until}"]))
        self._session = client(self._port, "runner")
        self._link: Link = self._do(self._session.__aenter__())
        self._asking: asyncio.Task[Page] | None = None
        self._next, self._after = FIRST_TASK, 0
        self._results: dict[int, Any] = {}

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        return self._do(self._one_by_one(_named(work, payloads)))

    def in_bulk(self, work: str, payloads: list[Any]) -> list[int]:
        return self._do(self._in_bulk(_named(work, payloads)))

    def collect(self, handles: list[int]) -> list[Any]:
        return self._do(self._collect(handles))

    def peek(self, handle: int) -> Any:
        if handle not in self._results:
            self._do(self._look())
        return self._results.get(handle)

    def close(self) -> None:
        self._do(self._session.__aexit__(None, None, None))

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    async def _one_by_one(self, payloads: list[Any]) -> list[int]:
        self._ask()
        await asyncio.sleep(0)
        for payload in payloads:
            await self._submit(_blocks([payload], 1))
        return self._numbers(len(payloads))

    async def _in_bulk(self, payloads: list[Any]) -> list[int]:
        self._ask()
        self._feeding = self._loop.create_task(self._feed(payloads))
        return self._numbers(len(payloads))

    async def _feed(self, payloads: list[Any]) -> None:
        tasks = max(1, min(BLOCK_TASKS, BLOCK_BYTES // len(codec.encode_batch(payloads[:1]))))
        room = asyncio.Semaphore(MESSAGES)
        async with asyncio.TaskGroup() as sending:
            for first in range(0, len(payloads), BLOCKS * tasks):
                await room.acquire()
                part = payloads[first : first + BLOCKS * tasks]
                sent = sending.create_task(self._submit(_blocks(part, tasks)))
                sent.add_done_callback(lambda _: room.release())

    async def _submit(self, blocks: list[NewBlock]) -> None:
        await self._link.request(lambda seq: SubmitTasks(seq, self._run, blocks), Accepted)

    def _numbers(self, count: int) -> list[int]:
        first, self._next = self._next, self._next + count
        return list(range(first, self._next))

    async def _collect(self, handles: list[int]) -> list[Any]:
        for handle in handles:
            while handle not in self._results:
                self._take(await self._ask())
        return [self._results.pop(handle) for handle in handles]

    async def _look(self) -> None:
        """Take what has come; ask again where the connection has ended meanwhile."""
        await asyncio.sleep(_RETRY_S)
        asking = self._ask()
        if asking.done():
            try:
                self._take(asking.result())
            except QueueError:
                self._asking = None

    def _ask(self) -> asyncio.Task[Page]:
        if self._asking is None:
            self._asking = self._loop.create_task(
                self._link.request(lambda seq: Collect(seq, self._run, self._after), Page)
            )
        return self._asking

    def _take(self, page: Page) -> None:
        self._asking, self._after = None, page.last
        self._ask()
        for ended in page.outcomes:
            first = ended.first + ended.start
            self._results.update(enumerate(codec.decode_batch(ended.results), first))


def _named(work: str, payloads: list[Any]) -> list[Any]:
    """Payloads as the job `mixed` has them: a number is squared, a text is measured."""
    if work in ("square", "sized"):
        return payloads
    return [(work, payload) for payload in payloads]


def _blocks(payloads: list[Any], tasks: int) -> list[NewBlock]:
    parts = (payloads[first : first + tasks] for first in range(0, len(payloads), tasks))
    return [NewBlock(len(part), codec.encode_batch(part)) for part in parts]

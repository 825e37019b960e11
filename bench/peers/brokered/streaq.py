"""streaQ: two workers at its default of sixteen tasks at a time each; one at a time in the faults.

A task is a coroutine that does the work in place, so a worker does one at a time. `enqueue_many` is
its bulk call. uvloop, which its documentation recommends, is in the lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import anyio
from anyio.from_thread import start_blocking_portal
from streaq import Worker

from bench.peers.work import WORK

worker = Worker(
    redis_url=os.environ["PEER_URL"],
    concurrency=int(os.environ.get("PEER_AT_ONCE") or 16),
    anyio_kwargs={"use_uvloop": True},
)
TIMEOUT_S = 60


def _task(name: str, function: Callable[[Any], Any]) -> Any:
    async def task(payload: Any) -> Any:
        return function(payload)

    return worker.task(name=name)(task)


TASKS = {name: _task(name, function) for name, function in WORK.items()}


class Client:
    def __init__(self) -> None:
        self._portal = start_blocking_portal("asyncio", {"use_uvloop": True})
        portal = self._portal.__enter__()
        self._call: Any = portal.call
        self._entered = portal.wrap_async_context_manager(worker)
        self._entered.__enter__()

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        async def submit() -> list[Any]:
            return [await TASKS[work].enqueue(payload) for payload in payloads]

        return list(self._call(submit))

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        tasks = [TASKS[work].enqueue(payload) for payload in payloads]
        self._call(worker.enqueue_many, tasks)
        return tasks

    def collect(self, handles: list[Any]) -> list[Any]:
        async def collect() -> list[Any]:
            return [(await handle.result(TIMEOUT_S)).result for handle in handles]

        return list(self._call(collect))

    def peek(self, handle: Any) -> Any:
        async def peek() -> Any:
            with anyio.move_on_after(0.02):
                return (await handle.result(5)).result

        return self._call(peek)

    def close(self) -> None:
        self._entered.__exit__(None, None, None)
        self._portal.__exit__(None, None, None)

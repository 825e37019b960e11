"""streaQ: two workers at its default of sixteen tasks at a time each; one at a time in the faults.

A task is a coroutine that does the work in place, so a worker does one at a time. `enqueue_many` is
its bulk call. uvloop, which its documentation recommends, is in the lock. `Task.result` takes 0.1 s
for the subscription in its Redis client: results are read from where the worker keeps them instead.
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
_READ = 100
_POLL_S = 0.001


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
        return list(self._call(_collect, [handle.id for handle in handles]))

    def peek(self, handle: Any) -> Any:
        return self._call(_read, [handle.id]).get(handle.id)

    def close(self) -> None:
        self._entered.__exit__(None, None, None)
        self._portal.__exit__(None, None, None)


async def _collect(ids: list[str]) -> list[Any]:
    found: dict[str, Any] = {}
    left = ids
    with anyio.fail_after(TIMEOUT_S):
        while left:
            found |= (done := await _read(left[:_READ]))
            left = [id for id in left[:_READ] if id not in done] + left[_READ:]
            if not done:
                await anyio.sleep(_POLL_S)
    return [found[id] for id in ids]


async def _read(ids: list[str]) -> dict[str, Any]:
    raw = await worker.redis.mget([worker.results_key + id for id in ids])
    there = [(id, text) for id, text in zip(ids, raw, strict=True) if text is not None]
    return {id: (await worker.deserialize(text))["r"] for id, text in there}

"""SAQ: two workers at its default of ten jobs at a time each; one at a time in the faults.

A job's function is a coroutine that does the work in place, so a worker does one at a time. `map`
is its bulk call. The client polls for results as `map` does, with jobs read a hundred at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from saq import Queue

from bench.peers.work import WORK

queue = Queue.from_url(os.environ["PEER_URL"])
TIMEOUT_S = 60.0
_READ = 100
_POLL_S = 0.001


def _job(name: str, function: Callable[[Any], Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def job(ctx: Any, *, payload: Any) -> Any:
        return function(payload)

    job.__qualname__ = job.__name__ = name
    return job


settings = {
    "queue": queue,
    "functions": [(name, _job(name, function)) for name, function in WORK.items()],
    "concurrency": int(os.environ.get("PEER_AT_ONCE") or 10),
}


class Client:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        async def submit() -> list[Any]:
            return [await queue.enqueue(work, payload=payload) for payload in payloads]

        return self._loop.run_until_complete(submit())

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        async def submit() -> list[Any]:
            sent = (queue.enqueue(work, payload=payload) for payload in payloads)
            return list(await asyncio.gather(*sent))

        return self._loop.run_until_complete(submit())

    def collect(self, handles: list[Any]) -> list[Any]:
        return self._loop.run_until_complete(self._collect([handle.key for handle in handles]))

    def peek(self, handle: Any) -> Any:
        job = self._loop.run_until_complete(queue.job(handle.key))
        return None if job is None else job.result

    def close(self) -> None:
        self._loop.run_until_complete(queue.disconnect())

    async def _collect(self, keys: list[str]) -> list[Any]:
        found: dict[str, Any] = {}
        left = list(keys)
        async with asyncio.timeout(TIMEOUT_S):
            while left:
                jobs = await queue.jobs(left[:_READ])
                done = {job.key: job.result for job in jobs if job and job.status == "complete"}
                found |= done
                left = [key for key in left[:_READ] if key not in done] + left[_READ:]
                if not done:
                    await asyncio.sleep(_POLL_S)
        return [found[key] for key in keys]

"""Oban for Python: two nodes at ten jobs at a time each; one at a time in the faults.

A job does its work in place, so a node does one at a time. `enqueue` one by one, `enqueue_many` in
bulk. It brings uvloop itself. It keeps no results in its free edition: see `results`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from oban import Oban, worker

from bench.peers.brokered.results import Results, keep
from bench.peers.work import WORK

URL = os.environ["PEER_URL"]
_MANY = 1_000


@worker(queue="default")
class Work:
    """Any work, by its name."""

    async def process(self, job: Any) -> None:
        args = job.args
        await keep(args["number"], WORK[args["work"]](args["payload"]))


class Client:
    def __init__(self) -> None:
        self._results = Results(URL)
        self._loop = asyncio.new_event_loop()
        self._pool, self._oban = self._loop.run_until_complete(_connected())

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(work, payloads)

        async def submit() -> None:
            for job in jobs:
                await self._oban.enqueue(job)

        self._loop.run_until_complete(submit())
        return [job.args["number"] for job in jobs]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(work, payloads)

        async def submit() -> None:
            for first in range(0, len(jobs), _MANY):
                await self._oban.enqueue_many(jobs[first : first + _MANY])

        self._loop.run_until_complete(submit())
        return [job.args["number"] for job in jobs]

    def collect(self, handles: list[int]) -> list[Any]:
        return self._results.collect(handles)

    def peek(self, handle: int) -> Any:
        return self._results.peek(handle)

    def close(self) -> None:
        self._loop.run_until_complete(self._oban.stop())
        self._loop.run_until_complete(self._pool.close())

    def _jobs(self, work: str, payloads: list[Any]) -> list[Any]:
        numbered = self._results.numbered(payloads)
        new: Any = getattr(Work, "new")  # noqa: B009 - the decorator adds it
        return [new({"work": work, "number": n, "payload": payload}) for n, payload in numbered]


async def _connected() -> tuple[Any, Any]:
    pool = await Oban.create_pool(dsn=URL)
    return pool, await Oban(pool=pool, queues={}).start()

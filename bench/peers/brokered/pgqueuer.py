"""PgQueuer: two workers that take ten jobs at a time each, its default; one in the faults.

A job does its work in place, so a worker does one at a time. `enqueue` takes a job or a list. The
module is a worker's program, too: `pgq run` of 1.6.0 ends with an error of its own. A worker that
has failed begins again after a second. It keeps no results: see `results`.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import asyncpg
from pgqueuer import AsyncpgDriver, PgQueuer, Queries

from bench.peers.brokered.results import Results, keep
from bench.peers.work import WORK

URL = os.environ["PEER_URL"]
AT_ONCE = int(os.environ.get("PEER_AT_ONCE") or 10)
_MANY = 1_000
_AGAIN_S = 1.0
_ENTRY = "work"


class Client:
    def __init__(self) -> None:
        self._results = Results(URL)
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(URL))
        self._queries = Queries(AsyncpgDriver(self._connection))

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        numbers, jobs = self._jobs(work, payloads)

        async def submit() -> None:
            for job in jobs:
                await self._queries.enqueue(_ENTRY, job)

        self._loop.run_until_complete(submit())
        return numbers

    def in_bulk(self, work: str, payloads: list[Any]) -> list[int]:
        numbers, jobs = self._jobs(work, payloads)

        async def submit() -> None:
            for first in range(0, len(jobs), _MANY):
                some = jobs[first : first + _MANY]
                await self._queries.enqueue([_ENTRY] * len(some), some, [0] * len(some))

        self._loop.run_until_complete(submit())
        return numbers

    def collect(self, handles: list[int]) -> list[Any]:
        return self._results.collect(handles)

    def peek(self, handle: int) -> Any:
        return self._results.peek(handle)

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())

    def _jobs(self, work: str, payloads: list[Any]) -> tuple[list[int], list[bytes]]:
        numbered = self._results.numbered(payloads)
        jobs = [json.dumps([work, n, payload]).encode() for n, payload in numbered]
        return [n for n, _ in numbered], jobs


async def work_once() -> None:
    """Work until the connection has ended."""
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))

    @queue.entrypoint(_ENTRY)  # type: ignore[untyped-decorator]
    async def process(job: Any) -> None:
        work, number, payload = json.loads(job.payload)
        await keep(number, WORK[work](payload))

    most = 2 * AT_ONCE if AT_ONCE == 1 else None  # two are the least that it takes
    await queue.run(
        batch_size=AT_ONCE, max_concurrent_tasks=most, shutdown_on_listener_failure=True
    )


async def run_worker() -> None:
    """Work until it is killed."""
    while True:
        try:
            await work_once()
        except Exception as error:  # of any kind: the database is away
            print(f"{type(error).__name__}: {error}", flush=True)
        await asyncio.sleep(_AGAIN_S)


if __name__ == "__main__":
    asyncio.run(run_worker())

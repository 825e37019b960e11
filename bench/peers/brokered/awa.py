"""awa: two workers at ten jobs at a time each; one at a time in the faults.

The module is a worker's program, too. A job does its work in place, so a worker does one at a time.
`insert` one by one, `enqueue_many_copy` in bulk, as its documentation advises. It keeps no results:
see `results`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any

from awa import AsyncClient
from awa import Client as SyncClient

from bench.peers.brokered.results import Results, keep
from bench.peers.work import WORK

URL = os.environ["PEER_URL"]
AT_ONCE = int(os.environ.get("PEER_AT_ONCE") or 10)


@dataclass
class Work:
    """Any work, by its name."""

    work: str
    number: int
    payload: Any


class Client:
    def __init__(self) -> None:
        self._results = Results(URL)
        self._client = SyncClient(URL)

    def one_by_one(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(work, payloads)
        for job in jobs:
            self._client.insert(job)
        return [job.number for job in jobs]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[int]:
        jobs = self._jobs(work, payloads)
        self._client.enqueue_many_copy(jobs)
        return [job.number for job in jobs]

    def collect(self, handles: list[int]) -> list[Any]:
        return self._results.collect(handles)

    def peek(self, handle: int) -> Any:
        return self._results.peek(handle)

    def close(self) -> None:
        """Nothing runs here."""

    def _jobs(self, work: str, payloads: list[Any]) -> list[Work]:
        return [Work(work, n, payload) for n, payload in self._results.numbered(payloads)]


async def run_worker() -> None:
    """Work until it is killed."""
    client = AsyncClient(URL)

    @client.task(Work, queue="default")  # type: ignore[untyped-decorator]
    async def process(job: Any) -> None:
        args = job.args
        await keep(args.number, WORK[args.work](args.payload))

    await client.start([("default", AT_ONCE)])
    await asyncio.Event().wait()


def set_up() -> None:
    """The tables and the storage of `enqueue_many_copy`, before two workers race for them."""
    client = SyncClient(URL)
    client.migrate()
    client.install_queue_storage()


if __name__ == "__main__":
    if sys.argv[1:] == ["setup"]:
        set_up()
    else:
        asyncio.run(run_worker())

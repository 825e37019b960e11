"""Our own sessions with the measured master. They do what no command of `qm` does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Literal

from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.wire.messages import (
    AskRun,
    Exchange,
    Hello,
    Leases,
    Reply,
    RunShown,
    RunStarted,
    StartRun,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import Done, Lease, Outcome, Released, RunStatus
from worker.supervisor.outbox import Outbox

from . import processes
from .processes import AUTHKEY

CONNECT_S = 20.0
LEASE_S = 60.0
_MANY_LEASES = 1_000


@contextlib.asynccontextmanager
async def client(
    port: int | Iterable[int], role: Literal["client", "runner"] = "client"
) -> AsyncIterator[Link]:
    """Connect a session.

    Args:
        port: of the master; several where one of several masters is the active one.
        role: the master takes tasks of a `runner` for any run.
    """
    hello = Hello(role, socket.gethostname(), os.getpid())
    ports = [port] if isinstance(port, int) else port
    masters = Masters([("127.0.0.1", number) for number in ports])
    link = Link(masters, AUTHKEY, lambda: hello, mode=processes.tls_mode)
    running = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(link.wait_up(), CONNECT_S)
        yield link
    finally:
        link.close()
        await running


async def start_run(port: int, args: list[str]) -> int:
    """Ask for a run and return its id. args: the job, and the arguments of its run."""
    job, *arguments = args
    async with client(port) as link:
        started = await link.request(lambda seq: StartRun(seq, job, arguments), RunStarted)
        return started.run


async def run_status(port: int, run: int) -> RunStatus:
    """The status of one run."""
    async with client(port) as link:
        return (await link.request(lambda seq: AskRun(seq, run), RunShown)).run


async def first_lease(port: int, worker: str) -> None:
    """Take a lease as the worker with this id, and give it back unstarted."""
    async with _worker(port, worker) as session:
        session.exchange([], 1)
        lease = (await session.leases())[0]
        session.exchange([Released(lease.number, lease.start, lease.stop)], 0)
        await session.answered()


async def work_off(port: int, worker: str, tasks: int) -> None:
    """Do `tasks` tasks of `n * n` here, with more leases at a time than a worker takes."""
    async with _worker(port, worker) as session:
        session.exchange([], _MANY_LEASES)
        while tasks > 0:
            leases = await session.leases()
            tasks -= sum(lease.stop - lease.start for lease in leases)
            outbox = Outbox()  # it cuts messages as a worker does
            for lease in leases:
                outbox.add(lease, squared(lease))
            for part in iter(outbox.take, []):
                session.exchange([entry.outcome for entry in part], len(part))
        await session.answered()


def squared(lease: Lease) -> Done:
    """Work on a lease of `n * n` now, and return its outcome."""
    began = time.perf_counter()
    payloads = _payloads(lease.body)[lease.start : lease.stop]
    results = codec.encode_batch([n * n for n in payloads])
    return Done(lease.number, lease.start, lease.stop, results, time.perf_counter() - began)


@functools.lru_cache(maxsize=64)
def _payloads(body: bytes) -> list[Any]:
    """Decode the payloads of a block once, not once a lease: this process must not be the limit."""
    return codec.decode_batch(body)


class _WorkerSession:
    """A worker without slots, in this process."""

    def __init__(self, port: int, worker: str) -> None:
        hello = Hello("worker", socket.gethostname(), os.getpid(), 1, worker=worker)
        self._came: asyncio.Queue[Leases] = asyncio.Queue()
        self.link = Link(
            Masters([("127.0.0.1", port)]),
            AUTHKEY,
            lambda: hello,
            on_message=self._received,
            mode=processes.tls_mode,
        )
        self._seq = self._got = 0

    def exchange(self, outcomes: Sequence[Outcome], want: int) -> None:
        """Report outcomes, and ask for `want` more leases."""
        self._seq += 1
        self.link.send(Exchange(self._seq, list(outcomes), want, free=want, got=self._got))

    async def leases(self) -> list[Lease]:
        """The next leases that come."""
        while True:
            async with asyncio.timeout(LEASE_S):
                leases = (await self._came.get()).leases
            self._got += len(leases)
            if leases:
                return leases

    async def answered(self) -> None:
        """Wait until the last report is on disk."""
        async with asyncio.timeout(LEASE_S):
            while (await self._came.get()).seq != self._seq:
                pass

    def _received(self, message: Reply) -> None:
        if isinstance(message, Leases):
            self._came.put_nowait(message)


@contextlib.asynccontextmanager
async def _worker(port: int, worker: str) -> AsyncIterator[_WorkerSession]:
    session = _WorkerSession(port, worker)
    running = asyncio.create_task(session.link.run())
    try:
        await asyncio.wait_for(session.link.wait_up(), CONNECT_S)
        yield session
    finally:
        session.link.close()
        await running

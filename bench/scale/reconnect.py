"""How long a restarted master takes for a worker that comes back with very many leases.

The master is a process of its own, and the store is a file. The time is the worker's: from before
it encodes its hello until it has decoded the welcome.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from master.broker import Broker
from master.broker.leases.lease import Session
from master.store.sqlite.engine import SqliteStore
from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.wire.messages import AskRun, AskSessions, Hello, RunShown, SessionList, Welcome
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import HeldLease, NewBlock, RunOptions

from ..brief import sized
from ..figure import Figure
from ..rig import processes
from ..rig.processes import AUTHKEY
from ..rig.session import CONNECT_S, client

ROUNDS = sized(5, 1)
LEASES = sized(20_000, 2_000)
WORKER = "w"
_POLL_S = 0.02
_PING_S = 0.002


@dataclass(frozen=True)
class _Round:
    """took_s: time until the welcome. wait_s: the longest wait of another client for an answer.

    cpu_s: CPU time of the master. grown_mb: how much its memory has grown at its peak.
    """

    took_s: float
    wait_s: float
    cpu_s: float
    grown_mb: float


def measure() -> list[Figure]:
    """Measure leases of one task each, first of large blocks, then of blocks of one task."""
    return [figure for size in (1_000, 1) for figure in _figures(size)]


def _figures(size: int) -> list[Figure]:
    rounds = [_round(size) for _ in range(ROUNDS)]
    where = f"{LEASES:,} leases, blocks of {size:,}"
    return [
        Figure(where, "s", tuple(r.took_s for r in rounds), at_most=0.5),
        Figure("another client waits meanwhile", "s", tuple(r.wait_s for r in rounds)),
        Figure("CPU of the master meanwhile", "s", tuple(r.cpu_s for r in rounds)),
        Figure("the master grows, at its peak", "MB", tuple(r.grown_mb for r in rounds)),
    ]


def _round(size: int) -> _Round:
    with processes.scratch() as folder:
        held = _leases(folder / "data", size)
        with processes.master(folder) as (master, port):
            before_mb = asyncio.run(_settled(master.pid, port))
            before_s = processes.cpu_s(master.pid)
            took_s, wait_s = asyncio.run(_come_back(port, held))
            cpu_s = processes.cpu_s(master.pid) - before_s
            grown_mb = processes.memory_mb(master.pid, "VmHWM") - before_mb
    return _Round(took_s, wait_s, cpu_s, grown_mb)


def _leases(data: Path, size: int) -> list[HeldLease]:
    """Make a store as a killed master leaves it. Its worker holds a lease of each task."""
    with _store(data) as store:
        broker = Broker(store.epoch, "", random.Random(1))
        for loaded in store.load():
            broker.restore(loaded, time.monotonic(), time.time())
        broker.next_run, broker.next_block = store.next_run, store.next_block
        broker.next_seq = store.next_seq
        run = broker.start_run("squares", [], None, RunOptions(), time.time())
        body = codec.encode_batch(list(range(size)))
        for _ in range(LEASES // size):
            broker.submit(run, NewBlock(size, body), 0.0, 0.0, from_tasks=True)
            broker.journal.close_blocks()  # as if each had come in a turn of its own
        broker.exhaust(run)
        broker.enter(Session(1, 1, worker=WORKER))
        broker.finish_runs(time.time())
        store.commit(broker.changes)
        number = store.epoch << 32
    return [
        HeldLease(number + at, run.id, 1 + at // size, [(at % size, at % size + 1)])
        for at in range(LEASES)
    ]


@contextmanager
def _store(folder: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(folder)
    try:
        yield store
    finally:
        store.close()


async def _settled(pid: int, port: int) -> float:
    """Wait until the run has its runner; the memory of the master then, in MB."""
    async with client(port) as link, asyncio.timeout(CONNECT_S):
        while True:
            page = await link.request(AskSessions, SessionList)
            if any(session.role == "runner" for session in page.sessions):
                return processes.memory_mb(pid)
            await asyncio.sleep(_POLL_S)


async def _come_back(port: int, held: list[HeldLease]) -> tuple[float, float]:
    """How long the worker's hello takes, and the longest wait of another client meanwhile."""
    began: list[float] = []
    welcomed: asyncio.Future[tuple[float, Welcome]] = asyncio.get_running_loop().create_future()

    def hello() -> Hello:
        began.append(time.perf_counter())
        return Hello("worker", "host", os.getpid(), 4_096, worker=WORKER, held=held)

    def up(welcome: Welcome) -> None:
        welcomed.set_result((time.perf_counter(), welcome))

    link = Link(Masters([("127.0.0.1", port)]), AUTHKEY, hello, on_up=up, mode=processes.tls_mode)
    async with client(port) as other, asyncio.timeout(CONNECT_S):
        running = asyncio.create_task(link.run())
        waits = []
        while not welcomed.done():
            asked = time.perf_counter()
            await other.request(lambda seq: AskRun(seq, 1), RunShown)
            waits.append(time.perf_counter() - asked)
            await asyncio.sleep(_PING_S)
        ended, welcome = await welcomed
        link.close()
        await running
    if welcome.held != held:
        raise RuntimeError(f"{len(welcome.held):,} of {len(held):,} leases are recognized")
    return ended - began[0], max(waits)

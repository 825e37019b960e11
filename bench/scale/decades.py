"""What grows by decades: waiting tasks, done tasks, runs, workers.

Each size has its rate, the master's memory, its start and the answer to `status`. A flat curve
shows that the size costs nothing. The rate at the largest size is bound by that at the smallest.
`docs/scale.svg` is drawn from the figures (see `chart`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from master.changes import BlockRecord, Changes, RunCounts, RunRecord
from queue_manager import codec
from queue_manager.job.loading import job_version
from queue_manager.wire.messages import AskRuns, RunList
from queue_manager.wire.records import BLOCK_TASKS, RunOptions

from ..brief import BRIEF, sized
from ..figure import Figure
from ..rig import crowd, processes, run
from ..rig.session import client
from ..rig.stored import Stored
from . import chart, written
from .written import BLOCKS_PER_COMMIT, slices

WAITING = sized((10_000, 100_000, 1_000_000, 10_000_000), (10_000, 20_000))
DONE = sized((100_000, 1_000_000, 10_000_000, 100_000_000), (10_000, 100_000))
RUNS = sized((10, 100, 1_000, 10_000), (10, 100))
WORKERS = sized((1, 10, 100, 1_000), (1, 10))
WARM_UP, TASKS = sized((200_000, 1_000_000), (10_000, 50_000))
BESIDE_DONE = 10_000
DRAIN_S, START_S, SLOTS = sized(2.0, 0.3), 30.0, 4
_LOOK_S = 0.02
DATABASE = "queue.sqlite3"
LEAST_RATIO, MOST_MB, MOST_START_S, MOST_STATUS_S = 0.8, 100.0, 2.0, 0.3


@dataclass(frozen=True)
class Point:
    """One size of one kind. rate: tasks a second. memory_mb: the master's, at its peak.

    start_s: from `kill -9`, or from the start on a full store, until it listens. status_s: until
    the first page of all runs is here.
    """

    size: int
    rate: float
    memory_mb: float
    start_s: float
    status_s: float


def measure() -> list[Figure]:
    """All kinds, from the smallest size to the largest."""
    kinds: dict[str, list[Point]] = {
        "waiting tasks": [_waiting(size) for size in WAITING],
        "done tasks": [_done(size) for size in DONE],
        "active runs": [_runs(size) for size in RUNS],
        f"workers of {SLOTS} slots": [_workers(size) for size in WORKERS],
    }
    if not BRIEF:
        record = {kind: [asdict(point) for point in points] for kind, points in kinds.items()}
        chart.draw(json.dumps(record))
    return [figure for kind, points in kinds.items() for figure in _figures(kind, points)]


def _figures(kind: str, points: list[Point]) -> list[Figure]:
    figures = []
    for point in points:
        name = f"{point.size:,} {kind}"
        figures += [
            Figure(f"{name}: rate", "tasks/s", (point.rate,)),
            Figure(f"{name}: master's memory, peak", "MB", (point.memory_mb,), at_most=MOST_MB),
            Figure(f"{name}: start", "s", (point.start_s,), at_most=MOST_START_S),
            Figure(f"{name}: status, the answer", "s", (point.status_s,), at_most=MOST_STATUS_S),
        ]
    first, last = points[0], points[-1]
    name = f"{kind}, rate: {last.size:,} / {first.size:,}"
    return [*figures, Figure(name, "x", (last.rate / first.rate,), at_least=LEAST_RATIO)]


# --- one size ------------------------------------------------------------------------------------


def _waiting(size: int) -> Point:
    with ExitStack() as stack:
        stored = Stored(stack)
        stored.backlog.fill(size)
        return _point(stored, size, size)


def _done(size: int) -> Point:
    """Results that nobody has read, which the master must keep."""
    with ExitStack() as stack:
        stored = Stored(
            stack, before=lambda data: written.fill(data, written.results(size // BLOCK_TASKS))
        )
        stored.backlog.fill(BESIDE_DONE)
        return _point(stored, size, BESIDE_DONE)


def _point(stored: Stored, size: int, waiting: int) -> Point:
    start_s = stored.start_again()
    status_s = asyncio.run(_status_s(stored.port))
    with processes.worker(stored.folder, stored.port):
        rate = stored.backlog.hold(waiting, WARM_UP, TASKS)
    return Point(size, rate, stored.peak_mb, start_s, status_s)


def _runs(size: int) -> Point:
    """Runs that are all active, each with tasks of its own, fed by clients that have left."""
    blocks = max(1, TASKS // BLOCK_TASKS // size)
    with processes.scratch() as folder:
        written.fill(folder / "data", _active(size, blocks))
        with processes.master(folder) as (master, port):
            status_s = asyncio.run(_status_s(port))
            with processes.worker(folder, port):
                rate = _drained(folder / "data")
            return Point(
                size, rate, processes.memory_mb(master.pid, "VmHWM"), master.start_s, status_s
            )


def _workers(size: int) -> Point:
    """Sessions of workers with nothing but this process's arithmetic behind them."""
    with processes.scratch() as folder, processes.master(folder) as (master, port):
        with crowd.connected(port, size, SLOTS) as connect_s:
            status_s = asyncio.run(_status_s(port))
            found = run.measure(port, TASKS, folder)
        memory_mb = processes.memory_mb(master.pid, "VmHWM")
    return Point(size, found.rate, memory_mb, connect_s, status_s)


async def _status_s(port: int) -> float:
    async with client(port) as link:
        began = time.monotonic()
        await link.request(AskRuns, RunList)
        return time.monotonic() - began


def _drained(data: Path) -> float:
    """Tasks a second, from the first done tasks to the last one, or to the end of the time.

    It counts in the store: a look through the master at 10,000 runs takes the time of a thousand
    tasks.
    """
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as store:
        before = left = _left(store)
        until = time.monotonic() + START_S
        while left == before and time.monotonic() < until:
            time.sleep(_LOOK_S)
            left = _left(store)
        began, before = time.monotonic(), left
        while left and time.monotonic() - began < DRAIN_S:
            time.sleep(_LOOK_S)
            left = _left(store)
        return (before - left) / (time.monotonic() - began)


def _left(store: sqlite3.Connection) -> int:
    """How many tasks of all runs are not done."""
    return int(store.execute("select sum(tasks) - sum(done) from runs").fetchone()[0])


# --- what is in the store before -----------------------------------------------------------------


def _active(runs: int, blocks: int) -> Iterator[Changes]:
    """So many active runs with so many blocks each."""
    body = codec.encode_batch([7] * BLOCK_TASKS)
    options, at = RunOptions(feeder="client"), time.time()
    version = job_version("squares", processes.HERE / "jobs")
    for first, stop in slices(0, runs, BLOCKS_PER_COMMIT):
        numbers = range(1 + first, 1 + stop)
        yield Changes(
            runs={
                n: RunRecord(n, "squares", [], options=options, started_at=at, version=version)
                for n in numbers
            },
            blocks=[
                BlockRecord(n * blocks + k, n, 1 + k * BLOCK_TASKS, BLOCK_TASKS, body)
                for n in numbers
                for k in range(blocks)
            ],
            counts={n: RunCounts(tasks=blocks * BLOCK_TASKS) for n in numbers},
        )

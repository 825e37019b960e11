"""One idle task from submit to result, beside the tutorial's own idle task and commits with fsync.

The bound is in round trips of a task through the idle tutorial: put, work, get. A stricter bound,
in round trips of a bare call, is shown beside it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from queue_manager import codec
from queue_manager.wire.messages import Collect, Page, SubmitTasks
from queue_manager.wire.records import NewBlock

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, tutorial
from .open_run import OpenRun

ROUNDS = sized(3, 1)
SLICES, SAMPLES = sized((7, 10), (2, 5))
WARM_UP = 5
PAUSE_S = 0.005
COMMITS, ROUND_TRIPS = 2, 6
BOUND = f"{COMMITS} commits + {ROUND_TRIPS} round trips"
STRICT = f"{COMMITS} commits + {ROUND_TRIPS} bare calls"

Sample = Callable[[int], float]
"""Does one thing, and returns the seconds that it took."""


def measure() -> list[Figure]:
    """Measure all kinds in turn, a few samples each, so that a slow moment slows every kind."""
    with ExitStack() as stack:
        folder = stack.enter_context(processes.scratch())
        _, port = stack.enter_context(processes.master(folder, job="squares"))
        stack.enter_context(processes.worker(folder, port))
        plain = tutorial.connected(stack.enter_context(tutorial.plain_server()))
        own = stack.enter_context(OwnClient(port, folder))
        commits = Commits(folder / "commits.sqlite3")
        stack.callback(commits.close)
        empty = plain.get_task_queue()
        busy_port = stack.enter_context(tutorial.plain_server())
        stack.enter_context(tutorial.idle_worker(busy_port))
        theirs = tutorial.connected(busy_port)
        their_tasks, their_results = theirs.get_task_queue(), theirs.get_result_queue()
        ours = tutorial.connected(port, processes.AUTHKEY)
        tasks, results = ours.get_task_queue(), ours.get_result_queue()

        kinds: list[tuple[str, Sample]] = [
            (
                "tutorial: a task, put to result of get",
                timed(partial(_put_and_get, their_tasks, their_results)),
            ),
            ("tutorial: a bare call (qsize)", timed(lambda n: empty.qsize())),
            ("SQLite: a commit with fsync", timed(commits.commit)),
            ("a task: our client, submit to page of results", own.task),
            (
                "a task: stock client, put to result of get",
                timed(partial(_put_and_get, tasks, results)),
            ),
        ]
        for _, sample in kinds:
            for n in range(WARM_UP):
                sample(n)
        rounds = [medians([sample for _, sample in kinds]) for _ in range(ROUNDS)]
    return _figures([name for name, _ in kinds], rounds)


def _put_and_get(tasks: Any, results: Any, n: int) -> None:
    tasks.put(n)
    if results.get(timeout=10) != n * n:
        raise RuntimeError("another task's result")


def _figures(names: list[str], rounds: list[list[float]]) -> list[Figure]:
    columns = zip(names, zip(*rounds, strict=True), strict=True)
    trip, call, commit, own, stock = (Figure(name, "ms", column) for name, column in columns)
    bound = _sum(BOUND, commit, trip)
    strict = _sum(STRICT, commit, call)
    return [
        trip,
        call,
        commit,
        bound,
        own,
        stock,
        ratio(f"our client / ({BOUND})", own, bound, at_most=1),
        ratio(f"stock client / ({BOUND})", stock, bound, at_most=1),
        strict,
        ratio(f"our client / ({STRICT})", own, strict),
        ratio(f"stock client / ({STRICT})", stock, strict),
    ]


def _sum(name: str, commit: Figure, trip: Figure) -> Figure:
    pairs = zip(commit.rounds, trip.rounds, strict=True)
    return Figure(name, "ms", tuple(COMMITS * c + ROUND_TRIPS * t for c, t in pairs))


def medians(samples: list[Sample]) -> list[float]:
    """Medians in milliseconds, the unit of the table."""
    took_s: list[list[float]] = [[] for _ in samples]
    for _ in range(SLICES):
        for times_s, sample in zip(took_s, samples, strict=True):
            for n in range(SAMPLES):
                time.sleep(PAUSE_S)
                times_s.append(sample(n))
    return [1000 * statistics.median(times_s) for times_s in took_s]


def timed(action: Callable[[int], object]) -> Sample:
    def sample(n: int) -> float:
        began = time.perf_counter()
        action(n)
        return time.perf_counter() - began

    return sample


class Commits:
    """A file in WAL mode with synchronous=FULL, like the store's. Each commit writes one row."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")

    def commit(self, n: int) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO rows (body) VALUES (?)", (b"L\x91\x01",))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class OwnClient(OpenRun):
    """A session of ours in an open run. It asks for the result before it submits the task."""

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(port, folder)
        self._after = 0
        self._pages: asyncio.Queue[tuple[float, Page]] = asyncio.Queue()

    def task(self, n: int) -> float:
        """Submit one task and wait for its result; returns the seconds."""
        return self._loop.run_until_complete(self._task(n))

    async def _task(self, n: int) -> float:
        self._seq += 2
        self._link.send(Collect(self._seq, self._run, self._after))
        await asyncio.sleep(PAUSE_S)
        block = NewBlock(1, codec.encode_batch([n]))
        began = time.perf_counter()
        self._link.send(SubmitTasks(self._seq + 1, self._run, [block]))
        async with asyncio.timeout(10):
            came, page = await self._pages.get()
        self._after = page.last
        if codec.decode_batch(page.outcomes[0].results) != [n * n]:
            raise RuntimeError("another task's result")
        return came - began

    def page_came(self, page: Page, at: float) -> None:
        self._pages.put_nowait((at, page))

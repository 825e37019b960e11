"""Submit to result while tasks are offered at a steady rate: the median, and the slow ones.

The load is open: each task is due at its own time, whatever became of the tasks before it. Its
latency counts from the time at which it was due, so a queue that falls behind cannot hide it. In
block submission a task waits for the last one of its block; that counts, too.
Source: G. Tene, "How NOT to Measure Latency" (coordinated omission), 2013.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from queue_manager import codec
from queue_manager.wire.messages import Collect, Page, SubmitTasks
from queue_manager.wire.records import NewBlock

from ..brief import sized
from ..figure import Figure
from ..peers import catalogue, environment, servers
from ..peers.environment import MissingError
from ..peers.figures import percentile
from ..peers.station import WORKERS, Station
from ..rig import processes
from .open_run import OpenRun

PEERS = sized(("huey", "dramatiq"), ("huey",))
RATES = sized((1, 100, 1_000, 10_000), (200,))
"""Tasks offered a second."""

ROUNDS = sized(3, 1)
ROUND_S = sized(5.0, 0.5)
SLOW_RATE, SLOW_ROUND_S = 1, 20.0
BLOCK_S = 0.01
"""In block submission, the tasks of this time travel together."""

BEHIND_MS = 250.0
"""A queue whose median is above this has fallen behind: it works off what has piled up, and the
figure grows with the round. So it has one round of that rate, and is offered no higher one.
"""

SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
MOST_MS = {"p50": 10.0, "p99": 50.0}
"""The bounds of ours, one by one, up to 1,000 a second. In blocks a task also waits for its block,
and at 10,000 a second it may take four times as long."""

FAST_RATE, FAST_TIMES = 10_000, 4
DRAIN_S = 30.0


def measure() -> list[Figure]:
    """Ours and the two fastest durable peers: each rate, one task a submit and in blocks."""
    return [*_ours(), *(figure for key in PEERS for figure in _peer(key))]


def _ours() -> list[Figure]:
    with ExitStack() as stack:
        folder = stack.enter_context(processes.scratch())
        _, port = stack.enter_context(processes.master(folder, job="squares"))
        stack.enter_context(processes.worker(folder, port))
        offered = stack.enter_context(Offered(port, folder))
        offered.measure(RATES[0], 1 / RATES[0], 0.0)  # until the worker has the job
        return _all_figures("ours", offered.measure, bound=True)


def _peer(key: str) -> list[Figure]:
    """The row of a peer whose broker syncs each write. Nothing where it can't be installed."""
    peer = catalogue.named([key])[-1]
    try:
        servers.check(peer.broker)
        python = environment.python_of(peer.lock, peer.least_python)
    except MissingError as error:
        print(f"  {peer.name}: {error}")
        return []
    try:
        with processes.scratch() as folder, Station(peer, python, folder) as station:
            station.ask("ready", workers=WORKERS)

            def offer(rate: int, seconds: float, block_s: float) -> list[float]:
                count = max(1, round(rate * seconds))
                waits: list[float] = station.ask("offered", rate=rate, count=count, block_s=block_s)
                return waits

            return _all_figures(peer.name, offer)
    except RuntimeError as error:  # one of its own; ours are measured
        print(f"  {peer.name}: {error}")
        return []


Offer = Callable[[int, float, float], list[float]]
"""Offers tasks: (a second, for so many seconds, seconds whose tasks travel together)."""


def _most_ms(label: str, rate: int, block_s: float) -> float | None:
    """The bound of ours for one share of the tasks; None without one."""
    if label not in MOST_MS:
        return None
    return MOST_MS[label] * (FAST_TIMES if rate >= FAST_RATE else 1) + 1000 * block_s


def _all_figures(who: str, offer: Offer, *, bound: bool = False) -> list[Figure]:
    """Each rate, one by one and in blocks. bound: whether these figures are held to `MOST_MS`."""
    figures = []
    for how, block_s in (("one by one", 0.0), ("in blocks", BLOCK_S)):
        for rate in RATES:
            if block_s and rate * block_s <= 1:
                continue
            found = _figures(f"{who}, {rate:,} a second, {how}", offer, rate, block_s)
            if bound:
                found = [
                    dataclasses.replace(one, at_most=_most_ms(label, rate, block_s))
                    for one, label in zip(found, SHARES, strict=True)
                ]
            figures += found
            if found[0].median > BEHIND_MS:
                break
    return figures


def _figures(name: str, offer: Offer, rate: int, block_s: float) -> list[Figure]:
    """A round at the slowest rate is long, and there is one: its p99 is its slowest task."""
    rounds, seconds = (1, SLOW_ROUND_S) if rate == SLOW_RATE else (ROUNDS, ROUND_S)
    waits = [offer(rate, seconds, block_s)]
    while len(waits) < rounds and 1000 * percentile(waits[-1], 0.5) <= BEHIND_MS:
        waits.append(offer(rate, seconds, block_s))
    print(f"  {name}: {1000 * percentile(waits[-1], 0.5):.2f} ms", flush=True)
    return [
        Figure(f"{name}: {label}", "ms", tuple(1000 * percentile(wait, share) for wait in waits))
        for label, share in SHARES.items()
    ]


class Offered(OpenRun):
    """A session of ours that submits to an open run at a rate, and collects its results."""

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(port, folder)
        self._due: dict[int, float] = {}
        self._waits: list[float] = []
        self._next = 0
        self._all_came = asyncio.Event()

    def __enter__(self) -> Self:
        super().__enter__()
        self._loop.call_soon(self._collect, 0)
        return self

    def measure(self, rate: int, seconds: float, block_s: float) -> list[float]:
        """Seconds from due to result of each task. block_s: how much of the load travels together.

        Raises:
            TimeoutError: a result did not come.
        """
        count = max(1, round(rate * seconds))
        return self._loop.run_until_complete(self._measure(rate, count, block_s))

    async def _measure(self, rate: int, count: int, block_s: float) -> list[float]:
        self._waits, self._all_came = [], asyncio.Event()
        first = self._next
        began = time.perf_counter() + 1 / rate
        self._next += count
        for n in range(count):
            self._due[first + n] = began + n / rate
        per_submit = max(1, round(rate * block_s))
        sent = 0
        while sent < count:
            last = min(sent + per_submit, count)
            wait_s = self._due[first + last - 1] - time.perf_counter()
            await asyncio.sleep(max(0.0, wait_s))
            self._submit(list(range(first + sent, first + last)))
            sent = last
        async with asyncio.timeout(DRAIN_S):
            await self._all_came.wait()
        return self._waits

    def _submit(self, numbers: list[int]) -> None:
        self._seq += 1
        block = NewBlock(len(numbers), codec.encode_batch(numbers))
        self._link.send(SubmitTasks(self._seq, self._run, [block]))

    def _collect(self, after: int) -> None:
        self._seq += 1
        self._link.send(Collect(self._seq, self._run, after))

    def page_came(self, page: Page, at: float) -> None:
        self._collect(page.last)
        self._record(page, at)

    def _record(self, page: Page, now: float) -> None:
        for ended in page.outcomes:
            numbers = codec.decode_batch(page.bodies[ended.first], ended.start, ended.stop)
            if codec.decode_batch(ended.results) != [n * n for n in numbers]:
                raise RuntimeError(f"wrong results from task {ended.first} on")
            self._waits += [now - self._due.pop(n) for n in numbers]
        if not self._due:
            self._all_came.set()

"""One group with `per_second=100`: how many of its tasks start in each second."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

from ..brief import sized
from ..figure import Figure
from ..rig import processes
from ..rig.stored import Stored

PER_SECOND = 100
SECONDS = sized(20, 2)
WARM_UP_S = 1.0
LEAST = 98


def measure() -> list[Figure]:
    """First on a quiet machine, then with a busy process for each processor."""
    loads = (("nothing else runs", 0), ("full load", len(os.sched_getaffinity(0))))
    return [figure for load in loads for figure in _measure(*load)]


def _measure(load: str, busy: int) -> list[Figure]:
    with ExitStack() as stack:
        stored = Stored(stack, job="paced", groups=1)
        stored.backlog.fill(PER_SECOND * (SECONDS + 5))
        file = stored.folder / "starts"
        stack.enter_context(_setting("BENCH_STARTS", str(file)))
        stack.enter_context(_busy(busy))
        with processes.worker(stored.folder, stored.port):
            processes.wait_until(file.exists, "the first start")
            time.sleep(WARM_UP_S + SECONDS)
        starts = sorted(map(float, file.read_text().split()))
    fewest, most = _fewest(starts), _most(starts)
    what = f"per_second={PER_SECOND}, {load}: starts in"
    return [
        Figure(f"{what} the worst second", "starts", (fewest,), at_least=LEAST),
        Figure(f"{what} any second, at most", "starts", (most,), at_most=PER_SECOND),
    ]


def _fewest(starts: list[float]) -> int:
    """The fewest in one of the seconds that follow the warm-up."""
    edges = [bisect_left(starts, starts[0] + WARM_UP_S + n) for n in range(SECONDS)]
    return min(stop - start for start, stop in pairwise(edges))


def _most(starts: list[float]) -> int:
    """The most in any second, wherever that begins."""
    return max(bisect_left(starts, start + 1.0) - n for n, start in enumerate(starts))


@contextlib.contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    words = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()

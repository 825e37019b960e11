"""1,000 worker sessions: how fast they connect, what they cost, how fast they do tasks."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, run, tutorial

ROUNDS = sized(3, 1)
SESSIONS = 1_000
PROCESSES = 4
TASKS = 100_000
TUTORIAL_TASKS = sized(5_000, 1_000)


@dataclass(frozen=True)
class _Round:
    stock: float
    rate: float
    connect_s: float
    grown_mb: float
    master_us: float


def measure() -> list[Figure]:
    """Measure the tutorial and the sessions in turn."""
    rounds = [_round() for _ in range(ROUNDS)]
    stock = Figure("tutorial, two workers", "tasks/s", tuple(r.stock for r in rounds))
    rate = Figure(f"{SESSIONS:,} sessions, durable", "tasks/s", tuple(r.rate for r in rounds))
    connect = tuple(r.connect_s for r in rounds)
    grown = tuple(r.grown_mb for r in rounds)
    return [
        stock,
        rate,
        ratio(f"{SESSIONS:,} sessions / tutorial", rate, stock, at_least=5),
        Figure(f"until all {SESSIONS:,} are connected, none left out", "s", connect, at_most=5),
        Figure("the master grows, at its peak", "MB", grown, at_most=100),
        Figure("CPU a task: master", "µs", tuple(r.master_us for r in rounds)),
    ]


def _round() -> _Round:
    stock = tutorial.measure(TUTORIAL_TASKS)
    with processes.scratch() as folder, processes.master(folder) as (master, port):
        before_mb = processes.memory_mb(master.pid)
        with _load(port) as connect_s:
            before_s = processes.cpu_s(master.pid)
            figures = run.measure(port, TASKS, folder)
            used_s = processes.cpu_s(master.pid) - before_s
        grown_mb = processes.memory_mb(master.pid, "VmHWM") - before_mb
    return _Round(stock, figures.rate, connect_s, grown_mb, 1e6 * used_s / TASKS)


@contextlib.contextmanager
def _load(port: int) -> Iterator[float]:
    """Connect all sessions, and give the seconds until the last one was welcomed."""
    command = [sys.executable, "-m", "bench.rig.load", str(port), str(SESSIONS // PROCESSES)]
    pipe = subprocess.PIPE
    clients = [
        subprocess.Popen(command, cwd=processes.ROOT, stdin=pipe, stdout=pipe, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        _expect(clients, "ready")
        began = time.monotonic()
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        _expect(clients, "up")
        yield time.monotonic() - began
    finally:
        for client in clients:
            client.communicate(timeout=30)


def _expect(clients: list[subprocess.Popen[str]], word: str) -> None:
    for client in clients:
        assert client.stdout is not None
        line = client.stdout.readline()
        if not line.startswith(word):
            raise RuntimeError(f"a load process said {line!r} instead of {word!r}")

"""1,000 worker sessions: how fast they connect, what they cost, how fast they do tasks."""

from __future__ import annotations

from dataclasses import dataclass

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import crowd, processes, run, tutorial

ROUNDS = sized(3, 1)
SESSIONS = 1_000
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
        with crowd.connected(port, SESSIONS) as connect_s:
            before_s = processes.cpu_s(master.pid)
            figures = run.measure(port, TASKS, folder)
            used_s = processes.cpu_s(master.pid) - before_s
        grown_mb = processes.memory_mb(master.pid, "VmHWM") - before_mb
    return _Round(stock, figures.rate, connect_s, grown_mb, 1e6 * used_s / TASKS)

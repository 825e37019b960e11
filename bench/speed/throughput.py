"""Durable throughput, end to end, beside the tutorial and beside our path without a store."""

from __future__ import annotations

from dataclasses import dataclass

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, run, tutorial

ROUNDS = sized(3, 1)
TASKS = sized(2_000_000, 200_000)
WARM_UP_TASKS = 2_000
TUTORIAL_TASKS = sized(5_000, 1_000)


@dataclass(frozen=True)
class _Path:
    """One round of ours: tasks per second, µs of CPU a task, and seconds to start."""

    rate: float
    master_us: float
    runner_us: float
    supervisor_us: float
    slots_us: float
    start_s: float

    @property
    def all_us(self) -> float:
        return self.master_us + self.runner_us + self.supervisor_us + self.slots_us


def measure() -> list[Figure]:
    """Measure all three in turn."""
    stock, ours, bare = [], [], []
    for _ in range(ROUNDS):
        stock.append(tutorial.measure(TUTORIAL_TASKS))
        ours.append(_measure(store=True))
        bare.append(_measure(store=False))
    rates = [
        Figure("tutorial, nothing durable", "tasks/s", tuple(stock)),
        Figure("durable, two slots", "tasks/s", tuple(p.rate for p in ours)),
        Figure("the same without a store", "tasks/s", tuple(p.rate for p in bare)),
    ]
    return [
        *rates,
        ratio("durable / tutorial", rates[1], rates[0], at_least=15),
        ratio("durable / without a store", rates[1], rates[2], at_least=0.3),
        _cpu("CPU a task: master", [p.master_us for p in ours], 4),
        _cpu("CPU a task: runner", [p.runner_us for p in ours]),
        _cpu("CPU a task: supervisor", [p.supervisor_us for p in ours]),
        _cpu("CPU a task: both slots", [p.slots_us for p in ours]),
        _cpu("CPU a task: all processes", [p.all_us for p in ours], 12),
        _cpu("CPU a task: master, without a store", [p.master_us for p in bare]),
        Figure(
            "process start (master, worker, runner), not in the rate",
            "s",
            tuple(p.start_s for p in ours),
        ),
    ]


def _cpu(name: str, rounds: list[float], at_most: float | None = None) -> Figure:
    return Figure(name, "µs", tuple(rounds), at_most=at_most)


def _measure(store: bool) -> _Path:
    with (
        processes.scratch() as folder,
        processes.master(folder, store=store) as (master, port),
        processes.worker(folder, port) as worker,
    ):
        run.measure(port, WARM_UP_TASKS, folder)
        slots = processes.children(worker.pid)
        before = [processes.cpu_s(pid) for pid in (master.pid, worker.pid, *slots)]
        figures = run.measure(port, TASKS, folder)
        after = [processes.cpu_s(pid) for pid in (master.pid, worker.pid, *slots)]
        used = [1e6 * (b - a) / TASKS for a, b in zip(before, after, strict=True)]
        return _Path(
            figures.rate,
            used[0],
            1e6 * figures.runner_s / TASKS,
            used[1],
            sum(used[2:]),
            master.start_s + worker.start_s + figures.start_s,
        )

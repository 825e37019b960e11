"""Durable throughput on PostgreSQL beside SQLite in the same run, and beside PostgreSQL queues.

A round is a run on SQLite and a run on PostgreSQL, each with a master and a worker of its own. The
server is one for all rounds, with PostgreSQL's defaults; each round has a schema of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ..brief import BRIEF, sized
from ..figure import Figure, ratio
from ..rig import kernel, postgres, processes, run

ROUNDS = sized(3, 1)
TASKS = sized(2_000_000, 50_000)
WARM_UP_TASKS = 2_000
LEAST_OF_SQLITE, LEAST_OF_PEERS = 0.5, 10.0
_PEERS_S = 1200.0


@dataclass(frozen=True)
class _Path:
    """One round: tasks per second, and µs of CPU a task of the master and of the server."""

    rate: float
    master_us: float
    server_us: float = 0.0


def measure() -> list[Figure]:
    """Measure both stores in turns, then the queues of others."""
    lite, ours = [], []
    with processes.scratch() as folder, postgres.server(folder) as server:
        for number in range(ROUNDS):
            lite.append(_measure({}, None))
            store = {"MASTER_STORE": f"{server.url}?schema=round_{number}"}
            ours.append(_measure(store, server))
    rates = [
        Figure("SQLite, two slots", "tasks/s", tuple(path.rate for path in lite)),
        Figure("PostgreSQL, two slots", "tasks/s", tuple(path.rate for path in ours)),
    ]
    return [
        *rates,
        ratio("PostgreSQL / SQLite", rates[1], rates[0], at_least=LEAST_OF_SQLITE),
        Figure("CPU a task: master, SQLite", "µs", tuple(path.master_us for path in lite)),
        Figure("CPU a task: master, PostgreSQL", "µs", tuple(path.master_us for path in ours)),
        Figure("CPU a task: PostgreSQL's server", "µs", tuple(path.server_us for path in ours)),
        *([] if BRIEF else _others(rates[1])),
    ]


def _measure(store: dict[str, str], server: postgres.Server | None) -> _Path:
    with (
        processes.scratch() as folder,
        processes.master(folder, more=store) as (master, port),
        processes.worker(folder, port),
    ):
        run.measure(port, WARM_UP_TASKS, folder)
        used_s = [0.0, 0.0]
        with _used(used_s, {master.pid}, server):
            rate = run.measure(port, TASKS, folder).rate
        return _Path(rate, *(1e6 * spent_s / TASKS for spent_s in used_s))


@contextlib.contextmanager
def _used(used_s: list[float], master: set[int], server: postgres.Server | None) -> Iterator[None]:
    """Put the CPU seconds of the master and of the server into used_s."""

    def spent_s() -> tuple[float, float]:
        pids = {server.process.pid} if server is not None else set()
        pids |= {pid for first in pids for pid in kernel.descendants(first)}
        theirs = (kernel.cpu_with_ended_s(pid) for pid in pids)
        return sum(map(processes.cpu_s, master)), sum(theirs)

    before = spent_s()
    yield
    used_s[:] = [b - a for a, b in zip(before, spent_s(), strict=True)]


def _others(ours: Figure) -> list[Figure]:
    """PostgreSQL queues at their best settings, and ours beside the best of them."""
    words = [sys.executable, "-m", "bench.peers.postgres", str(ROUNDS)]
    done = subprocess.run(
        words, cwd=processes.ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=_PEERS_S
    )
    told = json.loads(done.stdout.splitlines()[-1])
    for name, why in told["missing"].items():
        print(f"  {name}: {why}", flush=True)
    figures, best = [], None
    for name, found in told["found"].items():
        rate = Figure(f"{name}: in bulk, two workers", "tasks/s", tuple(found["rate"]))
        held = Figure(f"{name}: the same, a snapshot held", "tasks/s", tuple(found["held"]))
        figures += [Figure(f"{name}: enqueued", "tasks/s", tuple(found["enqueue"])), rate, held]
        if best is None or rate.median > best.median:
            best = rate
    if best is not None:
        figures.append(_beside("ours / the best of them", ours, best))
    return figures


def _beside(name: str, ours: Figure, best: Figure) -> Figure:
    """Medians: rounds of other programs were not in turns with ours."""
    return Figure(name, "x", (ours.median / best.median,), at_least=LEAST_OF_PEERS)

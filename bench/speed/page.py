"""Durable throughput while people look at the pages, beside the same while nobody does."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes, run

ROUNDS = sized(5, 1)
TASKS = sized(2_000_000, 100_000)  # some seconds: a round of less was off by a tenth
WARM_UP_TASKS = 2_000
STREAMS = sized(50, 5)
MEMORY_MB = 60.0


def measure() -> list[Figure]:
    """Measure both in turn, beside the same master, in changing order."""
    alone: list[float] = []
    looked_at: list[float] = []
    memory: list[float] = []
    for number in range(ROUNDS):
        with _served() as (port, folder, master):
            for looks in (True, False) if number % 2 else (False, True):
                if looks:
                    with _looking(folder):
                        looked_at.append(run.measure(port, TASKS, folder).rate)
                        memory.append(_web_memory_mb(master))
                else:
                    alone.append(run.measure(port, TASKS, folder).rate)
    rates = [
        Figure("nobody looks", "tasks/s", tuple(alone)),
        Figure(f"{STREAMS} streams, /metrics each second", "tasks/s", tuple(looked_at)),
    ]
    return [
        *rates,
        ratio("looked at / nobody looks", rates[1], rates[0], at_least=0.95),
        Figure("memory of the web process", "MB", tuple(memory), at_most=MEMORY_MB),
    ]


@contextlib.contextmanager
def _served() -> Iterator[tuple[int, Path, int]]:
    """A master with pages and a worker: its port, its folder, its process."""
    with (
        processes.scratch() as folder,
        processes.master(folder, more={"MASTER_HTTP_PORT": "0"}) as (master, port),
        processes.worker(folder, port),
    ):
        run.measure(port, WARM_UP_TASKS, folder)
        yield port, folder, master.pid


@contextlib.contextmanager
def _looking(folder: Path) -> Iterator[None]:
    web = folder / "data" / "web"
    port = (web / "address").read_text().strip().rpartition(":")[2]
    token = (web / "read").read_text().strip()
    command = [sys.executable, "-m", "bench.rig.lookers", port, token, str(STREAMS)]
    with subprocess.Popen(
        command, cwd=processes.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as lookers:
        assert lookers.stdin is not None  # pipes were asked for
        assert lookers.stdout is not None
        if lookers.stdout.readline() != "looking\n":
            raise RuntimeError("the lookers see nothing")
        yield
        lookers.stdin.close()
        if not int(lookers.stdout.readline() or 0):
            raise RuntimeError("a looker has lost its page")


def _web_memory_mb(master: int) -> float:
    for child in processes.children(master):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"master.web" in words:
            return processes.memory_mb(child)
    raise RuntimeError("there is no web process")

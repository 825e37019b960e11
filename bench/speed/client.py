"""A program that maps a lambda over a million numbers, in order: its rate, memory, first result."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ..brief import sized
from ..figure import Figure
from ..rig import processes

ROUNDS = sized(3, 1)
TASKS = sized(1_000_000, 100_000)
PATIENCE_S = 120.0


def measure() -> list[Figure]:
    """Measure a program of its own per round, with one master and a worker of two slots."""
    processes.compile_modules()  # a slot does not write what it compiles
    with (
        processes.scratch() as folder,
        processes.master(folder) as (_, port),
        processes.worker(folder, port),
    ):
        rounds = [_measure(port) for _ in range(ROUNDS)]

    def column(name: str) -> tuple[float, ...]:
        return tuple(told[name] for told in rounds)

    return [
        Figure("map of a lambda, results in order", "tasks/s", column("rate"), at_least=150_000),
        Figure("the first result", "s", column("first_s"), at_most=0.1),
        Figure("most memory of the program", "MB", column("peak_mb"), at_most=100),
        Figure("CPU a task: the program", "µs", column("cpu_us")),
    ]


def _measure(port: int) -> dict[str, Any]:
    environment = processes.environment_of({"QUEUE_PORT": str(port)})
    words = [sys.executable, "-m", "bench.speed.client_program", str(TASKS)]
    ended = subprocess.run(
        words,
        cwd=processes.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    told: dict[str, Any] = json.loads(ended.stdout)
    return told

"""The machine on which the figures were measured."""

from __future__ import annotations

import platform
import sqlite3
import time
from pathlib import Path

from queue_manager.settings import usable_cpus

LOOP = "a loop of a million additions"


def describe() -> dict[str, str]:
    """Describe the machine for a reader who compares figures."""
    return {
        "CPU": f"{_cpu_model()}, {usable_cpus()} usable core(s)",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release()}",
        "busy before we began": f"{_busy():.0%} of the CPU time",
        LOOP: f"{_loop_s() * 1_000:.0f} ms",
    }


def _busy() -> float:
    """The share of CPU time that other processes used during a second.

    If it is large, the figures say little: measure again.
    """
    before = _cpu_times()
    time.sleep(1)
    spent = [b - a for a, b in zip(before, _cpu_times(), strict=True)]
    idle = spent[3] + spent[4]
    return 1 - idle / max(1, sum(spent))


def _loop_s() -> float:
    """How long a loop of Python takes (s), the least of five.

    The same model of a processor runs at several speeds, so its name alone says little.
    """
    took = []
    for _ in range(5):
        started, number = time.perf_counter(), 0
        while number < 1_000_000:
            number += 1
        took.append(time.perf_counter() - started)
    return min(took)


def _cpu_times() -> list[int]:
    first = Path("/proc/stat").read_text().partition("\n")[0]
    return [int(ticks) for ticks in first.split()[1:9]]


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())

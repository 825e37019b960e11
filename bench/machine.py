"""The machine that the figures are of."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path

from queue_manager.settings import usable_cpus


def describe() -> dict[str, str]:
    """What a reader needs to know before comparing."""
    return {
        "CPU": f"{_cpu_model()}, {usable_cpus()} usable core(s)",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release()}",
        "load at start": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())

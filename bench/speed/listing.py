"""`qm results` of a million tasks: lines per second, and how much client and master grow."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..brief import sized
from ..figure import Figure
from ..rig import processes, run

FEW, MANY = sized((100_000, 1_000_000), (10_000, 100_000))
MOST_GROWN_MB = 10
_POLL_S = 0.005


@dataclass(frozen=True)
class _Listed:
    rate: float
    client_mb: float
    master_mb: float


def measure() -> list[Figure]:
    """Measure two listings, so that memory which any listing takes is not counted as growth."""
    with processes.scratch() as folder, processes.master(folder) as (master, port):
        with processes.worker(folder, port):
            runs = [run.measure(port, count, folder).run for count in (FEW, MANY)]
        few, many = (
            _list(port, number, count, master.pid)
            for number, count in zip(runs, (FEW, MANY), strict=True)
        )
    return [
        Figure(f"results of {MANY:,}", "lines/s", (many.rate,)),
        Figure(f"results of {MANY:,}: the command, peak", "MB", (many.client_mb,)),
        _grown("the command", many.client_mb - few.client_mb),
        _grown("the master", many.master_mb - few.master_mb),
    ]


def _grown(who: str, mb: float) -> Figure:
    name = f"results: {who}, {MANY:,} more than {FEW:,}"
    return Figure(name, "MB", (mb,), at_most=MOST_GROWN_MB)


def _list(port: int, number: int, count: int, master: int) -> _Listed:
    out = processes.CACHE / f"results-{port}-{number}.jsonl"
    command = [sys.executable, "-m", "master", "results", str(number)]
    environment = processes.environment_of({"QUEUE_PORT": str(port)})
    began, peak_mb = time.monotonic(), 0.0
    try:
        with out.open("wb") as file:
            process = subprocess.Popen(command, cwd=processes.ROOT, env=environment, stdout=file)
            while process.poll() is None:
                with contextlib.suppress(OSError, StopIteration):  # it has just ended
                    peak_mb = max(peak_mb, processes.memory_mb(process.pid, "VmHWM"))
                time.sleep(_POLL_S)
        took_s = time.monotonic() - began
        if _lines(out) != count:
            raise RuntimeError(f"{_lines(out):,} lines of {count:,} tasks")
    finally:
        out.unlink()
    return _Listed(count / took_s, peak_mb, processes.memory_mb(master, "VmHWM"))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

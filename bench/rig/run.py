"""One measured run of the job `squares`. A client asks the master for it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from .processes import wait_until
from .session import run_status, start_run


@dataclass(frozen=True)
class RunFigures:
    """rate: tasks per second from the first submit to the last collect.

    runner_s: CPU time of the runner in that time. runner_start_s: its CPU time before that.
    start_s: time from the request for the run to its first task.
    """

    run: int
    rate: float
    start_s: float
    runner_s: float
    runner_start_s: float


def measure(port: int, count: int, folder: Path, job: str = "squares", *more: str) -> RunFigures:
    """Run the job to its end. more: further arguments of its `tasks()`.

    Raises:
        RuntimeError: not every task is done and was collected.
    """
    report = folder / f"report-{time.monotonic_ns()}.json"
    asked_at = time.monotonic()
    run = asyncio.run(start_run(port, [job, f"count={count}", f"report={report}", *more]))
    wait_until(report.exists, f"the report of run {run}")
    _check(port, run, count)
    told = json.loads(report.read_text())
    return RunFigures(
        run,
        count / (told["last_at"] - told["first_at"]),
        told["first_at"] - asked_at,
        told["runner_cpu_s"],
        told["runner_start_cpu_s"],
    )


def start(port: int, args: list[str]) -> int:
    """Ask for a run and return its id. args: the job, and the arguments of its run."""
    return asyncio.run(start_run(port, args))


def _check(port: int, number: int, count: int) -> None:
    run = asyncio.run(run_status(port, number))
    if (run.done, run.dead, run.collect_errors) != (count, 0, 0):
        raise RuntimeError(f"of {count:,} tasks: {run}")

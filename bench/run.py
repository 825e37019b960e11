"""One measured run of the job `squares`: asked for over the wire, its report awaited."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from master.commands import connected
from queue_manager.records import AskStatus, RunStarted, StartRun, Status
from queue_manager.settings import Settings

from .processes import AUTHKEY, wait_until


@dataclass(frozen=True)
class RunFigures:
    """rate: tasks per second from the first submit to the last collect.

    runner_s: CPU time of the runner in that time; runner_start_s: before it.
    start_s: from asking for the run to its first task.
    """

    rate: float
    start_s: float
    runner_s: float
    runner_start_s: float


def settings_for(port: int) -> Settings:
    """A client's settings."""
    return msgspec.structs.replace(Settings(), queue_port=port)


def measure(port: int, count: int, folder: Path) -> RunFigures:
    """Run it to its end. Raises RuntimeError if not every task is done and was collected."""
    report = folder / f"report-{time.monotonic_ns()}.json"
    asked_at = time.monotonic()
    run = asyncio.run(_start(port, ["squares", f"count={count}", f"report={report}"]))
    wait_until(report.exists, f"the report of run {run}")
    asyncio.run(_check(port, run, count))
    found = json.loads(report.read_text())
    return RunFigures(
        count / (found["last_at"] - found["first_at"]),
        found["first_at"] - asked_at,
        found["runner_cpu_s"],
        found["runner_start_cpu_s"],
    )


def start(port: int, words: list[str]) -> int:
    """Ask for a run and return its id."""
    return asyncio.run(_start(port, words))


async def _start(port: int, words: list[str]) -> int:
    async with connected(settings_for(port), AUTHKEY) as link:
        job, *arguments = words
        started = await link.request(lambda seq: StartRun(seq, job, arguments), RunStarted)
        return started.run


async def _check(port: int, number: int, count: int) -> None:
    async with connected(settings_for(port), AUTHKEY) as link:
        status = await link.request(lambda seq: AskStatus(seq, number), Status)
    run = status.runs[0]
    if (run.done, run.dead, run.collect_errors) != (count, 0, 0):
        raise RuntimeError(f"of {count:,} tasks: {run}")

"""Logs counted by one worker and by eight, in containers with a fifth of a processor each.

Eight fifths are less than the two processors that the figures come from, so eight workers have
eight times as much as one. The master and its runner are processes beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes
from ..rig.containers import build_worker, worker
from ..rig.session import run_status, start_run
from . import made

MANY, PART = 8, 0.2
LEAST_FASTER = 4.0
LINES, TIMES = sized(200_000, 2000), sized(5, 1)
ROUNDS = sized(3, 1)
_RANGE_MB = 4
_WARM_MB = 1
"""Smaller, so that every worker gets a range and has imported its libraries before that."""

_LIMIT_S, _LOOK_S = 600.0, 0.2


def measure() -> list[Figure]:
    """Measure one and many in turns. Raises RuntimeError where their reports are not the same."""
    build_worker()
    with processes.scratch() as folder:
        log = folder / "access.log"
        made.write(log, LINES, TIMES)
        megabytes = log.stat().st_size / 1e6
        rates: dict[int, list[float]] = {1: [], MANY: []}
        for _ in range(ROUNDS):
            reports = []
            for count, found in rates.items():
                took_s, report = _counted(folder, count)
                found.append(megabytes / took_s)
                reports.append(report)
            if reports[0]["lists"] != reports[1]["lists"] or reports[0]["lines"] != LINES * TIMES:
                raise RuntimeError("one worker and several have not counted the same")
    one, many = (
        Figure(f"{count} worker{'s' * (count > 1)}, {PART:g} processors each", "MB/s", tuple(found))
        for count, found in rates.items()
    )
    return [one, many, ratio(f"{MANY} / 1", many, one, at_least=LEAST_FASTER)]


def _counted(folder: Path, workers: int) -> tuple[float, dict[str, Any]]:
    """Seconds from the start of a run to its last task, and its report."""
    place = folder / f"{workers}-{time.monotonic_ns()}"
    place.mkdir()
    with (
        processes.master(place, jobs=processes.ROOT / "jobs") as (master, port),
        contextlib.ExitStack() as stack,
    ):
        for _ in range(workers):
            stack.enter_context(worker(port, folder, PART))
        log = master.log
        processes.wait_until(
            lambda: log.read_text().count(" connected with ") == workers, f"{workers} workers"
        )
        _run(port, folder, place / "warm", _WARM_MB)
        took_s = _run(port, folder, place / "out", _RANGE_MB)
    return took_s, json.loads((place / "out" / "report.json").read_text())


def _run(port: int, folder: Path, out: Path, range_mb: int) -> float:
    """Run it to its end. Raises RuntimeError if something of it failed."""
    words = ["logs", f"paths={folder / 'access.log'}", f"out={out}", f"megabytes={range_mb}"]
    number = asyncio.run(start_run(port, words))
    deadline = time.monotonic() + _LIMIT_S
    while (run := asyncio.run(run_status(port, number))).state in ("active", "finishing"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_LIMIT_S:g} s: {run}")
        time.sleep(_LOOK_S)
    if run.state != "done" or run.ended_at is None or run.dead:
        raise RuntimeError(f"the run: {run}")
    return float(run.ended_at - run.started_at)

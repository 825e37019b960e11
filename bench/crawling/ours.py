"""The job `images` under measurement: master and worker as processes, the files in memory."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from queue_manager.messages import AskStatus, RunStarted, StartRun, Status

from .. import processes
from ..session import client
from .crawl import Crawl

MEMORY = Path("/dev/shm")
"""All crawlers write there: a new file on a disk can take longer than all the rest."""

POLITENESS_OFF = ("at_once=0", "per_second=0", "robots=0", "private=1", "pages=1000000")
_LIMIT_S = 300.0
_LOOK_S = 0.2


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that is no disk's."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def measure(site: str) -> Crawl:
    """One worker with one slot; what it needs to start is there before the clock runs."""
    with (
        processes.scratch() as folder,
        memory_folder() as out,
        processes.master(folder, jobs=processes.ROOT / "jobs") as (master, port),
        processes.worker(folder, port, slots=1, jobs=processes.ROOT / "jobs") as worker,
    ):
        crawl(port, site, out / "warm", "depth=0")
        pids = (master.pid, worker.pid, *processes.children(worker.pid))
        before = [processes.cpu_s(pid) for pid in pids]
        took_s, items = crawl(port, site, out / "all", "depth=1000")
        after = [processes.cpu_s(pid) for pid in pids]
        used = [b - a for a, b in zip(before, after, strict=True)]
        stored = sum(1 for line in (out / "all" / "index.jsonl").open())
    return Crawl(items - stored, stored, took_s, sum(used), used)


def crawl(port: int, site: str, out: Path, *more: str) -> tuple[float, int]:
    """Run it to its end: (seconds from its start to its last task, tasks that were done).

    Raises:
        RuntimeError: something of it failed.
    """
    return asyncio.run(_crawl(port, [f"start={site}", f"out={out}", *POLITENESS_OFF, *more]))


async def _crawl(port: int, words: list[str]) -> tuple[float, int]:
    async with client(port) as link, asyncio.timeout(_LIMIT_S):
        started = await link.request(lambda seq: StartRun(seq, "images", words), RunStarted)
        while True:
            await asyncio.sleep(_LOOK_S)
            status = await link.request(lambda seq: AskStatus(seq, started.run), Status)
            run = status.runs[0]
            if run.state not in ("active", "finishing"):
                break
    if run.state != "done" or run.ended_at is None or run.collect_errors:
        raise RuntimeError(f"the crawl: {run}")
    return run.ended_at - run.started_at, run.done

"""The job `images` under measurement: master and worker as processes, the files in memory."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from queue_manager.wire.messages import AskRun, RunShown, RunStarted, StartRun

from ..rig import processes
from ..rig.containers import build_worker, worker
from ..rig.session import client
from . import command
from .crawl import Crawl

MEMORY = Path("/dev/shm")
"""All crawlers write there: a new file on a disk can take longer than all the rest."""

JOBS = processes.ROOT / "jobs"
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
        processes.master(folder, jobs=JOBS) as (master, port),
        processes.worker(folder, port, slots=1, jobs=JOBS) as worker,
    ):
        crawl(port, site, out / "warm", "depth=0")
        slots = [pid for pid in processes.children(worker.pid) if _is_slot(pid)]
        pids = (master.pid, worker.pid, *slots)
        before = [processes.cpu_s(pid) for pid in pids]
        took_s, items = crawl(port, site, out / "all", "depth=1000")
        after = [processes.cpu_s(pid) for pid in pids]
        used = [b - a for a, b in zip(before, after, strict=True)]
        stored = _stored(out / "all")
    return Crawl(items - stored, stored, took_s, sum(used), used)


def whole(site: str) -> command.Command:
    """`qm run images ...` with one slot, from the start of its process to its end.

    Its master and its worker start and end within, and so do the index and the contact sheet.

    Raises:
        subprocess.CalledProcessError: something of it failed.
    """
    with processes.scratch() as folder, memory_folder() as out:
        settings = {
            "MASTER_DATA": str(folder / "data"),
            "HEALTH_FILE": str(folder / "master.health"),
            "JOBS_FOLDER": str(JOBS),
            "QUEUE_PORT": "0",
            "WORKER_SLOTS": "1",
        }
        words = ["run", "images", f"start={site}", f"out={out / 'all'}", *POLITENESS_OFF]
        environment = processes.environment_of(settings)
        return command.run([sys.executable, "-m", "master", *words, "depth=1000"], environment)


def measure_halves(site: str, workers: int) -> Crawl:
    """Workers in containers that may use half a processor each."""
    build_worker()
    with (
        processes.scratch() as folder,
        memory_folder() as out,
        processes.master(folder, jobs=JOBS) as (_, port),
        contextlib.ExitStack() as stack,
    ):
        for _ in range(workers):
            stack.enter_context(worker(port, out, 0.5))
        crawl(port, site, out / "warm", "depth=0")
        took_s, items = crawl(port, site, out / "all", "depth=1000")
        stored = _stored(out / "all")
    return Crawl(items - stored, stored, took_s, 0.0)


def _is_slot(pid: int) -> bool:
    return b"worker.slot.main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _stored(out: Path) -> int:
    with (out / "index.jsonl").open() as lines:
        return sum(1 for _ in lines)


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
            run = (await link.request(lambda seq: AskRun(seq, started.run), RunShown)).run
            if run.state not in ("active", "finishing"):
                break
    if run.state != "done" or run.ended_at is None or run.collect_errors:
        raise RuntimeError(f"the crawl: {run}")
    return run.ended_at - run.started_at, run.done

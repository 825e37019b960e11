"""The job itself: which visitor an address gets, and how long one lives."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobs import images
from jobs.crawl.site import Site, unpacked

ROOT = Path(__file__).resolve().parents[3]


class FakeVisitor:
    """Notes what becomes of it; a visit lasts until it may end."""

    def __init__(self, site: Site, host: str) -> None:
        self.run, self.visits, self.closed = site.run, 0, False
        self.may_end = asyncio.Event()

    async def visit(self, payload: dict[str, Any]) -> str:
        self.visits += 1
        await self.may_end.wait()
        self.visits -= 1
        return self.run

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


@pytest.fixture
def visitors(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeVisitor]:
    made: dict[str, FakeVisitor] = {}

    def make(site: Site, host: str) -> FakeVisitor:
        assert site.run not in made, "a run has one visitor in a process"
        made[site.run] = FakeVisitor(site, host)
        return made[site.run]

    # By sys.modules, as `work` finds it: other tests load the modules of jobs anew.
    monkeypatch.setattr(importlib.import_module("jobs.crawl.visit.visitor"), "Visitor", make)
    monkeypatch.setattr(images, "_visitors", {})
    return made


def payload(run: int) -> dict[str, Any]:
    site = Site(start="http://site.test/", run=str(run), hosts=["site.test"], out="/tmp/none")
    return {"kind": "page", "url": site.start, "site": site.packed()}


def test_the_tasks_of_a_run_share_a_visitor(visitors: dict[str, FakeVisitor]) -> None:
    async def both() -> None:
        tasks = [asyncio.create_task(images.work(payload(1))) for _ in range(2)]
        await asyncio.sleep(0)
        visitors["1"].may_end.set()
        assert await asyncio.gather(*tasks) == ["1", "1"]

    asyncio.run(both())
    assert list(visitors) == ["1"]


def test_a_visitor_is_closed_for_another_run_but_never_while_it_visits(
    visitors: dict[str, FakeVisitor],
) -> None:
    async def scenario() -> None:
        busy = asyncio.create_task(images.work(payload(0)))
        await asyncio.sleep(0)
        for run in range(1, 7):
            task = asyncio.create_task(images.work(payload(run)))
            while str(run) not in visitors:
                await asyncio.sleep(0)
            visitors[str(run)].may_end.set()
            await task
        closed = {run for run, visitor in visitors.items() if visitor.closed}
        assert closed == {"1", "2", "3"}
        visitors["0"].may_end.set()
        assert await busy == "0"

    asyncio.run(scenario())


def test_runs_that_start_at_the_same_moment_have_different_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker keeps a visitor by that name: two runs with one name share it, and lose pages."""
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    start: Any = "http://site.test/"
    first, second = (next(images.tasks(start, out=str(tmp_path))) for _ in range(2))
    assert unpacked(first.payload["site"]).run != unpacked(second.payload["site"]).run


def test_a_folder_that_cannot_be_made_is_one_clear_line() -> None:
    start: Any = "http://site.test/"
    with pytest.raises(ValueError, match=r"out='/proc/none/images' can't be written to: No such"):
        next(images.tasks(start, out="/proc/none/images"))


_IMPORTED = """
import sys
from pathlib import Path
from queue_manager.job.loading import load_job

def imported():
    return [name for name in ("aiohttp", "selectolax", "PIL") if name in sys.modules]

job = load_job("images", Path("jobs").resolve())
next(iter(job.tasks(start="http://site.test/", out=sys.argv[1])))
job.finish(iter(()), out=sys.argv[1], index="jsonl")
print(imported(), file=sys.stderr)
job.setup()
print(imported(), file=sys.stderr)
"""


def test_what_visits_addresses_is_imported_in_a_slot_alone(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _IMPORTED, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines() == ["[]", "['aiohttp', 'selectolax', 'PIL']"]

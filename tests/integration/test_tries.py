"""The tries of a task, from a worker to the disk, a page, its JSON and the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.web import Web, pages_with

HOSTILE = '"><script>document.title="taken"</script>\x1b[31m\u202e'
JOB = f'''\
"""Task 1 fails twice, task 2 always, task 3 is slow at first, task 4 is done at once."""
import os
import pathlib
import signal
import time

from queue_manager import Options, Reject, current_task

HOSTILE = {HOSTILE!r}
OPTIONS = Options(attempts=3, timeout_s=0.5)


def tasks(marker: str = ""):
    yield from [marker] if marker else range(1, 5)


def work(task):
    at = current_task().attempt
    print("printed by try", at, HOSTILE)
    if isinstance(task, str) and not pathlib.Path(task).exists():
        pathlib.Path(task).touch()
        os.kill(os.getppid(), signal.SIGKILL)  # its worker
        time.sleep(60)
    if task == 2 and at == 2:
        raise Reject("no more" + HOSTILE)
    if task == 2 or (task == 1 and at < 3):
        raise ValueError(f"try {{at}}" + HOSTILE)
    if task == 3 and at == 1:
        time.sleep(60)
'''
PLACE = f"failing.py:{JOB[: JOB.index('raise ValueError')].count(chr(10)) + 1}"


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job whose tasks fail in many ways."""
    return pages_with(start_master, failing=JOB)


def worked(web: Web) -> int:
    """A run of that job that has ended; its number."""
    web.master.worker()
    run = web.master.submit("failing")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "failed", what="its end")
    return run


def test_each_try_is_told_with_its_worker_its_seconds_and_what_it_printed(web: Web) -> None:
    since = time.time()
    run = worked(web)
    tries: dict[int, list[dict[str, Any]]] = {
        task: web.json(f"/api/runs/{run}/tasks/{task}")["tries"] for task in range(1, 5)
    }
    told = {task: [(one["number"], one["fate"]) for one in of] for task, of in tries.items()}
    assert told == {
        1: [(3, "done"), (2, "failed"), (1, "failed")],
        2: [(2, "failed"), (1, "failed")],
        3: [(2, "done"), (1, "failed")],
        4: [],
    }, "task 4 was done at its first try"
    done, second, first = tries[1]
    assert done["error"] == done["evidence"] == done["printed"] == ""
    assert (first["exception"], first["place"]) == ("ValueError", PLACE)
    assert first["failure"] == f"ValueError@{PLACE}"
    for at, one in ((1, first), (2, second)):
        assert f"ValueError: try {at}" in one["evidence"]
        assert one["printed"] == f"printed by try {at} {HOSTILE}\n"
    assert "no more" in tries[2][0]["error"]
    assert 0.4 < tries[3][1]["took_s"] < 20, "its time limit"
    for one in (one for of in tries.values() for one in of):
        assert since - 1 < one["started_at"] <= one["ended_at"] < time.time() + 1
        assert one["started_at"] == pytest.approx(one["ended_at"] - one["took_s"])
        assert one["worker"]


def test_a_try_that_is_lost_with_its_worker_is_told_too(web: Web) -> None:
    marker = web.master.folder / "marker"
    web.master.worker()
    run = web.master.submit("failing", f"marker={marker}")
    eventually(marker.exists, what="the end of the first worker")
    web.master.worker()
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "done", what="its end")
    done, lost = web.json(f"/api/runs/{run}/tasks/1")["tries"]
    assert (done["number"], done["fate"], lost["number"], lost["fate"]) == (2, "done", 1, "lost")
    assert done["worker"] != lost["worker"]
    assert "its lease was lost" in lost["error"]
    page = web.page(f"/runs/{run}/tasks/1")
    assert "state-lost" in page
    assert "Held for" in page


def test_a_page_shows_them_escaped_and_folded_and_a_retry_keeps_them(web: Web) -> None:
    run = worked(web)
    page = web.page(f"/runs/{run}/tasks/1")
    assert page.count("<details id=") == page.count("<details") == 2
    assert page.index("Try 3") < page.index('id="try-2"') < page.index('id="try-1"')
    assert "<details open" not in page
    assert "<script>document" not in page
    assert not set(page) & {"\x1b", "\u202e"}
    assert "printed by try 2" in unescape(page)
    web.master.command("retry", str(run), "2")
    eventually(lambda: len(web.json(f"/api/runs/{run}/tasks/2")["tries"]) == 4, what="four tries")
    shown = web.master.command("show", str(run), "2").out
    numbers = [line.split()[1] for line in shown.splitlines() if line.startswith("  try ")]
    assert numbers == ["4", "3", "2", "1"]
    assert shown.count("printed by try 1") == 2
    assert not set(shown) & {"\x1b", "\u202e"}
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "failed", what="its end")
    assert web.master.command("forget", str(run)).code == 0
    eventually(lambda: web.get(f"/api/runs/{run}/tasks/2").code == 404, what="its end")

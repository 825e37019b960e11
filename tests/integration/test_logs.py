"""The job `logs` with a master and workers of its own, some of them killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.ground.processes import children
from tests.integration.processes import REPO, Master, eventually
from tests.unit.jobs.weblog.logs_made import many

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def logs_master(start_master: Callable[..., Master]) -> Master:
    """A master with the job."""
    master = start_master()
    for name in ("weblog", "output"):
        shutil.copytree(REPO / "jobs" / name, master.jobs / name)
    shutil.copy(REPO / "jobs" / "logs.py", master.jobs)
    return master


def truth(lines: list[str]) -> dict[str, int]:
    """How often each path came."""
    paths = [line.split('"')[1].split()[1] for line in lines]
    return {path: paths.count(path) for path in set(paths)}


def test_the_counts_are_right_when_workers_and_the_master_are_killed(
    logs_master: Master, tmp_path: Path
) -> None:
    lines = many(150_000)
    for number in range(4):
        text = "".join(f"{line}\n" for line in lines[number::4])
        (tmp_path / f"access.{number}").write_text(text)
    out = tmp_path / "out"
    run = logs_master.submit("logs", f"paths={tmp_path}/access.*", f"out={out}", "megabytes=1")
    worker = logs_master.worker(WORKER_SLOTS="1")
    eventually(lambda: int(logs_master.run_line(run)["done"]) >= 2, what="two ends of tasks")
    for pid in children(worker.popen.pid, "worker.slot.main"):
        os.kill(pid, signal.SIGKILL)
    logs_master.process.kill()
    logs_master.serve()
    worker.kill()
    assert int(logs_master.run_line(run)["done"]) < 15, "all was over before the first kill"
    logs_master.worker(WORKER_SLOTS="2")
    eventually(lambda: logs_master.run_line(run)["state"] == "done", what="the end of the run")
    data = json.loads((out / "report.json").read_text())
    assert data["ranges"]["planned"] == data["ranges"]["counted"] >= 12
    assert (data["lines"], data["requests"], data["unparsable"]) == (150_000, 150_000, 0)
    assert {row["value"]: row["requests"] for row in data["lists"]["path"]["rows"]} == truth(lines)
    assert (out / "index.html").read_text().count("<rect") > 24


def test_wrong_arguments_are_one_line(logs_master: Master) -> None:
    refused = logs_master.command("submit", "logs", "paths=/x", "by=colour").refusal
    assert refused.startswith("qm: argument 'by' is a list with commas between them, of status,")


def test_no_file_is_a_dead_letter_that_says_so(logs_master: Master, tmp_path: Path) -> None:
    logs_master.worker()
    ended = logs_master.command(
        "submit", "logs", f"paths={tmp_path}/none*", f"out={tmp_path}/out", "--wait"
    )
    assert ended.code == 1
    shown = logs_master.command("failed", "1")
    assert f"no file matches {tmp_path}/none*" in shown.out

"""Unequal machines: with real workers, one of which has what a job needs."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from tests.integration.processes import Master, Process, eventually

HELD = """
import os, time
from pathlib import Path
from queue_manager import Options
OPTIONS = Options(needs={"gpu"}, losses=9)
def tasks(count: int):
    yield from range(count)
def work(n):
    while n == 0 and not Path("go").exists():
        time.sleep(0.02)
    return os.getppid()
"""


def lines_of(status: str, worker: Process) -> list[str]:
    """What `status` has of a worker: its line, and the one below that says what it runs."""
    lines = status.splitlines()
    at = next(i for i, line in enumerate(lines) if f"/{worker.popen.pid} " in line)
    return lines[at : at + 2]


def test_tasks_go_where_their_tags_are_and_status_says_when_nobody_has_them(
    master: Master,
) -> None:
    (master.jobs / "held.py").write_text(HELD)
    plain, tagged = master.worker(), master.worker(WORKER_TAGS=" ssd, gpu")
    assert master.process.lines(rf"/{tagged.popen.pid} connected with 2 slot\(s\), tags gpu,ssd")
    run = master.submit("held", "count=40")
    eventually(lambda: master.run_line(run)["done"] == "39")
    status = eventually(
        lambda: found if "runs" in lines_of(found := master.status(), tagged)[1] else ""
    )
    line, runs = lines_of(status, tagged)
    address, version, tags = r"127\.0\.0\.1:\d+", r"0\.1\.0", "gpu,ssd"
    name = f"{re.escape(socket.gethostname())}/{tagged.popen.pid}"
    assert re.match(rf"worker  {name} +{address} +{version} +\d+ s +2 +1 +.* s  {tags}$", line)
    assert re.fullmatch(rf" +runs {run}/1 for \d+\.\d s", runs)
    assert re.search(rf"^client  \S+/\d+ +{address} +{version} +0 s", status, re.M)
    assert lines_of(status, plain)[0].split()[-1] == "0", "it holds nothing"

    tagged.kill()
    reason = "! no worker has the tag gpu: start one with WORKER_TAGS=gpu"
    eventually(lambda: reason in master.status(), what=reason)
    assert master.process.says(rf"run {run} \(held\) waits: no worker has the tag gpu")
    assert master.run_line(run)["waiting"] == "1"

    Path(master.folder, "go").touch()
    another = master.worker(WORKER_TAGS="gpu")
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert "!" not in master.status()
    ran = {one["result"] for one in master.results(run)}
    assert ran == {tagged.popen.pid, another.popen.pid}
    assert os.getpid() not in ran


def test_what_a_job_needs_can_change_while_it_waits(master: Master) -> None:
    job = master.jobs / "held.py"
    job.write_text(HELD)
    Path(master.folder, "go").touch()
    plain = master.worker()
    run = master.submit("held", "count=3")
    eventually(lambda: master.run_line(run)["waiting"] == "3")
    job.write_text(HELD.replace('needs={"gpu"}, ', ""))
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert {one["result"] for one in master.results(run)} == {plain.popen.pid}


def test_a_wrong_tag_is_one_line_that_names_the_variable(master: Master) -> None:
    worker = master.start("wrong.log", "worker", WORKER_TAGS="gpu,big mem")
    assert worker.wait() == 2
    (line,) = worker.log.splitlines()
    assert line.startswith("WORKER_TAGS='gpu,big mem': expected tags with commas between them")

"""`status` says why tasks wait, and runs that ended long ago go."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from tests.integration.processes import Master, eventually


def test_nothing_is_said_at_first_then_that_no_worker_is_connected(master: Master) -> None:
    begun = time.monotonic()
    run = master.submit("count_up", "count=5")
    eventually(lambda: master.run_line(run)["waiting"] == "5")
    reason = "! no worker is connected"
    assert "!" not in master.status() or time.monotonic() - begun > 3.0
    eventually(lambda: reason in master.status(), what=reason)
    assert time.monotonic() - begun > 3.0
    line = master.process.says(rf"run {run} \(count_up\) waits: no worker is connected")
    assert "python -m worker" in line
    master.worker()
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert "!" not in master.status()


def test_submit_wait_says_why_nothing_moves_and_nothing_more_when_it_does(master: Master) -> None:
    waiting = master.start("waits.log", "master", "submit", "count_up", "count=5", "--wait")
    line = waiting.says("^run 1 waits: no worker is connected")
    assert "python -m worker" in line
    master.worker()
    assert waiting.wait() == 0
    assert len(waiting.lines(" waits: ")) == 1


def test_a_back_off_is_said_with_its_end(master: Master) -> None:
    (master.jobs / "later.py").write_text(
        "from queue_manager import Retry\ndef tasks():\n    yield 1\n"
        "def work(n):\n    raise Retry(300)\n"
    )
    master.worker()
    run = master.submit("later")
    eventually(lambda: "! its one task waits for a delay" in master.status())
    shown = master.command("show", "1", "1").out
    assert re.search(rf"run {run} \(later\), task 1: delayed, for 2\d\d", shown), shown


def test_a_seed_whose_results_were_pruned_does_not_run_again(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="square", JOB_ARGS="count=3", QUEUE_KEEP_DAYS="0")
    master.worker()
    master.process.says(r"run 1 \(square\): 3 tasks done")
    master.process.says(r"run 1 \(square\) was pruned")
    assert "run 1 (square) ended long ago and was pruned" in master.command("results", "1").refusal
    assert "square count=3" not in master.status()
    master.process.kill()
    master.serve()
    line = master.process.says("its results were pruned")
    assert "Submit another: qm submit square count=3 --wait" in line
    assert len(master.process.lines("run 1 .* started")) == 1
    assert master.submit("square", "count=1", "--wait") == 2

"""A job that changes while its run goes on: the master's file rules, and nothing is restarted."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.processes import Master, eventually

JOB = """
import os, time

def tasks(gate: str, count: int = 8):
    for n in range(count):
        yield [n, gate]

def work(item):
    n, gate = item
    while not os.path.exists(gate) and n >= 2:
        time.sleep(0.01)
    return {result}
"""


def test_a_change_in_mid_run_is_logged_and_taken_by_the_next_tasks(
    master: Master, tmp_path: Path
) -> None:
    job = master.jobs / "changing.py"
    job.write_text(JOB.format(result="'old'"))
    worker = master.worker()
    run = master.submit("changing", f"gate={tmp_path / 'gate'}")
    # By then the slots have given back what they had not begun.
    two_seconds = r"leased for (?![01]\.)\d"
    eventually(lambda: re.search(two_seconds, master.command("show", str(run), "3").out))
    eventually(lambda: master.run_line(run)["leased"] == "2")
    job.write_text(JOB.format(result="'new'"))
    master.process.says(
        rf"run {run} \(changing\): its code has changed \(\w{{8}} -> \w{{8}}\)", 8.0
    )
    (tmp_path / "gate").touch()
    tasks = master.ended_tasks(run, 8)
    # The two that were done, the two that ran; whatever had not begun has the new code.
    assert sorted(task["result"] for task in tasks) == ["new"] * 4 + ["old"] * 4
    assert {task["attempts"] for task in tasks} == {1}
    assert worker.popen.poll() is None


def test_tasks_wait_while_the_file_does_not_import_and_go_on_when_it_is_mended(
    master: Master, tmp_path: Path
) -> None:
    job = master.jobs / "changing.py"
    job.write_text(JOB.format(result="n"))
    run = master.submit("changing", f"gate={tmp_path / 'gate'}")
    (tmp_path / "gate").touch()
    eventually(lambda: master.run_line(run)["waiting"] == "8")
    job.write_text("def work(:\n")
    line = master.process.says(r"changing.py line 1: SyntaxError")
    assert line.endswith("tasks of changing wait until that is mended")
    master.worker()
    reason = r"! \S*changing.py line 1: SyntaxError.* wait until that is mended"
    eventually(lambda: re.search(reason, master.status()))
    # A slot that finds out what is wrong has leases for a moment, and gives them back.
    eventually(lambda: master.run_line(run)["waiting"] == "8")
    assert master.run_line(run)["dead"] == "0"
    job.write_text(JOB.format(result="n"))
    tasks = master.ended_tasks(run, 8)
    assert {(task["state"], task["attempts"]) for task in tasks} == {("done", 1)}
    assert len(master.process.lines("SyntaxError.* wait until that is mended")) >= 1
    assert "SyntaxError" not in master.status()


def test_a_worker_that_keeps_to_other_code_gets_nothing_and_status_names_it(
    master: Master, tmp_path: Path
) -> None:
    job = master.jobs / "changing.py"
    job.write_text(JOB.format(result="n"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "changing.py").write_text(JOB.format(result="'wrong'"))
    worker = master.worker(JOBS_FOLDER=str(elsewhere), WORKER_JOBS="local")
    (tmp_path / "gate").touch()
    run = master.submit("changing", f"gate={tmp_path / 'gate'}")
    lacks = "can't run changing: its elsewhere/changing.py is another version"
    reason = rf"! \S*/{worker.popen.pid} {lacks}"
    eventually(lambda: re.search(reason, master.status()), what="status names the worker")
    assert master.process.says(r"run 1 \(changing\) waits: .* another version")
    assert master.results(run) == []
    (elsewhere / "changing.py").write_text(job.read_text())
    assert len(master.ended_tasks(run, 8)) == 8


def test_a_stalled_run_goes_on_by_itself_when_its_job_is_mended_or_is_tried_again_by_retry(
    master: Master, tmp_path: Path
) -> None:
    """One of each, side by side: it takes a runner's five deaths until a run is stalled."""
    (master.jobs / "stuck.py").write_text(
        "import os\ndef tasks(flag: str):\n    if not os.path.exists(flag):\n"
        "        raise RuntimeError('not yet')\n    yield 1\ndef work(n):\n    return n\n"
    )
    master.worker()
    half, stuck = master.submit("half"), master.submit("stuck", f"flag={tmp_path / 'flag'}")
    master.process.says(rf"run {half} \(half\) is stalled")
    master.process.says(rf"run {stuck} \(stuck\) is stalled")

    assert f"mend jobs/half.py, or `qm retry {half}`" in master.status()
    job = master.jobs / "half.py"
    job.write_text(job.read_text().replace('raise RuntimeError("no more")', "yield 5"))
    tasks = master.ended_tasks(half, 6)
    assert [task["payload"] for task in tasks] == [0, 1, 2, 3, 4, 5]
    eventually(lambda: master.run_line(half)["state"] == "done")

    assert master.run_line(stuck)["state"] == "stalled"  # nothing of it has changed
    (tmp_path / "flag").touch()
    retried = master.command("retry", str(stuck))
    assert retried.out == f"run {stuck}: its runner starts again\n"
    assert len(master.ended_tasks(stuck, 1)) == 1
    eventually(lambda: master.run_line(stuck)["state"] == "done")

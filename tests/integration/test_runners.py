"""Runners: bad ones stall alone, killed ones go on where they were."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.processes import Master, eventually


def test_a_segfault_in_tasks_stalls_its_run_and_no_other(master: Master) -> None:
    master.worker()
    crash = master.submit("crash")
    fine = master.submit("count_up", "count=50")
    assert len(master.ended_tasks(fine, 50)) == 50
    line = master.process.says(rf"run {crash} \(crash\) is stalled")
    assert "killed by SIGSEGV, 5 times without progress" in line
    assert master.run_line(crash)["state"] == "stalled"
    assert "! its runner was killed by SIGSEGV, 5 times" in master.status()
    after = master.submit("count_up", "count=5", "--wait")
    assert len(master.results(after)) == 5


def test_tasks_that_never_yields_holds_nobody_up(master: Master) -> None:
    master.worker()
    endless = master.submit("endless")
    fine = master.submit("count_up", "count=50")
    assert len(master.ended_tasks(fine, 50)) == 50
    client = master.client()
    client("(tasks.put(1), tasks.get(), results.put(2))")
    assert client("results.get(timeout=30)") == 2
    assert (master.run_line(endless)["state"], master.run_line(endless)["tasks"]) == ("active", "0")
    assert master.process.terminate() == 0


def test_a_refused_submit_leaves_no_runner_behind(master: Master) -> None:
    """One gets ready while the job is looked at."""
    refused = master.command("submit", "count_up", "cuont=5")
    assert refused.code == 2
    eventually(lambda: master.children("master.runner.main") == [])


def test_a_runner_that_is_killed_goes_on_behind_what_was_accepted(master: Master) -> None:
    run = master.submit("count_up", "count=60", "yield_s=0.02")
    eventually(lambda: int(master.run_line(run)["tasks"]) >= 10, what="some tasks are accepted")
    (runner,) = master.children("master.runner.main")
    os.kill(runner, signal.SIGKILL)
    master.process.says(rf"the runner of run {run} \(count_up\) was killed by SIGKILL")
    master.worker()
    tasks = master.ended_tasks(run, 60)
    assert [task["payload"] for task in tasks] == list(range(60))
    eventually(lambda: master.run_line(run)["state"] == "done")


@pytest.mark.alone
def test_a_killed_collect_repeats_at_most_the_last_tenth_of_a_second(master: Master) -> None:
    """5 ms a call, so 20 calls in 0.1 s: a page of all 300 results would repeat far more."""
    master.worker()
    run = master.submit("slow_collect")
    collected = master.process.lines
    for reached in (60, 180):
        eventually(lambda reached=reached: len(collected("collected")) >= reached)
        (runner,) = master.children("master.runner.main")
        os.kill(runner, signal.SIGKILL)
        master.process.says(rf"the runner of run {run} \(slow_collect\) was killed by SIGKILL")
        eventually(
            lambda runner=runner: master.children("master.runner.main") not in ([], [runner])
        )
    master.process.says(rf"run {run} \(slow_collect\): 300 tasks done")
    times = Counter(line.split()[-1] for line in collected("collected"))
    assert len(times) == 300
    assert sum(times.values()) - 300 <= 2 * 20


def test_what_was_yielded_before_an_error_is_run(master: Master) -> None:
    master.worker()
    run = master.submit("half")
    assert [task["payload"] for task in master.ended_tasks(run, 5)] == [0, 1, 2, 3, 4]
    line = master.process.says(rf"run {run} \(half\) is stalled")
    assert "RuntimeError: no more" in line
    assert len(master.results(run)) == 5


def test_a_value_error_before_the_first_task_may_be_an_arguments_fault(master: Master) -> None:
    early = master.submit("particular", "out=/nowhere")
    late = master.submit("particular", "out=/nowhere", "late=yes")
    line = master.process.says(rf"run {early} \(particular\) is stalled")
    assert "ValueError: out='/nowhere' is not writable" in line
    assert f"if an argument is wrong, `qm cancel {early}` and submit it again" in line
    line = master.process.says(rf"run {late} \(particular\) is stalled")
    assert f"; mend jobs/particular.py, or `qm retry {late}`" in line


def test_tasks_that_gives_nothing_to_iterate_over_is_one_line(master: Master) -> None:
    master.submit("not_iterable")
    master.process.says("not_iterable: tasks.. returned int: it must yield payloads")
    assert not master.process.lines("Traceback")


def test_a_runner_that_is_killed_while_it_only_waits_never_stalls_its_run(
    master: Master, tmp_path: Path
) -> None:
    """Its tasks() has no more to give and collect() nothing to collect: no code of the user's."""
    master.jobs.joinpath("quiet.py").write_text(
        "import os, time\n"
        "def tasks(gate: str):\n    yield gate\n"
        "def work(gate):\n    while not os.path.exists(gate):\n        time.sleep(0.01)\n"
        "def collect(gate, result):\n    print('collected it')\n"
    )
    master.worker()
    run = master.submit("quiet", f"gate={tmp_path / 'gate'}")
    eventually(lambda: master.run_line(run)["leased"] == "1")
    for times in range(1, 7):
        (runner,) = eventually(lambda: _waiting(master), what="the runner waits")
        os.kill(runner, signal.SIGKILL)
        eventually(lambda times=times: len(master.process.lines("killed by SIGKILL")) == times)
    assert master.run_line(run)["state"] == "active"
    (tmp_path / "gate").touch()
    master.process.says("^collected it")
    master.process.says(rf"run {run} \(quiet\): 1 task done")


def _waiting(master: Master) -> list[int]:
    """The runner, when it has said hello and had time to ask for its outcomes."""
    runners = master.children("master.runner.main")
    return runners if "\nrunner " in master.status() else []


def test_a_runner_that_leaves_a_process_behind_is_started_again(master: Master) -> None:
    master.jobs.joinpath("leaver.py").write_text(
        "import os, subprocess\n"
        "def tasks():\n    yield 1\n    subprocess.Popen(['sleep', '60'])\n    os._exit(3)\n"
        "def work(n):\n    return n\n"
    )
    run = master.submit("leaver")
    line = master.process.says(rf"run {run} \(leaver\) is stalled")
    assert "ended with exit code 3, 5 times" in line


def test_a_job_whose_import_leaves_a_process_behind_is_looked_at_all_the_same(
    master: Master,
) -> None:
    master.jobs.joinpath("starter.py").write_text(
        "import subprocess\nsubprocess.Popen(['sleep', '60'])\n"
        "def tasks():\n    yield 1\n"
        "def work(n):\n    return n\n"
    )
    master.worker()
    run = master.submit("starter")
    assert len(master.ended_tasks(run, 1)) == 1


def test_tasks_that_ends_the_process_in_order_is_a_death_as_any_other(master: Master) -> None:
    master.jobs.joinpath("leaves.py").write_text(
        "import os\ndef tasks():\n    yield from ()\n    os._exit(0)\ndef work(n):\n    return n\n"
    )
    run = master.submit("leaves")
    line = master.process.says(rf"run {run} \(leaves\) is stalled")
    assert "exit code 0 and had not said that it is done, 5 times" in line
    assert master.run_line(run)["state"] == "stalled"


def test_a_collect_that_asks_the_process_to_end_is_an_error_of_the_jobs(master: Master) -> None:
    master.jobs.joinpath("quits.py").write_text(
        "import sys\n"
        "def tasks():\n    yield from range(4)\n"
        "def work(n):\n    return n\n"
        "def collect(n, result):\n"
        "    print('collected', n)\n"
        "    if n == 1:\n        sys.exit(3)\n"
        "    if n == 2:\n        raise KeyboardInterrupt\n"
        "    if n == 3:\n        raise GeneratorExit\n"
    )
    master.worker()
    run = master.submit("quits", "--wait")
    # What a runner prints is read beside its messages, and may come behind the end of the run.
    for line, count in ((r"^collected", 4), (r"collect\(\) failed", 3)):
        eventually(lambda line=line, n=count: len(master.process.lines(line)) == n, what=line)
    assert not master.process.lines(rf"the runner of run {run} ")


def test_a_runner_that_closes_its_connection_is_started_again(master: Master) -> None:
    """Its `tasks()` goes on, and nobody would hear of it."""
    master.jobs.joinpath("deaf.py").write_text(
        "import os, time\n"
        "def tasks(mark: str):\n"
        "    if not os.path.exists(mark):\n"
        "        open(mark, 'w').close()\n"
        "        os.closerange(3, 256)\n"
        "        time.sleep(600)\n"
        "    yield 1\n"
        "def work(n):\n    return n\n"
    )
    master.worker()
    run = master.submit("deaf", f"mark={master.jobs / 'mark'}")
    eventually(lambda: len(master.results(run)) == 1)


def test_a_runner_that_is_stopped_by_a_signal_is_told(master: Master) -> None:
    run = master.submit("endless")
    eventually(lambda: "\nrunner " in master.status())
    (runner,) = master.children("master.runner.main")
    os.kill(runner, signal.SIGSTOP)
    eventually(lambda: f"kill -CONT {runner}" in master.status())
    os.kill(runner, signal.SIGCONT)
    eventually(lambda: "kill -CONT" not in master.status())
    assert master.run_line(run)["state"] == "active"

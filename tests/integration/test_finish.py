"""finish(): once a run has ended and all was collected, with every result; again after a death."""

from __future__ import annotations

import os
import signal
from ast import literal_eval
from pathlib import Path

import pytest

from tests.integration.processes import Master, Place, eventually


class Closing:
    """The job `closing` and the folder that it writes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def words(self) -> list[str]:
        """Its job and the argument that it must have."""
        return ["closing", f"out={self.folder}"]

    def touch(self, name: str) -> None:
        """The file that something waits for."""
        (self.folder / name).touch()

    def lines(self, word: str) -> list[str]:
        """What was written with that first word."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.removeprefix(word).strip() for line in lines if line.startswith(word)]

    def wait(self, word: str, times: int) -> None:
        """Until it was written so many times."""
        eventually(lambda: len(self.lines(word)) >= times, what=f"{word} {times} times")

    @property
    def finished(self) -> list[list[tuple[int, int]]]:
        """What each call of finish() was given."""
        return [literal_eval(line) for line in self.lines("finished")]


@pytest.fixture
def closing(tmp_path: Path) -> Closing:
    return Closing(tmp_path / "closing")


def squares(count: int, step: int = 1) -> list[tuple[int, int]]:
    return [(n, n * n) for n in range(0, count, step)]


def over(master: Master, run: int) -> None:
    """Wait for the line that says that a run is over."""
    master.process.says(rf"^run {run} \(closing\): ")


def kill_runner(master: Master) -> None:
    (runner,) = master.children("master.runner.main")
    os.kill(runner, signal.SIGKILL)


def test_finish_gets_every_result_behind_the_last_collect_and_the_run_is_over_behind_it(
    master: Master, closing: Closing
) -> None:
    master.worker()
    waits = master.start("wait.log", "master", "submit", *closing.words, "count=300", "--wait")
    closing.wait("begun", 1)
    assert closing.lines("begun") == ["300 by default"]
    assert len(closing.lines("collected")) == 300
    run = int(waits.says(r"^\d+$"))
    line = master.run_line(run)
    assert (line["state"], line["done"]) == ("finishing", "300")
    assert not master.process.lines(rf"run {run} \(closing\): ")
    assert waits.popen.poll() is None
    closing.touch("gate")
    assert waits.wait() == 0
    assert master.run_line(run)["state"] == "done"
    over(master, run)
    (found,) = closing.finished
    assert [n for n, _ in found] == [int(n) for n in closing.lines("collected")]
    assert sorted(found) == squares(300)


def test_a_runner_that_is_killed_in_finish_calls_it_again_and_once_it_has_returned_nobody_does(
    master: Master, closing: Closing
) -> None:
    master.worker()
    run = master.submit(*closing.words)
    closing.wait("begun", 1)
    kill_runner(master)
    closing.wait("begun", 2)
    closing.touch("gate")
    over(master, run)
    master.process.kill()
    master.serve()
    again = master.submit(*closing.words, "count=3")
    closing.wait("finished", 2)  # a runner of the first run would have been started before
    eventually(lambda: master.children("master.runner.main") == [])
    assert [sorted(found) for found in closing.finished] == [squares(10), squares(3)]
    assert (master.run_line(run)["state"], master.run_line(again)["state"]) == ("done", "done")
    assert len(closing.lines("collected")) == 13


def test_a_master_that_is_killed_in_finish_has_it_called_again(
    master: Master, closing: Closing
) -> None:
    """Also when nothing was done: the run has ended all the same."""
    master.worker()
    run = master.submit(*closing.words, "count=4")
    none = master.submit(*closing.words, "count=0")
    closing.wait("begun", 2)
    master.process.kill()
    eventually(lambda: master.process.popen.poll() is not None)
    master.serve()
    closing.wait("begun", 4)
    assert {master.run_line(n)["state"] for n in (run, none)} == {"finishing"}
    closing.touch("gate")
    over(master, run)
    over(master, none)
    assert sorted(map(sorted, closing.finished)) == [[], squares(4)]


def test_a_run_that_was_cancelled_is_finished_with_what_was_done(
    master: Master, closing: Closing
) -> None:
    master.worker()
    run = master.submit(*closing.words, "hold=yes", "count=10")
    closing.wait("collected", 4)
    assert master.command("cancel", str(run)).code == 0
    closing.wait("begun", 1)
    assert master.run_line(run)["state"] == "finishing"
    closing.touch("gate")
    eventually(lambda: master.run_line(run)["state"] == "cancelled")
    eventually(lambda: master.children("master.runner.main") == [])
    assert [sorted(found) for found in closing.finished] == [squares(4)]
    assert not master.process.lines("the runner of run")


def test_a_cancel_stops_tasks_before_finish(master: Master, closing: Closing) -> None:
    master.jobs.joinpath("forever.py").write_text(
        "import itertools, os, time\n"
        "def tasks(out: str):\n"
        "    for n in itertools.count():\n"
        "        yield n\n"
        "        time.sleep(0.01)\n"
        "        open(f'{out}/log', 'a').write(f'yielded by {os.getpid()}\\n')\n"
        "def work(n):\n    return n\n"
        "def finish(results, out):\n"
        "    open(f'{out}/log', 'a').write(f'finished {len(list(results))}\\n')\n"
    )
    master.worker()
    run = master.submit("forever", f"out={closing.folder}")
    eventually(lambda: int(master.run_line(run)["done"]) >= 10)
    assert master.command("cancel", str(run)).code == 0
    closing.wait("finished", 1)
    line = master.run_line(run)
    assert closing.lines("finished") == [line["done"]]
    assert len(set(closing.lines("yielded"))) == 1
    log = (closing.folder / "log").read_text().splitlines()
    assert log[-1].startswith("finished")


def test_a_retry_is_finished_at_its_new_end_with_all_results(
    master: Master, closing: Closing
) -> None:
    master.worker()
    closing.touch("gate")
    run = master.submit(*closing.words, "odd=no")
    closing.wait("finished", 1)
    eventually(lambda: master.run_line(run)["state"] == "failed")
    assert master.command("retry", str(run)).code == 0
    closing.wait("finished", 2)  # they failed again: nothing new was done
    eventually(lambda: master.run_line(run)["state"] == "failed")
    closing.touch("mended")
    assert master.command("retry", str(run)).code == 0
    closing.wait("finished", 3)
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert [sorted(f) for f in closing.finished] == [squares(10, 2), squares(10, 2), squares(10)]
    assert len(closing.lines("collected")) == 10


def test_a_retry_while_finish_runs_is_finished_once_more(master: Master, closing: Closing) -> None:
    """Also when that has ended, too, before the first finish() returns."""
    master.worker()
    run = master.submit(*closing.words, "odd=no")
    closing.wait("begun", 1)
    closing.touch("mended")
    assert master.command("retry", str(run)).code == 0
    eventually(lambda: master.run_line(run)["done"] == "10")
    closing.touch("gate")
    closing.wait("finished", 2)
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert [sorted(found) for found in closing.finished] == [squares(10, 2), squares(10)]
    assert len(closing.lines("collected")) == 10


def test_an_exception_in_finish_is_told_with_its_traceback_and_does_not_loop(
    master: Master, closing: Closing
) -> None:
    master.worker()
    closing.touch("gate")
    closing.touch("raise")
    waited = master.command("submit", *closing.words, "--wait")
    told = "s; collect(), report() or finish() raised 1 time: see the master's log\n"
    assert waited.err.endswith(told)
    run = int(waited.out)
    over(master, run)
    log = master.process.log
    assert 'finish() failed:\nTraceback (most recent call last):\n  File "' in log
    (first,) = [line for line in log.splitlines() if line.startswith("  File ")]
    assert "closing.py" in first
    assert "ValueError: no more room" in log
    assert master.run_line(run)["collect_errors"] == "1"
    assert "! collect(), report() or finish() raised 1 time: see" in master.status()
    assert master.run_line(run)["state"] == "done"
    master.process.kill()
    master.serve()
    assert master.run_line(run)["collect_errors"] == "1"
    assert master.children("master.runner.main") == []
    assert len(closing.finished) == 1


def test_the_same_command_goes_on_with_a_finish_that_was_interrupted(
    place: Place, closing: Closing
) -> None:
    first = place.start("run.log", "master", "run", *closing.words, WORKER_SLOTS="1")
    closing.wait("begun", 1)
    first.popen.send_signal(signal.SIGINT)
    assert first.wait() == 130
    closing.touch("gate")
    second = place.command("run", *closing.words, WORKER_SLOTS="1")
    assert second.code == 0, repr(second)
    assert "run 1 goes on: 10 of 10 tasks are done" in second.err
    assert [sorted(found) for found in closing.finished] == [squares(10)]


DEADLY = (
    "import os\n"
    "def tasks(at: str):\n    yield 1\n"
    "def work(n):\n    return n\n"
    "def collect(n, result):\n    if AT == 'collect':\n        os.abort()\n"
    "def finish(results, at):\n    if at == AT:\n        os.abort()\n    print('finished it')\n"
)


@pytest.mark.parametrize("at", ["collect", "finish"])
def test_a_collect_or_finish_that_kills_its_process_stalls_the_run_until_it_is_mended(
    master: Master, at: str
) -> None:
    job = master.jobs / "deadly.py"
    job.write_text(f"AT = {at!r}\n{DEADLY}")
    master.worker()
    waits = master.start("wait.log", "master", "submit", "deadly", f"at={at}", "--wait")
    assert waits.wait() == 1
    run = int(waits.lines(r"^\d+$")[0])
    assert master.run_line(run)["state"] == "stalled"
    died = "its runner was killed by SIGABRT, 5 times without progress"
    assert waits.lines(f"{died}; mend jobs/deadly.py, then")
    assert not master.process.lines("^finished it")
    job.write_text(f"AT = ''\n{DEADLY}")
    assert master.command("retry", str(run)).code == 0
    master.process.says("^finished it")
    eventually(lambda: master.run_line(run)["state"] == "done")


def test_a_finish_that_wants_what_tasks_does_not_have_is_refused_at_submit(master: Master) -> None:
    source = master.jobs / "closing.py"
    source.write_text(source.read_text().replace("late=", "early, late="))
    assert master.command("submit", "closing", "out=x").refusal == (
        "qm: jobs/closing.py: finish() takes 'early', which tasks() does not have:"
        " give it a default"
    )

"""What a client hears of tasks that fail, and of tasks that it cancels, from real workers."""

from __future__ import annotations

from pathlib import Path

from queue_manager import Reject, WorkerDiedError
from queue_manager.client.exceptions import exception_of
from queue_manager.wire.messages import CancelRun, Collect, Page, TasksCancelled
from tests.integration.processes import Master, eventually


def test_dead_letters_come_as_exceptions_in_the_pages_of_results(master: Master) -> None:
    master.worker()
    assert master.command("submit", "fragile", "--wait").code == 1
    page = master.asked(Collect(1, 1, 0, dead=True), Page)
    assert page.complete
    assert sum(o.stop - o.start for o in page.outcomes) == 3
    assert page.last == max(letter.seq for letter in [*page.dead, *page.outcomes])
    made = {letter.task: exception_of(letter) for letter in page.dead}
    assert sorted(made) == [2, 3, 4]
    assert (type(made[2]), str(made[2])) == (ValueError, "2 is even")
    assert 'fragile.py", line' in str(made[2].__cause__)
    assert type(made[3]) is WorkerDiedError
    assert "killed by SIGKILL" in str(made[3])
    assert "goodbye" in str(made[3].__cause__)
    assert (type(made[4]), str(made[4])) == (Reject, "not four")


def test_tasks_that_wait_are_cancelled_while_others_run_over_a_restart(
    master: Master, tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    master.worker()
    run = master.submit("held", f"gate={gate}", f"log={log}", "count=5000")
    eventually(log.exists, what="a task that runs")
    eventually(lambda: master.run_line(run)["exhausted"] == "True", what="all tasks")
    before = master.asked(CancelRun(1, run, [(4_000, 4_002)]), TasksCancelled)
    assert before.ranges == [(4_000, 4_002)]
    answer = master.asked(CancelRun(2, run, unstarted=True), TasksCancelled)
    assert answer.complete
    cancelled = 2 + sum(stop - start for start, stop in answer.ranges)
    assert cancelled > 4_900
    master.process.kill()
    master.serve()
    gate.touch()
    line = master.process.says(rf"run {run} \(held\): .* done, 0 dead letters, .* cancelled")
    assert f"{5_000 - cancelled} task" in line
    assert f"{cancelled:,} cancelled" in line
    begun = {int(entry.split()[0]) + 1 for entry in log.read_text().splitlines()}
    assert not any(start <= task < stop for task in begun for start, stop in answer.ranges)
    page = master.asked(Collect(1, run, 0, dead=True), Page)
    assert sum(stop - start for start, stop in page.cancelled) == cancelled
    assert master.run_line(run)["state"] == "done"

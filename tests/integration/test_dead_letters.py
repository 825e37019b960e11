"""failed, show, retry, cancel and forget, as a user types them."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master.changes import CollectCursor, RunCounts, RunState
from master.store.sqlite.engine import SqliteStore
from queue_manager.wire.messages import RetryRun, encode
from queue_manager.wire.records import RunOptions
from tests.integration.processes import Master, eventually
from tests.unit.master.store_records import block, commit, run_record, tracked


def with_dead_letters(master: Master) -> Master:
    """Run 1 has ended with three dead letters among its six tasks."""
    master.worker()
    ended = master.command("submit", "fragile", "--wait")
    assert ended.code == 1, repr(ended)
    assert "3 tasks done, 3 dead letters" in ended.err
    master.process.says(
        r"3 tasks done, 3 dead letters in .* See them: qm failed 1\. Submit another"
    )
    return master


@pytest.fixture
def fragile(master: Master) -> Master:
    """A master with dead letters for one test, which may do with them what it likes."""
    return with_dead_letters(master)


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master with dead letters for all tests that change nothing."""
    started: list[Any] = []
    try:
        yield with_dead_letters(Master(tmp_path_factory.mktemp("looked-at"), started))
    finally:
        for process in reversed(started):
            process.end()


def test_failed_shows_every_dead_letter_with_its_evidence(looked_at: Master) -> None:
    text = looked_at.command("failed", "1").out
    title, *letters = text.split("\n\n")
    assert title == "run 1 (fragile): 3 dead letters. Mend jobs/fragile.py, then: qm retry 1"
    assert [letter.splitlines()[0].partition(":")[0] for letter in letters] == [
        "task 2",
        "task 3",
        "task 4",
    ]
    raised, killed, rejected = letters
    assert raised.startswith("task 2: ValueError: 2 is even\n  payload    2\n  key        'k2'\n")
    assert re.search(r'^  \|   File ".*fragile.py", line \d+, in work$', raised, re.MULTILINE)
    assert re.search(r"^  worker     \S+/\d+$", raised, re.MULTILINE)
    assert "killed by SIGKILL" in killed
    assert "  | goodbye" in killed
    assert rejected.startswith("task 4: not four\n")


def test_failed_as_json_has_the_fields_of_results_and_the_evidence(looked_at: Master) -> None:
    text = looked_at.command("failed", "1", "--format", "jsonl").out
    lines = [json.loads(line) for line in text.splitlines()]
    dead = [line for line in looked_at.results(1) if line["state"] == "dead"]
    assert [{name: line[name] for name in dead[0]} for line in lines] == dead
    assert set(lines[0]) - set(dead[0]) == {"losses", "worker", "evidence", "printed"} | {
        "failure",
        "died_at",
    }
    assert lines[0]["evidence"].startswith("Traceback")
    assert lines[0]["printed"] == "looking at 2\nthis is odd\n"


def test_show_tells_what_the_last_bad_try_printed(looked_at: Master) -> None:
    text = looked_at.command("show", "1", "2").out
    assert text.startswith("run 1 (fragile), task 2: dead letter\n  payload    2\n")
    assert "the end of it:\n  | looking at 2\n  | this is odd\n  try 1      failed after " in text
    assert "goodbye" in looked_at.command("show", "1", "3").out.partition("printed")[2]
    done = looked_at.command("show", "1", "6").out
    assert done.startswith("run 1 (fragile), task 6: done\n  payload    6\n  result     36\n")
    assert "output is kept of failed tries only" in done


def test_a_mended_job_is_retried_without_any_restart(fragile: Master) -> None:
    job = fragile.jobs / "fragile.py"
    job.write_text(re.sub(r"if n == \d", "if n == 99", job.read_text()))
    assert fragile.command("retry", "1").out == "run 1: 3 dead letters go back\n"
    eventually(lambda: fragile.run_line(1)["state"] == "done", what="all are done")
    assert [task["result"] for task in fragile.results(1)] == [n * n for n in range(1, 7)]
    fragile.process.says(r"run 1 \(fragile\): its code has changed \(\w{8} -> \w{8}\)")
    fragile.process.says(r"run 1 \(fragile\): 6 tasks done, 0 dead letters")
    assert fragile.command("failed", "1").out == "run 1 (fragile): no dead letters\n"
    assert fragile.command("retry", "1").out == "run 1: it has no dead letters\n"


def test_some_dead_letters_are_retried_with_a_reason_that_outlasts_a_restart(
    fragile: Master,
) -> None:
    nothing = fragile.command("retry", "1", "--error", "KeyError")
    assert nothing.code == 2
    assert nothing.refusal.startswith("qm: run 1: no dead letter is what you ask for; there are")
    assert "ValueError@fragile.py:" in nothing.refusal
    assert "WorkerDiedError (task 3)" in nothing.refusal
    job = fragile.jobs / "fragile.py"
    job.write_text(re.sub(r"if n == 2", "if n == 99", job.read_text()))
    chosen = ["1", "--error", "ValueError", "--since", "2020-01-01"]
    letters = fragile.command("failed", *chosen).out
    assert "task 2: ValueError" in letters
    assert "task 3" not in letters
    told = fragile.command("retry", *chosen, "--reason", "two is odd now").out
    assert told == "run 1: 1 dead letter goes back\n"
    eventually(lambda: fragile.run_line(1)["dead"] == "2", what="the others stay")
    eventually(lambda: fragile.run_line(1)["state"] == "failed", what="it has ended again")
    told = fragile.command("retry", "1", "3", "6", "--reason", "look again").out
    assert told == "run 1: 1 dead letter goes back, of 2 tasks\n"
    eventually(lambda: fragile.run_line(1)["state"] == "failed", what="task 3 dies again")
    fragile.process.says(
        r"run 1 \(fragile\): 1 dead letter is tried again, asked by client \S+/\d+: two is odd now"
    )
    fragile.process.kill()
    fragile.serve()
    shown = fragile.command("show", "1", "2").out
    assert re.search(r"^  retried    at \S+ \S+ by client \S+/\d+: two is odd now$", shown, re.M)
    shown = fragile.command("show", "1", "3").out
    assert "task 3: dead letter" in shown
    assert re.search(r"^  retried    at \S+ \S+ by client \S+/\d+: look again$", shown, re.M)


def test_a_retry_with_a_job_that_does_not_import_is_refused(fragile: Master) -> None:
    (fragile.jobs / "fragile.py").write_text("def work(:\n")
    assert "fragile.py line 1: SyntaxError" in fragile.command("retry", "1").refusal
    assert fragile.run_line(1)["state"] == "failed"


def test_cancel_ends_a_run_with_its_runner_and_its_running_tasks(
    master: Master, tmp_path: Path
) -> None:
    worker = master.worker()
    log = tmp_path / "began"
    run = master.submit("held", f"gate={tmp_path / 'gate'}", f"log={log}")
    waits = master.start("waits.log", "master", "submit", "held", "gate=x", "log=y", "--wait")
    eventually(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    assert master.command("cancel", str(run)).out == f"run {run}: 20 tasks cancelled\n"
    slots = [int(line.split()[1]) for line in log.read_text().splitlines()]
    eventually(lambda: not any(Path(f"/proc/{slot}").exists() for slot in slots))
    line = master.run_line(run)
    assert (line["state"], line["cancelled"], line["leased"]) == ("cancelled", "20", "0")
    assert master.command("show", str(run), "9").out.startswith(
        f"run {run} (held), task 9: cancelled\n"
    )
    other = int(waits.says(r"^\d+$"))
    eventually(lambda: master.run_line(other)["tasks"] == "20")  # its number comes before them
    assert master.command("cancel", str(other)).code == 0
    assert waits.wait() == 1
    assert waits.lines("0 tasks done, 0 dead letters, 20 cancelled")
    eventually(lambda: master.children("master.runner.main") == [])
    after = master.submit("count_up", "count=5", "--wait")
    assert len(master.results(after)) == 5
    assert worker.popen.poll() is None


def test_cancel_stops_what_tasks_has_started(master: Master, tmp_path: Path) -> None:
    log = tmp_path / "child"
    run = master.submit("ticking", f"log={log}")
    eventually(lambda: log.exists() and log.read_text())
    child = int(log.read_text())
    eventually(lambda: int(master.run_line(run)["tasks"]) > 0)
    assert master.command("cancel", str(run)).code == 0
    eventually(lambda: master.children("master.runner.main") == [])
    eventually(lambda: not _runs(child), what="its child is gone")
    assert not master.process.lines("the runner of run")


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_forget_deletes_a_run_and_its_key(fragile: Master) -> None:
    first = fragile.submit("count_up", "count=3", "--key", "once", "--wait")
    assert fragile.command("forget", str(first)).out == (
        f"run {first}: gone, with 3 tasks and their results\n"
    )
    for command in ("status", "results", "failed", "retry", "cancel", "forget"):
        refusal = fragile.command(command, str(first)).refusal
        assert refusal.startswith(f"qm: no run {first}; there is 1"), command
    again = fragile.submit("count_up", "count=3", "--key", "once", "--wait")
    assert again > first
    fragile.process.terminate()
    fragile.serve()
    assert f"no run {first}" in fragile.command("status", str(first)).refusal
    assert len(fragile.results(again)) == 3
    assert fragile.run_line(1)["dead"] == "3"


def test_what_cannot_be_done_is_one_line(fragile: Master, tmp_path: Path) -> None:
    def refusal(*words: str) -> str:
        return fragile.command(*words).refusal.removeprefix("qm: ")

    assert refusal("failed", "9").startswith("no run 9; there is 1")
    assert refusal("show", "1", "7") == "run 1 has no task 7; it has 1 to 6"
    assert refusal("show", "0", "1") == "run 0 has no task 1; it has none yet"
    assert refusal("cancel", "1") == "run 1 has ended: failed"
    assert "queue run" in refusal("cancel", "0")
    assert "run 0" in refusal("forget", "0")
    words = (f"gate={tmp_path / 'gate'}", f"log={tmp_path / 'log'}")
    held = fragile.submit("held", *words)
    assert f"run {held} has not ended" in refusal("forget", str(held))
    assert fragile.command("cancel", str(held)).code == 0
    assert "cancelled" in refusal("retry", str(held))


CLOSES = """
import os
from queue_manager import Options
OPTIONS = Options(attempts=1)
def tasks(): return range(20)
def work(n):
    if n == 7: os.closerange(3, 256)
    return n
"""

DEAF = """
import asyncio
from queue_manager import Options
OPTIONS = Options(attempts=1, timeout_s=1.0)
def tasks(): return [0, 1, 2]
async def work(n):
    while n == 1:
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
    return n
"""


@pytest.mark.parametrize(
    ("source", "bad", "says"),
    [(CLOSES, 7, "its pipe to the worker was closed"), (DEAF, 1, "timed out after 1 s")],
    ids=["a pipe that was closed", "a coroutine that swallows its cancellation"],
)
def test_a_task_that_breaks_its_slot_is_one_dead_letter_and_the_run_ends(
    start_master: Callable[..., Master], source: str, bad: int, says: str
) -> None:
    """It is not tried without end, and the only slot there is works again."""
    master = start_master()
    (master.jobs / "breaks.py").write_text(source)
    worker = master.worker(WORKER_SLOTS="1")
    run = master.submit("breaks")
    ended = master.ended_tasks(run, 3 if source is DEAF else 20)
    assert [t["payload"] for t in ended if t["state"] == "dead"] == [bad]
    assert says in next(t["error"] for t in ended if t["state"] == "dead")
    assert len(worker.lines("died|timed out")) <= 3
    again = master.submit("square", "count=3")
    assert len(master.ended_tasks(again, 3)) == 3


def test_a_master_that_is_killed_in_a_retry_of_very_many_loses_none_and_does_the_rest_later(
    tmp_path: Path, start_master: Callable[..., Master]
) -> None:
    many = 40_000
    failed_with(tmp_path / "data", many)
    master = start_master()
    with contextlib.closing(master.session()) as connection:
        connection.send_bytes(encode(RetryRun(1, 1)))
        eventually(lambda: any(run.run == 1 and run.dead < many for run in master.runs()))
        master.process.kill()
    master.serve()
    line = {name: int(master.run_line(1)[name]) for name in ("dead", "waiting", "delayed")}
    left = line["dead"]
    assert 0 < left < many
    assert sum(line.values()) == many
    again = master.command("retry", "1")
    assert again.out == f"run 1: {left:,} dead letters go back\n", repr(again)
    line = {name: int(master.run_line(1)[name]) for name in ("dead", "waiting", "delayed")}
    assert (line["dead"], sum(line.values())) == (0, many)


def failed_with(data: Path, letters: int) -> None:
    """A store with a run of a program, whose tasks are all dead letters."""
    store = SqliteStore(data)
    closed = {"state": RunState.FAILED, "collect_cursor": CollectCursor(closed=True)}
    options = RunOptions(feeder="client")
    run = run_record(
        job="square", args=[], exhausted=True, options=options, ended_at=time.time(), **closed
    )
    commit(store, runs={1: run})
    for number, first in enumerate(range(1, letters + 1, 1_000), 1):
        one = block(number, first, 1_000)
        dead = [
            tracked(one, at, "dead", seq=first + at, error="KeyError: 1") for at in range(1_000)
        ]
        tasks = first + 999
        commit(
            store,
            one,
            tracked={key: record for some in dead for key, record in some.items()},
            counts={1: RunCounts(tasks, dead=tasks, last_dead=tasks)},
        )
    store.close()

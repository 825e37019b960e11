"""The commands of design section 4, each as a user types it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.ground.canary import slowness
from tests.integration.processes import REPO, Master, Place, Process, eventually

SQUARE = re.compile(r"^(\d+) \* (\d+) = (\d+)$")


COUNTS_SCRYPT = """
import hashlib, os
scrypt = hashlib.scrypt
def counted(*args, **more):
    with open(os.environ["SCRYPT_LOG"], "a") as log:
        print("scrypt", file=log)
    return scrypt(*args, **more)
hashlib.scrypt = counted
"""


def processes_in(place: Place) -> list[str]:
    """The command lines of processes whose environment has the data folder of this place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if place.settings["MASTER_DATA"].encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
    return found


def squares(text: str) -> list[tuple[int, int, int]]:
    """The lines that look like the tutorial's."""
    found = [SQUARE.match(line) for line in text.splitlines()]
    return [(int(m[1]), int(m[2]), int(m[3])) for m in found if m]


def test_run_prints_ten_squares_and_ends(place: Place) -> None:
    ended = place.command("run", "square", "count=10", QUEUE_PORT="", WORKER_SLOTS="2")
    assert ended.code == 0, repr(ended)
    lines = squares(ended.out)
    assert len(lines) == 10
    assert all(a == b and c == a * b for a, b, c in lines)
    assert "10 tasks done, 0 dead letters" in ended.err


def test_run_takes_a_free_port_when_5000_is_taken_and_none_was_set(place: Place) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(AssertionError):  # a program that stays there is as good
            eventually(lambda: listens(taken, 5000), 20.0)  # another test's `run` leaves it
        ended = place.command("run", "square", "count=2", QUEUE_PORT="", WORKER_SLOTS="1")
        assert (ended.code, len(squares(ended.out))) == (0, 2), repr(ended)
        refused = place.command("run", "square", "count=2", QUEUE_PORT="5000")
        assert refused.refusal.startswith("qm: QUEUE_BIND=127.0.0.1, QUEUE_PORT=5000: can't listen")


def listens(sock: socket.socket, port: int) -> bool:
    """Whether a socket has the port of this machine now."""
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen()
    except OSError:
        return False
    return True


def test_all_processes_of_a_run_stretch_the_key_once(place: Place, tmp_path: Path) -> None:
    """The worker and the runner get the keys that the master has made of it."""
    log = tmp_path / "stretched"
    (tmp_path / "sitecustomize.py").write_text(COUNTS_SCRYPT)
    ended = place.command(
        "run", "square", "count=2", PYTHONPATH=f"{tmp_path}:{REPO}", SCRYPT_LOG=str(log)
    )
    assert (ended.code, len(squares(ended.out))) == (0, 2), repr(ended)
    assert log.read_text().splitlines() == ["scrypt"]


def test_the_worker_of_a_run_that_never_begins_ends_with_it(place: Place) -> None:
    for words in (["--no-such-option"], ["no_such_job"], ["square", "count=x"]):
        ended = place.command("run", *words)
        assert ended.code == 2, repr(ended)
        assert not processes_in(place), words


def test_run_with_a_dead_letter_exits_with_1(place: Place) -> None:
    ended = place.command("run", "not_plain", WORKER_SLOTS="1")
    assert ended.code == 1, repr(ended)
    assert "0 tasks done, 1 dead letter" in ended.err
    assert " See them: qm serve, and beside it qm failed 1.\n" in ended.err


def test_an_interrupted_run_goes_on_with_the_same_command(place: Place, tmp_path: Path) -> None:
    first, words = interrupted(place, tmp_path / "gate")
    assert first.lines("the same command goes on where it was")

    second = place.command(*words, WORKER_SLOTS="2")
    assert second.code == 0, repr(second)
    assert "run 1 goes on: 10 of 40 tasks are done" in second.err
    assert "run 1 (count_up): 40 tasks done" in second.err
    assert done_in(place) == 40  # each once


def test_a_second_ctrl_c_ends_a_run_at_once_and_the_same_command_goes_on_at_once(
    place: Place, tmp_path: Path
) -> None:
    """Its worker has left in good order, so nobody waits for it."""
    gate = tmp_path / "gate"
    began = time.monotonic()
    first, words = begun(place, gate, WORKER_DRAIN_S="60")
    start_s, began = time.monotonic() - began, time.monotonic()
    first.popen.send_signal(signal.SIGINT)
    first.says("^stopping: running tasks get 60 s; Ctrl-C again ends now$", 20.0)
    assert first.popen.poll() is None  # its tasks have time
    first.popen.send_signal(signal.SIGINT)
    assert first.wait() == 130
    assert time.monotonic() - began < 20.0 * slowness()
    assert first.lines("the same command goes on where it was")
    assert not first.lines("lost the master|Traceback")
    gate.touch()
    began = time.monotonic()
    second = place.command(*words, WORKER_SLOTS="2")
    assert second.code == 0, repr(second)
    assert "run 1 goes on: 10 of 40 tasks are done" in second.err
    # A worker that may still hold something has 5 s to come. A slow machine starts slowly.
    assert time.monotonic() - began < 4.0 * slowness() + 2 * start_s


def test_run_ends_with_its_own_run_not_with_another_of_the_store(
    place: Place, tmp_path: Path
) -> None:
    interrupted(place, tmp_path / "gate")  # it ends within the next command, before that one's
    second = place.command("run", "count_up", "count=80", "yield_s=0.02", WORKER_SLOTS="2")
    assert second.code == 0, repr(second)
    assert "run 2 (count_up): 80 tasks done" in second.err


def begun(place: Place, gate: Path, **settings: str) -> tuple[Process, tuple[str, ...]]:
    """Run 1, when 10 of its 40 tasks are done and the others wait for the gate; its command."""
    words = ("run", "count_up", "count=40", f"gate={gate}")
    first = place.start("first.log", "master", *words, **{"WORKER_SLOTS": "2", **settings})
    first.says("^run 1 .* started")
    eventually(lambda: done_in(place) == 10, what="the tasks before the gate are done")
    return first, words


def interrupted(place: Place, gate: Path) -> tuple[Process, tuple[str, ...]]:
    """The same, stopped and then free to go on."""
    first, words = begun(place, gate, WORKER_DRAIN_S="0.2")
    assert first.terminate() == 130
    gate.touch()
    return first, words


def done_in(place: Place) -> int:
    """How many results of run 1 are in a store, read beside its master."""
    database = place.folder / "data" / "queue.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        query = "SELECT COALESCE(SUM(stop - start), 0) FROM outcomes WHERE run = 1"
        return int(store.execute(query).fetchone()[0])


def test_submit_wait_ends_with_the_run(master: Master) -> None:
    master.worker()
    ended = master.command("submit", "count_up", "count=20", "--wait")
    assert (ended.code, ended.out) == (0, "1\n"), repr(ended)
    assert "run 1 (count_up): 20 tasks done, 0 dead letters in" in ended.err
    assert len(master.results(1)) == 20
    assert master.command("submit", "not_plain", "--wait").code == 1


def test_ctrl_c_of_a_submit_that_waits_ends_the_command_and_not_the_run(
    master: Master, tmp_path: Path
) -> None:
    words = ("submit", "count_up", "count=40", f"gate={tmp_path / 'gate'}", "--wait")
    waiting = master.start("waiting.log", "master", *words)
    waiting.says("^1$")
    waiting.popen.send_signal(signal.SIGINT)
    assert waiting.wait() == 130
    assert waiting.lines("^run 1 goes on: qm status 1, or qm cancel 1$")
    assert not waiting.lines("Traceback")
    assert master.run_line(1)["state"] == "active"


def test_the_time_of_a_run_includes_its_finish(master: Master, tmp_path: Path) -> None:
    master.worker()
    words = ("submit", "closing", f"out={tmp_path}", "--wait")
    waiting = master.start("waiting.log", "master", *words)
    eventually((tmp_path / "log").exists)
    eventually(lambda: "begun" in (tmp_path / "log").read_text())
    opened = time.monotonic()
    eventually(lambda: time.monotonic() - opened > 1.5)  # what finish() takes
    (tmp_path / "gate").touch()
    line = waiting.says("10 tasks done, 0 dead letters in")
    assert float(line.split()[-2]) >= 1.5, line
    assert float(master.process.says("10 tasks done").split(" in ")[1].split()[0]) >= 1.5


def test_the_same_key_gives_the_same_run(master: Master) -> None:
    first = master.submit("count_up", "count=3", "--key", "once")
    assert master.submit("count_up", "count=3", "--key", "once") == first
    assert master.submit("count_up", "count=3", "--key", "again") == first + 1
    master.process.terminate()
    master.serve()
    assert master.submit("count_up", "count=3", "--key", "once") == first
    master.worker()
    assert len(master.ended_tasks(first, 3)) == 3


def test_a_key_that_is_taken_by_something_else_is_said_to_be(master: Master) -> None:
    """A typing error must not look like a submit that worked."""
    first = master.submit("count_up", "count=3", "--key", "once")
    for words in (["square"], ["nobody"], ["count_up", "count=4"]):
        ended = master.command("submit", *words, "--key", "once")
        assert f"the key 'once' is that of run {first} (count_up count=3)" in ended.refusal


def test_the_same_key_at_the_same_time_gives_one_run(master: Master) -> None:
    words = ("master", "submit", "count_up", "--key", "once")
    terminals = [master.start(f"terminal-{n}.log", *words) for n in range(4)]
    assert [terminal.wait() for terminal in terminals] == [0] * 4
    assert {terminal.log for terminal in terminals} == {"1\n"}


def test_results_come_as_lines_of_json_or_csv_in_task_order(master: Master) -> None:
    client = master.client()
    payloads = [10**30, b"\x00\xff", (1, {2}), 'a,b\n"c"']
    client("[tasks.put(value) for value in payloads]", payloads=payloads)
    client("[tasks.get() and results.put({'n': n}) for n in range(4)]")
    lines = [json.loads(line) for line in master.command("results", "0").out.splitlines()]
    fields = ["run", "task", "key", "state", "attempts", "payload", "result", "error"]
    assert [list(line) for line in lines] == [fields] * 4
    assert [line["payload"] for line in lines] == [
        10**30, {"$bytes": "AP8="}, {"$tuple": [1, {"$set": [2]}]}, "a,b\n\"c\""
    ]  # fmt: skip
    assert [line["result"] for line in lines] == [{"n": n} for n in range(4)]
    text = master.command("results", "0", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["task"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[3]["payload"] == 'a,b\n"c"'
    assert [json.loads(row["result"]) for row in rows] == [{"n": n} for n in range(4)]


def test_a_job_copied_into_the_folder_can_be_submitted_at_once(master: Master) -> None:
    worker = master.worker()
    assert "no job 'cubes'" in master.command("submit", "cubes").refusal
    job = "def tasks():\n    yield 3\n\n\ndef work(n):\n    return n ** {}\n"
    (master.jobs / "cubes.py").write_text(job.format(3))
    run = master.submit("cubes", "--wait")
    assert [task["result"] for task in master.results(run)] == [27]
    (master.jobs / "cubes.py").write_text(job.format(4))

    def result() -> int:
        (task,) = master.results(master.submit("cubes", "--wait"))
        return int(task["result"])

    eventually(lambda: result() == 81, what="the mended code runs")
    assert worker.popen.poll() is None


def test_a_seed_runs_once_however_often_the_master_starts(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="square", JOB_ARGS="count=10")
    worker = master.worker()
    master.process.says(r"run 1 \(square\): 10 tasks done, 0 dead letters")
    eventually(lambda: len(squares(master.process.log)) == 10)
    assert worker.terminate() == 0
    assert master.process.terminate() == 0
    master.serve()
    eventually(lambda: len(master.process.lines(r"run 1 \(square\): 10 tasks done")) == 2)
    assert len(master.process.lines(r"^\d+ -> \d+$")) == 10  # its last results
    assert len(master.process.lines("run 1 .* started")) == 1
    assert "    2  " not in master.status()


def test_our_worker_runs_what_stock_clients_put_with_the_work_of_job(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="count_up", JOB_ARGS="count=0")
    master.worker()
    client = master.client()
    client("[tasks.put(n) for n in (2, 3)]")
    assert sorted(client("[results.get(timeout=10) for _ in range(2)]")) == [4, 9]


@pytest.mark.alone
def test_a_worker_killed_in_the_middle_loses_no_result(master: Master, tmp_path: Path) -> None:
    workers = [master.worker(), master.worker()]
    run = in_the_middle(master, tmp_path / "gate")
    workers[0].kill()
    master.process.says(
        rf"worker .*/{workers[0].popen.pid} left, \d+ task\(s\) offered again", slowness()
    )
    (tmp_path / "gate").touch()
    all_done_once(master, run)
    assert workers[1].popen.poll() is None


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_master_that_is_restarted_in_the_middle_finishes_the_run(
    how: str, master: Master, tmp_path: Path
) -> None:
    worker = master.worker()
    run = in_the_middle(master, tmp_path / "gate")
    getattr(master.process, how)()
    master.serve()
    (tmp_path / "gate").touch()
    all_done_once(master, run)
    eventually(lambda: master.run_line(run)["state"] == "done")
    assert worker.popen.poll() is None


def in_the_middle(master: Master, gate: Path) -> int:
    """A run that has ten of its hundred tasks done, and waits before the gate with all slots."""
    run = master.submit("count_up", "count=100", f"gate={gate}")
    slots = master.workers * 2

    def stands() -> bool:
        line = master.run_line(run)
        return (line["tasks"], line["done"]) == ("100", "10") and int(line["leased"]) >= slots

    eventually(stands, what="the run stands before the gate")
    return run


def all_done_once(master: Master, run: int) -> None:
    """Every task of the run has its one result, and no attempt was charged."""
    tasks = master.ended_tasks(run, 100)
    assert [task["task"] for task in tasks] == list(range(1, 101))
    assert [task["result"] for task in tasks] == [n * n for n in range(100)]
    assert {task["attempts"] for task in tasks} == {1}


def test_help_lists_the_commands(place: Place) -> None:
    ended = place.command("--help")
    commands = ("serve", "run", "submit", "status", "results", "failed", "show", "retry")
    for command in (*commands, "cancel", "forget"):
        assert re.search(rf"^  {command} ", ended.out, re.MULTILINE), ended.out


def test_a_master_whose_terminal_ends_stops_in_good_order(
    start_master: Callable[..., Master],
) -> None:
    """SIGHUP is as SIGTERM."""
    master = start_master()
    master.process.popen.send_signal(signal.SIGHUP)
    assert master.process.wait() == 0
    assert master.process.lines("^stopped")


def test_status_shows_the_runs_of_a_state_and_of_a_job(master: Master) -> None:
    active, cancelled = master.submit("square", "count=1"), master.submit("count_up", "count=1")
    assert master.command("cancel", str(cancelled)).code == 0

    def shown(*words: str) -> list[int]:
        ended = master.command("status", *words)
        assert ended.code == 0, repr(ended)
        assert "session " not in ended.out
        rows = [line.split() for line in ended.out.splitlines()]
        return [int(row[0]) for row in rows if row and row[0].isdecimal()]

    assert shown("--state", "cancelled") == [cancelled]
    assert shown("--job", "square", "--all") == [active]
    assert shown("--state", "done", "--job", "square") == []
    refused = master.command("status", str(active), "--state", "done")
    assert (refused.code, "RUN is one run" in refused.err) == (2, True)

"""Both tutorials' own scripts, run by the system's Python with nothing installed.

What differs from the text of the tutorials is in `REPLACED`, and nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import HERE, Master, Process, clean_environment, eventually
from tests.integration.stock import SYSTEM_PYTHON

SQUARES_KEY = "abc"
IMAGES_KEY = "痛点就是起点"

REPLACED = {
    "squares_worker.py": [
        ("server_addr, 5000)", "server_addr, {port})"),
        ("Queue.Empty", "queue.Empty"),  # a NameError in Python 3
    ],
    "squares_master.py": [
        ("('', 5000)", "('127.0.0.1', {port})"),
        ("manager.start()", "manager.connect()"),  # a second terminal: the master runs already,
        ("manager.shutdown()\n", ""),  # and is not its to shut down
    ],
    "images_worker.py": [
        ("serverAddr, 8001)", "serverAddr, {port})"),
        ("authkey='痛点就是起点'", "authkey='痛点就是起点'.encode()"),  # Python 3 wants bytes
    ],
    "images_master.py": [
        ("('', 8001)", "('127.0.0.1', {port})"),
        ("authkey='痛点就是起点'", "authkey='痛点就是起点'.encode()"),
        ("import random, time, Queue", "import random, time, queue as Queue"),  # Python 2's name
        ("manager.start()", "manager.connect()"),
        ("manager.shutdown()\n", "pass\n"),
    ],
}


def tutorial(script: str, master: Master, name: str = "terminal") -> Process:
    """Start a script of a tutorial against a master, in a terminal of that name."""
    text = (HERE / "tutorials" / script).read_text("utf-8")
    for theirs, ours in REPLACED[script]:
        assert text.count(theirs) == 1, f"{theirs!r} in {script}"
        text = text.replace(theirs, ours.format(port=master.port))
    # A file for each process: to write it again would cut it short for one that still reads it.
    path = master.folder / f"{name}.py"
    path.write_text(text, "utf-8")
    log = path.with_suffix(".log")
    words = [SYSTEM_PYTHON, "-I", "-S", "-u", str(path)]
    process = Process(log, words, clean_environment({"LANG": "C.UTF-8"}))
    master.started.append(process)
    return process


def test_each_tutorials_worker_script_does_a_run_of_squares(
    start_master: Callable[..., Master],
) -> None:
    seed = {"JOB": "square", "JOB_ARGS": "count=10"}
    squares = start_master("squares", QUEUE_AUTHKEY=SQUARES_KEY, **seed)
    images = start_master("images", QUEUE_AUTHKEY=IMAGES_KEY, **seed)
    squares.process.says("run 1 .* started")
    images.process.says("run 1 .* started")
    workers = [tutorial("squares_worker.py", squares), tutorial("images_worker.py", images)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert workers[0].lines("^Work exit")
    assert workers[1].lines("^worker exit")

    done = squares.ended_tasks(1, 10)
    assert [task["task"] for task in done] == list(range(1, 11))
    for task in done:
        n = task["payload"]
        assert (task["state"], task["result"]) == ("done", f"{n} * {n} = {n * n}")
    done = images.ended_tasks(1, 10)
    assert [task["result"] for task in done] == [f"{t['payload']} ---> success" for t in done]
    assert len(done) == 10
    squares.process.says(r"run 1 \(square\): 10 tasks done, 0 dead letters")


@pytest.mark.alone
def test_a_tutorials_worker_killed_in_mid_task_has_its_task_taken_again_within_a_second(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_AUTHKEY=SQUARES_KEY, JOB="square", JOB_ARGS="count=0")
    workers = [tutorial("squares_worker.py", master, f"terminal-{i}") for i in range(3)]
    for worker in workers:
        worker.says("^task queue is empty")
    run = master.submit("square", "count=2")

    def taken() -> list[tuple[Process, str]]:
        return [(w, line) for w in workers for line in w.lines(r"^run task \d+ ")]

    (victim, task), _ = eventually(lambda: found if len(found := taken()) == 2 else [])
    victim.kill()
    killed_at = time.monotonic()
    eventually(lambda: len(taken()) == 3, 5.0, "taken again")
    assert time.monotonic() - killed_at < 1.0
    assert task in [line for worker, line in taken() if worker is not victim]

    done = master.ended_tasks(run, 2)
    assert [(t["task"], t["state"]) for t in done] == [(1, "done"), (2, "done")]
    assert [t["result"] for t in done] == [
        "{0} * {0} = {1}".format(t["payload"], t["payload"] ** 2) for t in done
    ]


@pytest.mark.parametrize("source", ["the environment", "a key file"])
def test_the_chinese_key_works_on_all_paths(
    source: str, start_master: Callable[..., Master], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{IMAGES_KEY}\n", "utf-8")
    in_environment = {"QUEUE_AUTHKEY": IMAGES_KEY, "QUEUE_AUTHKEY_FILE": ""}
    in_file = {"QUEUE_AUTHKEY": "", "QUEUE_AUTHKEY_FILE": str(file)}
    master = start_master(**(in_environment if source == "the environment" else in_file))
    for settings in (in_environment, in_file):
        ended = master.command("status", **settings)
        assert (ended.code, ended.out.startswith("master ")) == (0, True), repr(ended)
    master.worker(**in_file)
    master.worker(**in_environment)
    assert master.client(key=IMAGES_KEY)("tasks.qsize()") == 0
    worker = tutorial("images_worker.py", master)
    assert worker.wait() == 0, worker.log


def test_the_tutorials_master_side_puts_ten_and_gets_those_ten_beside_another_run(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_AUTHKEY=SQUARES_KEY, JOB="square", JOB_ARGS="count=200")
    terminal = tutorial("squares_master.py", master)
    terminal.says("Try get results")
    master.worker()
    assert terminal.wait() == 0, terminal.log
    put = [int(n) for n in re.findall(r"Put task (\d+)\.\.\.", terminal.log)]
    got = [int(n) for n in re.findall(r"Result: (\d+)", terminal.log)]
    assert len(put) == 10
    assert sorted(got) == sorted(n * n for n in put)
    assert len(master.ended_tasks(1, 200)) == 200  # the other run kept its results


def test_a_tutorials_master_side_and_its_workers_meet_beside_another_run(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_AUTHKEY=IMAGES_KEY, JOB="square", JOB_ARGS="count=4")
    master.process.says("run 1 .* started")
    terminal = tutorial("images_master.py", master)
    terminal.says("try get result")
    # `while not task.empty(): task.get(...)` of several is a race that one loses at the end.
    for number in range(4):
        tutorial("images_worker.py", master, f"terminal-{number}")
    assert terminal.wait() == 0, terminal.log
    got = sorted(line.removeprefix("result is ") for line in terminal.lines("^result is"))
    assert got == [f"ImageUrl_{i} ---> success" for i in range(10)]
    results: list[Any] = [task["result"] for task in master.ended_tasks(1, 4)]
    assert all(re.fullmatch(r"\d+ ---> success", result) for result in results)

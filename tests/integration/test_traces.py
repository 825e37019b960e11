"""A traceparent of a submit is in its tasks and in the log. The log of each process is JSON."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from queue_manager import connect
from queue_manager.wire.messages import AskRun, RunShown
from tests.integration.processes import KEY, Master, Process, eventually
from tests.integration.web import Web

ONE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TWO = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def lines(process: Process) -> list[dict[str, Any]]:
    """The log, each line of which is JSON."""
    return [json.loads(line) for line in process.log.split("\n") if line]


def result(master: Master, run: int) -> Any:
    (ended,) = master.ended_tasks(run, 1)
    return ended["result"]


def test_a_traceparent_is_in_runner_slot_and_task(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.worker(WORKER_SLOTS="1")
    first = master.submit("telling_trace", "--traceparent", ONE)
    assert result(master, first) == [ONE, ONE, ONE]
    plain = master.submit("telling_trace", "names=b")  # in the same slot
    assert result(master, plain) == ["", "", ""]
    monkeypatch.setenv("TRACEPARENT", TWO)  # the command runs in this process
    by_variable = master.submit("telling_trace", "names=c")
    assert result(master, by_variable) == [TWO, TWO, TWO]
    assert master.asked(AskRun(1, first), RunShown).run.traceparent == ONE


def test_it_lasts_over_a_restart_and_goes_on_to_the_runs_that_follow(master: Master) -> None:
    first = master.submit("telling_trace", "--traceparent", ONE)
    second = master.submit("telling_trace", "names=b", "--after", str(first))
    own = master.submit("telling_trace", "names=c", "--after", str(first), "--traceparent", TWO)
    master.process.kill()
    master.serve()
    master.worker()
    assert result(master, first)[1:] == [ONE, ONE]
    assert result(master, second) == [ONE, ONE, ONE]
    assert result(master, own) == [TWO, TWO, TWO]


def test_a_program_gives_it_by_an_argument_or_by_its_variable(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.worker()
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
        given = qm.submit("telling_trace", traceparent=ONE, names="x")
        assert result(master, given.id) == [ONE, ONE, ONE]
        monkeypatch.setenv("TRACEPARENT", TWO)
        assert result(master, qm.submit("telling_trace", names="y").id) == [TWO, TWO, TWO]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_wrong_one_is_one_line_and_no_run(
    lone_master: Master, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--traceparent", "mine") if how == "option" else ()
    if how == "variable":
        monkeypatch.setenv("TRACEPARENT", "mine")
    before = len(lone_master.runs())
    ended = lone_master.command("submit", "telling_trace", *words)
    assert "='mine' is no traceparent of W3C's trace context" in ended.refusal
    assert len(lone_master.runs()) == before
    assert lone_master.command("status").code == 0  # whoever asks for no run is free


def test_the_log_of_each_process_is_json_with_run_task_worker_and_trace(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_LOG="json", MASTER_HTTP_PORT="0")
    web = Web(master)
    worker = master.worker(WORKER_SLOTS="1")
    run = master.submit("telling_trace", "fail=true", "--traceparent", ONE)
    master.ended_tasks(run, 1)

    def about_failure() -> list[dict[str, Any]]:
        return [line for line in lines(master.process) if "failed" in line["message"]]

    first = eventually(about_failure)[0]
    of = {name: first[name] for name in ("level", "logger", "job", "run", "task", "traceparent")}
    assert of == {
        "level": "warning",
        "logger": "quartermaster.master",
        "job": "telling_trace",
        "run": run,
        "task": 1,
        "traceparent": ONE,
    }
    started = [line for line in lines(master.process) if "started" in line["message"]]
    assert [line["traceparent"] for line in started if line.get("run") == run] == [ONE]
    came = [line for line in lines(master.process) if " connected with " in line["message"]]
    assert came[0]["worker"] == first["worker"]
    assert {line["worker"] for line in lines(worker)} == {first["worker"]}
    (pid,) = web.pids()
    assert pid
    ways = {"Content-Type": "application/json", "Authorization": f"Bearer {web.act}"}
    assert web.ask("POST", "/api/submit/telling_trace", b"{}", **ways).code == 200
    told = [line for line in lines(master.process) if line["logger"] == "quartermaster.web"]
    assert [(line["run"], line["job"]) for line in told if "submitted" in line["message"]] == [
        (run + 1, "telling_trace")
    ]
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert master.process.terminate() == 0
    assert lines(master.process)
    assert lines(worker)


def test_a_dying_slot_and_a_dying_runner_say_whose_they_are(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_LOG="json")
    (master.jobs / "dies.py").write_text(
        "import os\nOPTIONS = __import__('queue_manager').Options(attempts=1)\n"
        "def tasks():\n    yield 1\n"
        "def work(n):\n    os._exit(3)\n"
        "def finish(results):\n    raise ValueError('in\\nfinish')\n"
    )
    worker = master.worker()
    run = master.submit("dies", "--traceparent", TWO)
    master.ended_tasks(run, 1)

    def died() -> list[dict[str, Any]]:
        return [line for line in lines(worker) if "its slot died" in line["message"]]

    line = eventually(died)[0]
    assert (line["run"], line["task"], line["job"]) == (run, 1, "dies")
    assert line["traceparent"] == TWO

    def finish() -> list[dict[str, Any]]:
        return [line for line in lines(master.process) if "finish() failed" in line["message"]]

    of_runner = eventually(finish)[0]
    assert (of_runner["run"], of_runner["traceparent"]) == (run, TWO)
    assert "in\nfinish" in of_runner["message"]

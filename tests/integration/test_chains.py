"""Runs that wait for runs, and arguments as values, with real processes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from queue_manager import codec
from queue_manager.wire.messages import (
    Accepted,
    AskRun,
    CancelRun,
    ForgetRun,
    Refused,
    Reply,
    Request,
    RunShown,
    RunStarted,
    StartRun,
    decode_reply,
    encode,
)
from queue_manager.wire.records import RunStatus
from tests.integration.processes import Master, eventually
from tests.integration.shared import SharedMaster


@pytest.fixture
def master(lone_master: SharedMaster) -> SharedMaster:
    """A serving master without a worker, which the tests share."""
    return lone_master


def shown(master: Master, run: int) -> RunStatus:
    return master.asked(AskRun(1, run), RunShown).run


def asked(master: Master, request: Request) -> Reply:
    """What the master answers, a refusal too."""
    with contextlib.closing(master.session()) as connection:
        connection.send_bytes(encode(request))
        connection.recv_bytes()  # the answer to `accept_connection`
        while True:
            assert connection.poll(30.0), "the master does not answer"
            message = decode_reply(connection.recv_bytes())
            if getattr(message, "seq", 0) == 1:
                return message


def results(master: Master, run: int) -> list[Any]:
    eventually(lambda: shown(master, run).state == "done", what=f"run {run} is done")
    return [line["result"] for line in master.results(run)]


def test_a_run_begins_when_the_one_before_it_is_done_and_takes_its_results(
    master: Master, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = master.submit("count_up", "count=3000", f"gate={gate}")
    second = master.submit("following", "add=1", "--after", str(first))
    master.process.says(rf"run {second} \(following add=1\) waits for run {first}")
    status = shown(master, second)
    assert (status.state, status.tasks, status.why) == ("pending", 0, [f"waits for run {first}"])
    eventually(lambda: not master.children("master.runner.main"), what="no runner")
    refused = master.command("forget", str(second)).refusal
    assert "has not ended" in refused
    master.worker()
    gate.touch()
    assert results(master, second) == [-(n * n) - 1 for n in range(3000)]
    line = master.command("status", str(second)).out
    assert f"after run {first}" in line


def test_a_pending_run_outlives_kills_of_the_master_and_begins_over_one(
    master: Master, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = master.submit("count_up", "count=20", f"gate={gate}")
    second = master.submit("following", f"gate={tmp_path / 'other'}", "--after", str(first))
    master.process.kill()
    master.serve()
    assert shown(master, second).state == "pending"
    assert shown(master, second).why == [f"waits for run {first}"]
    master.worker()
    gate.touch()
    # It has given five tasks when its runner and the master are killed.
    eventually(lambda: shown(master, second).tasks == 5, what="five tasks")
    master.process.kill()
    (tmp_path / "other").touch()
    master.serve()
    assert results(master, second) == [-(n * n) for n in range(20)]


def test_of_several_runs_the_results_of_each_are_an_iterator(master: Master) -> None:
    master.worker()
    runs = [master.submit("square", "count=3"), master.submit("count_up", "count=4")]
    later = master.submit("following", *(f"--after={run}" for run in runs), "--wait")
    expected = [-line["result"] for run in runs for line in master.results(run)]
    assert results(master, later) == expected


def test_a_run_that_failed_holds_up_the_next_until_its_retry(master: Master) -> None:
    master.worker()
    (master.jobs / "fails.py").write_text(
        "from queue_manager import Reject\ndef tasks(): yield 7\ndef work(n): raise Reject('no')\n"
    )
    first = master.submit("fails")
    later = master.submit("following", "--after", str(first))
    remedy = f"can't begin: run {first} has failed: `qm retry {first}`, or `qm cancel {later}`"
    eventually(lambda: shown(master, later).why == [remedy], what=remedy)
    master.process.says(rf"run {later} \(following\) (can't begin|waits for run {first})")
    refused = master.command("retry", str(later)).refusal
    assert refused == f"qm: run {later} has not begun: it waits for run {first}"
    refused = master.command("forget", str(first)).refusal
    assert f"run {first} can't go: its results are for run {later}" in refused
    (master.jobs / "fails.py").write_text("def tasks(): yield 7\ndef work(n): return n\n")
    assert master.command("retry", str(first)).code == 0
    assert results(master, later) == [-7]
    assert master.command("forget", str(first)).code == 0


def test_submit_wait_waits_through_and_says_what_holds_it_up(master: Master) -> None:
    (master.jobs / "fails.py").write_text(
        "from queue_manager import Reject\ndef tasks(): yield 7\ndef work(n): raise Reject('no')\n"
    )
    first = master.submit("fails")
    words = ("submit", "following", "--after", str(first), "--wait")
    waiting = master.start("waiting.log", "master", *words)
    waiting.says(f"waits for run {first}")
    master.worker()
    waiting.says(f"run {first} has failed: `qm retry {first}`")
    (master.jobs / "fails.py").write_text("def tasks(): yield 7\ndef work(n): return n\n")
    master.command("retry", str(first))
    assert waiting.wait() == 0
    waiting.says("1 task done, 0 dead letters")


def test_what_can_not_be_waited_for_is_one_line(master: Master) -> None:
    first = master.submit("count_up")
    gone = master.submit("count_up")
    master.command("cancel", str(gone))

    def refusal(*words: str) -> str:
        return master.command("submit", *words).refusal.removeprefix("qm: ")

    assert refusal("following", "--after", "999999") == "no run 999999 to be after: see `qm status`"
    assert refusal("following", "--after", "0").startswith("the queue run never ends")
    assert refusal("following", "--after", str(gone)).startswith(f"run {gone} was cancelled")
    assert refusal("following", "--after", "x").startswith("'x' is no number of a run")
    why = "say after which, with --after"
    assert refusal("following").endswith(why)
    given = refusal("following", "previous=3", f"--after={first}")
    assert given == f"'previous' is the results of other runs: {why}"
    key = master.submit("following", f"--after={first}", "--key=k")
    assert master.submit("following", f"--after={first}", "--key=k") == key
    second = master.submit("count_up")
    assert f"after run {first}" in refusal("following", "--key=k", f"--after={second}")


def test_a_job_that_takes_no_results_only_starts_later(master: Master) -> None:
    master.worker()
    first = master.submit("square", "count=2")
    later = master.submit("count_up", "count=2", "--after", str(first))
    assert results(master, later) == [0, 1]


def test_results_of_other_runs_are_the_payloads_with_no_function_of_the_job(master: Master) -> None:
    (master.jobs / "plain.py").write_text(
        "import sys\n"
        "if 'master.runner.main' in sys.modules or 'master.runner.session' in sys.modules:\n"
        "    raise SystemExit('loaded in a runner')\n"
        "def work(n): return n + 1\n"
    )
    master.worker()
    runs = [master.submit("count_up", "count=1500"), master.submit("count_up", "count=3")]
    request = StartRun(1, "plain", [], feeder="results", after=runs)
    started = asked(master, request)
    assert isinstance(started, RunStarted), started
    expected = [n * n + 1 for n in (*range(1500), *range(3))]
    assert results(master, started.run) == expected


def test_arguments_as_values_keep_their_types_and_belong_to_the_key(master: Master) -> None:
    master.worker()

    def start(values: Any, *texts: str, key: str | None = None) -> Reply:
        body = codec.encode(values)
        return asked(master, StartRun(1, "given", list(texts), key, arguments=body))

    values = {"count": 3, "when": (1, {2, 3}), "name": "x" * 300}
    first = start(values, key="k")
    assert isinstance(first, RunStarted), first
    (text,) = results(master, first.run)
    assert text == repr([3, [("name", "x" * 300), ("when", (1, {2, 3}))]])
    args = shown(master, first.run).args
    assert args[:2] == ["count=3", "when=(1, {2, 3})"]
    assert args[2].endswith("...")
    again = start({"name": "x" * 300, "when": (1, {3, 2}), "count": 3}, key="k")
    assert again == RunStarted(1, first.run, False)
    other = start({**values, "count": 4}, key="k")
    assert isinstance(other, Refused)
    assert f"is that of run {first.run}" in other.error
    master.process.kill()
    master.serve()
    assert start(values, key="k") == RunStarted(1, first.run, False)


def test_wrong_arguments_as_values_are_one_line(master: Master) -> None:
    def refusal(job: str, values: bytes, *texts: str) -> str:
        answer = asked(master, StartRun(1, job, list(texts), arguments=values))
        assert isinstance(answer, Refused), answer
        return answer.error

    encode_ = codec.encode
    assert refusal("square", encode_({"counts": 3})).startswith("unknown argument 'counts' (did")
    assert "is given twice" in refusal("square", encode_({"count": 3}), "count=4")
    assert "no dict with their names" in refusal("square", encode_([3]))
    assert "no dict with their names" in refusal("square", encode_({3: 3}))
    assert "can't be read" in refusal("square", b"\xc1")
    assert "put them in a file" in refusal("square", encode_({"count": "x" * 200_000}))


def test_a_client_that_feeds_a_run_waits_by_itself(master: Master) -> None:
    first = master.submit("square")
    answer = asked(master, StartRun(1, "square", [], None, "client", after=[first]))
    assert isinstance(answer, Refused)
    assert "a client gives the tasks" in answer.error
    answer = asked(master, StartRun(1, "square", [], None, "results"))
    assert isinstance(answer, Refused)
    assert "say after which ones" in answer.error


def test_sixty_runs_wait_for_one(master: Master) -> None:
    """Of which most are cancelled before it is done: each would start a process."""
    first = master.submit("count_up", "count=1")
    with contextlib.closing(master.session()) as connection:
        connection.recv_bytes()

        def answers(requests: list[Request], kind: type[Reply]) -> list[Any]:
            for request in requests:
                connection.send_bytes(encode(request))
            found: list[Any] = []
            while len(found) < len(requests):
                assert connection.poll(60.0)
                message = decode_reply(connection.recv_bytes())
                found += [message] * isinstance(message, kind)
            return found

        starts = [StartRun(n, "square", [], None, "results", after=[first]) for n in range(60)]
        runs = [started.run for started in answers([*starts], RunStarted)]
        assert {shown(master, run).state for run in runs[::20]} == {"pending"}
        assert asked(master, ForgetRun(1, runs[0])) != Accepted(1, 0)
        kept = {*runs[:5], *runs[-5:]}
        answers([CancelRun(run, run) for run in runs if run not in kept], Accepted)
    master.worker()
    for run in kept:
        assert results(master, run) == [0]

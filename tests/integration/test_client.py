"""The public client against real processes: `connect`, `map`, `start`, and what breaks them."""

from __future__ import annotations

import asyncio
import itertools
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import queue_manager
from queue_manager import Client, Options, Reject, Task, connect, connect_async
from queue_manager.client import asynchronous
from queue_manager.client.runs import ordering, reading, rereading
from queue_manager.errors import (
    ArgumentError,
    ConnectionLostError,
    NotPlainDataError,
    ProtocolError,
    QueueError,
    RefusedError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
    WrongKeyError,
)
from queue_manager.wire.messages import AskResults
from queue_manager.wire.replies import LEVEL
from tests.integration.processes import KEY, PATIENCE_S, Master, Process, eventually
from tests.integration.shared import SharedMaster

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def master(
    request: pytest.FixtureRequest, share_master: Callable[[bool], SharedMaster]
) -> SharedMaster:
    """The tests of `qm` need a worker. The others begin without one."""
    return share_master("qm" in request.fixturenames)


@pytest.fixture
def qm(master: Master) -> Iterator[Client]:
    """A client of a master that has a worker."""
    with connected(master) as client:
        yield client


def connected(master: Master, **how: Any) -> Client:
    return connect(f"127.0.0.1:{master.port}", authkey=KEY, **how)


def program(master: Master, text: str, log: str = "program.log") -> Process:
    """A program of a user's, which finds the master by its environment."""
    path = master.folder / f"{log}.py"
    path.write_text(text)
    process = Process(master.folder / log, [sys.executable, str(path)], master.environment())
    master.started.append(process)
    return process


def run_numbers(master: Master) -> list[int]:
    return [run.run for run in master.runs() if run.run]


def test_a_run_asked_for_again_is_pruned_though_the_client_stays(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_KEEP_DAYS="0")
    master.worker()
    with connected(master) as qm:
        runs = [qm.start(abs, [-1], key="again") for _ in range(2)]
        assert runs[0].id == runs[1].id
        runs[0].wait(PATIENCE_S)
        assert qm.start(abs, [-1], key="again").id == runs[0].id  # and of a run that has ended
        eventually(lambda: not run_numbers(master), what="the run is pruned")


def squares(stop: int) -> list[int]:
    return [n * n for n in range(stop)]


# --- map ---


def test_a_map_gives_results_in_order_and_leaves_nothing(qm: Client, master: Master) -> None:
    assert list(qm.map("square", range(20_000))) == squares(20_000)
    assert sorted(qm.map("square", range(5_000), ordered=False)) == squares(5_000)
    assert list(qm.map("square", [])) == []
    eventually(lambda: not run_numbers(master), what="no run is left")


def test_a_map_reads_its_inputs_no_further_ahead_than_its_buffer(qm: Client) -> None:
    read = itertools.count()
    results = qm.map("square", read, buffer=100)
    for n in range(1_000):
        assert next(results) == n * n
    assert next(read) <= 1_000 + 100 + 1


def test_results_do_not_wait_for_a_slow_generator(qm: Client) -> None:
    go_on = threading.Event()

    def inputs() -> Iterator[int]:
        for n in itertools.count():
            if n > 3 and not go_on.is_set():
                yield n
                time.sleep(0.05)
            else:
                yield n

    for n, result in enumerate(qm.map("square", inputs())):
        assert result == n * n
        if n == 10:
            break


def test_a_map_that_is_closed_early_is_cancelled_and_forgotten(qm: Client, master: Master) -> None:
    results = qm.map("square", itertools.count())
    assert next(results) == 0
    assert run_numbers(master)
    results.close()  # type: ignore[attr-defined]
    eventually(lambda: not run_numbers(master), what="the run is gone")
    unused = qm.map("square", itertools.count())
    del unused
    results = qm.map("square", [5])
    assert next(results) == 25
    del results  # its run may have ended by now
    eventually(lambda: not run_numbers(master), what="one that nobody began, too")


def test_what_the_inputs_raise_comes_behind_the_results_before(qm: Client, master: Master) -> None:
    def inputs() -> Iterator[Any]:
        yield from range(3)
        raise KeyError("the end of the list")

    results = qm.map("square", inputs())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(KeyError, match="the end of the list"):
        next(results)
    results = qm.map("square", [1, object()])
    assert next(results) == 1
    with pytest.raises(NotPlainDataError):
        next(results)
    with pytest.raises(ArgumentError, match="use start"):
        list(qm.map("square", [Task(1, key="a")]))
    assert list(qm.map("square", [Task(3, priority=1), Task(4)])) == [9, 16]
    eventually(lambda: not run_numbers(master), what="no run is left")


def test_a_map_with_a_key_goes_on_where_it_was(qm: Client, master: Master) -> None:
    results = qm.map("square", itertools.count(), key="a map")
    assert [next(results) for _ in range(10)] == squares(10)
    results.close()  # type: ignore[attr-defined]
    [run] = run_numbers(master)
    assert list(qm.map("square", range(70_000), key="a map")) == squares(70_000)
    assert list(qm.map("square", range(70_000), key="a map")) == squares(70_000)
    assert run_numbers(master) == [run]
    assert master.run_line(run)["done"] == "70000"


def test_a_program_has_some_of_its_failures_tried_again_and_says_why(qm: Client) -> None:
    def asked(number: int) -> str:
        reason = queue_manager.current_task().retry_reason
        if not reason:
            raise (KeyError if number % 2 else ValueError)(number)
        return f"{number}: {reason}"

    run = qm.start(asked, range(4), options=Options(attempts=1))
    assert run.wait(PATIENCE_S).dead == 4
    assert [failure.task for failure in run.failed(error=KeyError)] == [2, 4]
    assert [failure.task for failure in run.failed(tasks=[1, 2], error=ValueError)] == [1]
    with pytest.raises(RefusedError, match="no dead letter is what you ask for; there are"):
        run.retry(error="KeyError", tasks=[1])
    assert run.retry(tasks=[1, 2], error="ValueError", reason="look again") == 1
    assert run.wait(PATIENCE_S).dead == 3
    values = list(run.results(return_exceptions=True))
    assert values[0] == "0: look again"
    assert [type(value) for value in values[1:]] == [KeyError, ValueError, KeyError]
    assert run.retry() == 3
    assert run.wait(PATIENCE_S).dead == 3, "a retry of all is as it was, and gives no reason"


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_holds_few_results_of_a_run_whose_first_task_has_ended_last(
    qm: Client, master: Master, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    gate = master.folder / f"gate {ordered}"

    def long(number: int) -> str:
        if number == 7 or (number == 0 and not os.path.exists(gate)):
            raise ValueError(number)
        return f"{number} " * 100

    key = f"long {ordered}"
    run = qm.start(long, range(400), key=key, options=Options(attempts=1))
    run.wait(PATIENCE_S)
    gate.touch()
    assert run.retry() == 2
    assert run.wait(PATIENCE_S).dead == 1
    monkeypatch.setattr(ordering, "WAITING_BYTES", 20_000)
    firsts: list[int] = []
    read = rereading.Rereading.read

    async def counted(self: rereading.Rereading, first: int) -> Any:
        firsts.append(first)
        return await read(self, first)

    monkeypatch.setattr(rereading.Rereading, "read", counted)
    inputs = (n for n in range(300) if time.sleep(0.0001) is None)  # so that results come first
    given = qm.map(long, inputs, key=key, ordered=ordered, return_exceptions=True)
    found = list(given)
    results = [one for one in found if isinstance(one, str)]
    expected = [f"{n} " * 100 for n in range(300) if n != 7]
    assert (results if ordered else sorted(results)) == (expected if ordered else sorted(expected))
    assert [repr(one) for one in found if not isinstance(one, str)] == ["ValueError(7)"]
    assert firsts or not ordered, "results were left with the master"


def test_a_master_that_restarts_in_the_middle_of_a_map_changes_nothing(
    qm: Client, master: Master
) -> None:
    results = qm.map("square", range(100_000))
    taken = [next(results) for _ in range(30_000)]
    master.process.kill()
    restarted = threading.Thread(target=master.serve)
    restarted.start()
    taken += results
    restarted.join()
    assert taken == squares(100_000)


def test_a_program_that_is_killed_leaves_no_map(start_master: Callable[..., Master]) -> None:
    master = start_master()
    master.process.terminate()
    master.settings["PYTHONPATH"] = f"{master.folder}:{master.settings['PYTHONPATH']}"
    (master.folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'serve' in sys.argv or 'serve' in sys.orig_argv:\n"
        "    import master.server.runs.unlasting as unlasting\n"
        "    unlasting.AWAY_S = 0.5\n"
    )
    master.serve()
    master.worker()
    killed = program(
        master,
        "import itertools\nfrom queue_manager import connect\n"
        "qm = connect()\n"
        "for result in qm.map('square', itertools.count()):\n    print(result, flush=True)\n",
    )
    killed.says("^100$")
    assert run_numbers(master)
    killed.kill()
    eventually(lambda: not run_numbers(master), what="the master has removed its run")


def test_ctrl_c_in_the_middle_of_a_map_cancels_it(master: Master) -> None:
    waiting = program(
        master,  # without a worker it waits for its first result
        "from queue_manager import connect\nqm = connect()\nresults = qm.map('square', [1])\n"
        "print('waits', flush=True)\nnext(results)\n",
    )
    waiting.says("waits")
    eventually(lambda: run_numbers(master), what="its run")
    waiting.popen.send_signal(signal.SIGINT)
    assert waiting.wait() in (1, 130, -signal.SIGINT)
    assert "KeyboardInterrupt" in waiting.log
    assert run_numbers(master) == []


def test_a_program_that_ends_without_closing_leaves_no_map(master: Master) -> None:
    master.worker()
    careless = program(
        master,
        "import itertools\nfrom queue_manager import connect\n"
        "qm = connect()\nresults = qm.map('square', itertools.count())\n"
        "print(next(results), next(results))\n",
    )
    assert careless.wait() == 0
    assert careless.log == "0 1\n"
    eventually(lambda: not run_numbers(master), what="its run is gone")


def test_a_client_that_is_closed_ends_its_maps_and_whoever_waits_for_them(
    master: Master,
) -> None:
    qm = connected(master)
    results = qm.map("square", [1])  # there is no worker
    raised: list[BaseException] = []

    def waiting() -> None:
        try:
            next(results)
        except QueueError as error:
            raised.append(error)

    thread = threading.Thread(target=waiting)
    thread.start()
    qm.close()
    thread.join(PATIENCE_S)
    assert "the client was closed" in str(raised[0])
    assert run_numbers(master) == []
    with pytest.raises(QueueError, match="the client was closed"):
        qm.status()


@pytest.mark.parametrize(
    "text",
    [
        "print(sum(connect().map('square', range(300), progress=True)))",
        "async def all_of_it():\n"
        "    qm = await connect_async()\n"
        "    print(sum([n async for n in qm.map('square', range(300), progress=True)]))\n"
        "asyncio.run(all_of_it())",
    ],
    ids=["plain", "with a loop"],
)
def test_a_map_shows_its_bar_on_a_terminal_alone(text: str, master: Master) -> None:
    master.worker()
    text = f"import asyncio\nfrom queue_manager import connect, connect_async\n{text}"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    how: dict[str, Any] = {"env": master.environment(), "stdout": subprocess.PIPE}
    for stderr in (theirs, subprocess.PIPE):
        command = [sys.executable, "-c", text]
        ended = subprocess.run(command, **how, stderr=stderr, timeout=PATIENCE_S, check=True)
        assert ended.stdout == b"%d\n" % sum(squares(300))
    assert ended.stderr == b""
    os.close(theirs)
    assert b"300/300" in os.read(ours, 65_536)
    os.close(ours)


def test_threads_share_a_client(qm: Client) -> None:
    found: dict[int, list[int]] = {}

    def one(start: int) -> None:
        found[start] = list(qm.map("square", range(start, start + 500)))

    threads = [threading.Thread(target=one, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == {start: [n * n for n in range(start, start + 500)] for start in range(8)}


def test_the_child_of_a_fork_has_a_session_of_its_own_and_the_parents_goes_on(
    master: Master,
) -> None:
    master.worker()
    forking = program(
        master,
        "import itertools, os, sys\nfrom queue_manager import connect\n"
        "qm = connect()\nresults = qm.map('square', itertools.count())\n"
        "before = next(results)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    print('child', sum(qm.map('square', range(4))), flush=True)\n"
        "    sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print('parent', before, next(results), sum(qm.map('square', range(4))), flush=True)\n"
        "results.close()\n",
    )
    assert forking.wait() == 0, forking.log
    assert forking.log.splitlines() == ["child 14", "parent 0 1 14"]
    eventually(lambda: not run_numbers(master), what="no run is left")


# --- runs ---


def test_a_run_outlives_its_program(master: Master) -> None:
    starter = program(
        master,
        "from queue_manager import connect\nwith connect() as qm:\n"
        "    print(qm.start('square', range(3000), key='holiday').id)\n",
    )
    assert starter.wait() == 0, starter.log
    with connected(master) as qm:
        run = qm.run("holiday")
        assert (run.id, qm.run(run.id).id) == (int(starter.log), run.id)
        with pytest.raises(TimedOutError, match=f"run {run.id} has not ended within 0.1 s"):
            run.wait(0.1)
        assert run.status().waiting == 3_000
        results = run.results()
        master.worker()
        assert next(results) == 0
        assert run.wait(PATIENCE_S).state == "done"
        assert [0, *results] == squares(3_000)
        assert list(run.failed()) == []
        assert run.id in [shown.run for shown in qm.runs()]
        assert run.forget() == 3_000
        with pytest.raises(RefusedError, match="no run has the key 'holiday'"):
            qm.run("holiday")


def test_results_that_are_read_before_a_whole_page_has_begun_are_all_there(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block has one priority, so these are 5,000 blocks. A page ends behind some 4,096."""
    asked = threading.Event()

    def ask(*args: Any, **fields: Any) -> AskResults:
        asked.set()
        return AskResults(*args, **fields)

    monkeypatch.setattr(reading, "AskResults", ask)
    with connected(master) as qm, ThreadPoolExecutor(1) as reader:
        run = qm.start("square", (Task(n, priority=n % 2) for n in range(5_000)))
        read = reader.submit(lambda: list(run.results()))
        assert asked.wait(PATIENCE_S)
        master.worker()
        assert read.result(PATIENCE_S) == squares(5_000)


def test_start_goes_on_where_a_program_was_killed_by_count_and_by_key(
    qm: Client, master: Master
) -> None:
    def inputs(stop: int) -> Iterator[Any]:
        for n in range(stop):
            yield n
            yield Task(-n, key=f"negative {n}")
        if stop < 500:
            raise RuntimeError("the program dies here")

    with pytest.raises(RuntimeError, match="dies here"):
        qm.start("square", inputs(300), key="twice")
    run = qm.run("twice")
    assert not run.status().exhausted
    assert qm.start("square", inputs(500), key="twice").id == run.id
    assert run.wait(PATIENCE_S).done == 1_000
    assert sorted(run.results()) == sorted(squares(500) * 2)


def test_a_job_of_the_masters_is_submitted_with_its_arguments(qm: Client) -> None:
    run = qm.submit("square", count=20, key="job")
    assert run.wait(PATIENCE_S).done == 20
    assert len(list(run.results())) == 20
    assert qm.submit("square", count=20, key="job").id == run.id
    with pytest.raises(RefusedError, match="colour"):
        qm.submit("square", colour="red")
    with pytest.raises(RefusedError, match=rf"that of run {run.id} \(square count=20\): take"):
        qm.submit("square", count=21, key="job")


def test_values_of_a_run_are_shown_without_marks_of_a_shell(qm: Client, master: Master) -> None:
    (master.jobs / "mirror.py").write_text(
        "def tasks(to: str):\n    yield to\n\n\ndef work(to):\n    return to\n"
    )
    run = qm.submit("mirror", key="mirror", to="ann@example.org")
    with pytest.raises(RefusedError, match=rf"run {run.id} \(mirror to='ann@example\.org'\)"):
        qm.submit("mirror", key="mirror", to="bob@example.org")


def test_a_run_gets_the_results_of_another_when_that_is_done(qm: Client) -> None:
    first = qm.start(lambda n: n * n, range(2_000))
    second = first.then(lambda n: n + 1, key="second")
    assert first.then(lambda n: n + 1, key="second").id == second.id
    third = qm.submit("square", count=3, after=[first, second.id])
    assert list(second.results()) == [n * n + 1 for n in range(2_000)]
    assert third.wait(PATIENCE_S).done == 3


def test_a_run_behind_one_that_has_failed_says_what_to_do(qm: Client) -> None:
    first = qm.start(lambda n: 1 // n, [0], options=Options(attempts=1))
    second = first.then(abs)
    assert first.wait(PATIENCE_S).state == "failed"
    status = second.status()
    assert (status.state, status.tasks) == ("pending", 0)
    assert f"qm retry {first.id}" in status.why[0]
    with pytest.raises(ArgumentError, match="names no run"):
        qm.submit("square", after="yesterday")
    with pytest.raises(RefusedError, match="12345"):
        qm.submit("square", after=12345)


def test_a_cancelled_run_says_so_in_its_results(master: Master) -> None:
    with connected(master) as qm:
        run = qm.start("square", range(10))
        results = run.results()
        assert run.cancel() == 10
        with pytest.raises(QueueError, match="was cancelled before all its tasks were done"):
            list(results)
        with pytest.raises(RefusedError, match="no run 999999"):
            qm.run(999_999)


def test_failures_are_told(qm: Client, master: Master) -> None:
    (master.jobs / "odd.py").write_text(
        "from queue_manager import Reject\n"
        "def work(n):\n    if n % 2:\n        raise Reject('odd')\n    return n\n"
    )
    run = qm.start("odd", range(6))
    assert run.wait(PATIENCE_S).state == "failed"
    failures = list(run.failed())
    assert [(one.task, one.payload, one.attempts) for one in failures] == [
        (2, 1, 1),
        (4, 3, 1),
        (6, 5, 1),
    ]
    results = list(run.results(return_exceptions=True))
    assert [one for one in results if not isinstance(one, Exception)] == [0, 2, 4]
    assert [type(one) for one in results[1::2]] == [Reject] * 3
    assert "odd\n(task 2, 1 attempt on" in str(results[1].__cause__)
    taken = run.results()
    assert next(taken) == 0
    with pytest.raises(Exception, match="odd"):
        next(taken)
    mapped = qm.map("odd", [0, 1, 2])
    assert next(mapped) == 0
    with pytest.raises(Exception, match="odd"):
        next(mapped)
    assert len(list(qm.map("odd", range(6), return_exceptions=True))) == 6


def test_a_task_of_a_map_is_tried_once_whatever_else_its_options_say(qm: Client) -> None:
    def failing(number: int) -> int:
        raise ValueError(f"no {number}")

    def tries(options: Options | None) -> str:
        [error] = qm.map(failing, [1], return_exceptions=True, options=options)
        return str(error.__cause__)

    for options in (None, Options(), Options(timeout_s=60.0)):
        assert "(task 1, 1 attempt on" in tries(options)
    assert "(task 1, 2 attempts on" in tries(Options(attempts=2))
    for given, most in ((Options(timeout_s=60.0), 1), (Options(attempts=2), 2)):
        with qm.executor(given) as executor:
            cause = executor.submit(failing, 1).exception(PATIENCE_S).__cause__  # type: ignore[union-attr]
        assert f"{most} attempt" in str(cause)


# --- what breaks a connection ---


def test_a_master_that_is_not_there_is_one_line_in_time() -> None:
    with socket.socket() as taken:  # nobody listens on it
        taken.bind(("127.0.0.1", 0))
        free_port = taken.getsockname()[1]
    since = time.monotonic()
    with pytest.raises(UnreachableError, match=rf"no master at 127.0.0.1:{free_port}") as caught:
        connect(f"127.0.0.1:{free_port}", authkey=KEY, timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, ConnectionLostError)
    assert 0.4 < time.monotonic() - since < 10.0


def test_a_wrong_key_is_one_line(master: Master) -> None:
    with pytest.raises(WrongKeyError):
        connect(f"127.0.0.1:{master.port}", authkey="another key of somebody")


def test_a_master_that_is_older_is_one_line(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asynchronous, "NEEDED_LEVEL", LEVEL + 1)
    levels = rf"speaks level {LEVEL} of the protocol, this program needs {LEVEL + 1}"
    line = rf"older than this program \(it {levels}\): update the master"
    with pytest.raises(ProtocolError, match=line):
        connected(master)


def test_what_is_too_large_says_what_to_do(qm: Client, master: Master) -> None:
    (master.jobs / "large.py").write_text("def work(n):\n    return b'x' * n\n")
    results = qm.map("large", [1, 2_000_000, 3], return_exceptions=True)
    one, error, three = results
    assert (one, three) == (b"x", b"xxx")
    assert "pass its path" in str(error)
    results = qm.map("square", [2, b"x" * 2_000_000])
    assert next(results) == 4
    with pytest.raises(TooLargeError, match="pass its path"):
        next(results)
    large = qm.map("large", [900_000] * 20)
    assert sum(map(len, large)) == 20 * 900_000


def test_an_input_that_can_not_travel_is_named(qm: Client) -> None:
    inputs = [0, 1, object(), 3]
    results = qm.map("square", inputs)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(NotPlainDataError, match=r"^input 3: object cannot travel"):
        next(results)
    with pytest.raises(NotPlainDataError, match=r"^input 3: object cannot travel"):
        qm.start("square", inputs, key="named")
    with pytest.raises(TooLargeError, match=r"^input 4: "):
        qm.start("square", [0, 1, 2, "x" * 2**21], key="named")


def test_a_map_refuses_follow_ups_for_its_results_belong_to_its_inputs(
    qm: Client, master: Master
) -> None:
    (master.jobs / "branching.py").write_text(
        "from queue_manager import Result, Task\n"
        "def work(n):\n    return Result(n, follow=[Task(n + 1)]) if n == 1 else n\n"
    )
    for key in (None, "branches"):
        zero, refused, two = qm.map("branching", [0, 1, 2], key=key, return_exceptions=True)
        assert (zero, two) == (0, 2)
        assert "belong to their inputs" in str(refused)


# --- with a loop ---


def test_the_asynchronous_client_has_the_same_verbs(master: Master) -> None:
    master.worker()

    async def inputs() -> AsyncIterator[int]:
        for n in range(2_000):
            if n % 500 == 0:
                await asyncio.sleep(0.01)
            yield n

    async def scene() -> None:
        async with await connect_async(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
            assert [one async for one in qm.map("square", range(10_000))] == squares(10_000)
            assert [one async for one in qm.map("square", inputs())] == squares(2_000)
            endless = qm.map("square", itertools.count())
            assert await anext(endless) == 0
            await endless.aclose()
            run = await qm.start("square", inputs(), key="async")
            assert (await run.wait(PATIENCE_S)).done == 2_000
            assert [one async for one in run.results()] == squares(2_000)
            assert (await qm.run("async")).id == run.id
            assert [shown.run async for shown in qm.runs() if shown.run] == [run.id]
            assert await run.forget() == 2_000
            assert (await qm.status()).active_runs == 1

    asyncio.run(asyncio.wait_for(scene(), 2 * PATIENCE_S))
    eventually(lambda: not run_numbers(master), what="no run is left")


def test_the_environment_says_where_the_master_is(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_PORT", str(master.port))
    monkeypatch.setenv("QUEUE_AUTHKEY", KEY)
    with connect() as qm:
        assert qm.status().address.endswith(f":{master.port}")


def test_the_import_is_light() -> None:
    code = "import sys; from queue_manager import connect; print('asyncio' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("False")


def test_a_client_in_another_folder_needs_nothing_but_the_package(
    master: Master, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    code = "from queue_manager import connect; print(connect().status().sessions)"
    environment = master.environment()
    words = [sys.executable, "-c", code]
    shown = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert int(shown.stdout) >= 1
    assert os.listdir(folder) == []


# --- functions that travel ---


def test_a_lambda_is_mapped_and_its_exceptions_come_back(qm: Client, master: Master) -> None:
    offset = 5
    assert list(qm.map(lambda a, b: a * b + offset, [1, 2], [3, 4])) == [8, 13]
    results = qm.map(lambda n: 1 / n, [1, 0])
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError) as caught:
        next(results)
    assert "in <lambda>" in str(caught.value.__cause__)
    run = qm.start(lambda n: n + offset, range(3), key="lasting")
    assert run.wait(PATIENCE_S).state == "done"
    assert list(run.results()) == [5, 6, 7]
    assert run_numbers(master) == [run.id]

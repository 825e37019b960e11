"""The executor against real processes: calls, cancels, ends, and what breaks it."""

from __future__ import annotations

import functools
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, as_completed, wait
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Client, connect
from queue_manager.client.executor import BrokenQueueError, QueueExecutor
from queue_manager.errors import CannotTravelError, TooLargeError, WorkerDiedError
from tests.integration.processes import KEY, PATIENCE_S, Master, eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def master(shared_master: Master) -> Master:
    """It has a worker."""
    return shared_master


@pytest.fixture
def qm(master: Master) -> Iterator[Client]:
    """A client of a master that has a worker."""
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as client:
        yield client


@pytest.fixture
def executor(qm: Client) -> Iterator[QueueExecutor]:
    with qm.executor() as made:
        yield made


def held_back(executor: QueueExecutor, path: Path) -> Future[Any]:
    """A call that takes until the path is there, and has begun."""
    begun = path.with_suffix(".begun")

    def until_there(path: str, begun: str) -> str:
        open(begun, "w").close()
        while not os.path.exists(path):
            time.sleep(0.01)
        return "done"

    future = executor.submit(until_there, str(path), str(begun))
    eventually(begun.exists, what="the call has begun")
    return future


def test_calls_give_results_or_raise_with_the_remote_traceback(executor: QueueExecutor) -> None:
    assert executor.submit(pow, 2, 8).result(PATIENCE_S) == 256
    assert executor.submit(int, "ff", base=16).result(PATIENCE_S) == 255
    assert executor.submit(lambda *a, **k: (a, k), 1, x=(2,)).result(PATIENCE_S) == (
        (1,),
        {"x": (2,)},
    )
    error = executor.submit(operator.truediv, 1, 0).exception(PATIENCE_S)
    assert type(error) is ZeroDivisionError
    assert "Traceback" in str(error.__cause__)


def test_ten_thousand_calls_of_one_function_are_one_run(
    executor: QueueExecutor, master: Master
) -> None:
    futures = [executor.submit(lambda n=n: n * n) for n in range(20)]
    assert [one.result(PATIENCE_S) for one in futures] == [n * n for n in range(20)]
    square = lambda n: n * n  # noqa: E731
    futures = [executor.submit(square, n) for n in range(10_000)]
    assert sum(one.result() for one in as_completed(futures, PATIENCE_S)) == sum(
        n * n for n in range(10_000)
    )
    assert len([run for run in master.runs() if run.run]) == 1


def test_arguments_that_are_no_plain_data_travel_as_a_pickle(executor: QueueExecutor) -> None:
    assert executor.submit(str, Path("a") / "b").result(PATIENCE_S) == "a/b"
    assert executor.submit(functools.partial(operator.add, 1), 2).result(PATIENCE_S) == 3


def test_what_can_not_travel_is_the_exception_of_its_future(executor: QueueExecutor) -> None:
    assert executor.submit(len, [threading.Lock()]).exception(0) is not None
    lock = threading.Lock()
    assert type(executor.submit(lambda: lock).exception(0)) is CannotTravelError
    large = executor.submit(len, b"x" * 2**24)
    assert type(large.exception(PATIENCE_S)) is TooLargeError
    assert executor.submit(len, "abc").result(PATIENCE_S) == 3


def test_a_call_that_kills_its_slot_fails_alone(executor: QueueExecutor) -> None:
    killed = executor.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert type(killed.exception(PATIENCE_S)) is WorkerDiedError
    assert executor.submit(len, "abc").result(PATIENCE_S) == 3


def test_map_has_chunks_a_buffer_and_a_timeout(executor: QueueExecutor) -> None:
    assert list(executor.map(operator.mul, range(100), range(100))) == [n * n for n in range(100)]
    assert list(executor.map(lambda n: -n, range(100), chunksize=7)) == [-n for n in range(100)]

    async def later(number: int) -> int:
        return number + 1

    for function in (later, lambda number: later(number)):
        assert list(executor.map(function, range(10), chunksize=3)) == list(range(1, 11))
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    results = executor.map(operator.neg, endless(), buffersize=5)
    assert [next(results) for _ in range(3)] == [-1, -2, -3]
    assert read <= 9
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        list(executor.map(time.sleep, [0, 3], timeout=0.5))
    for wrong in ({"chunksize": 0}, {"buffersize": 0}):
        with pytest.raises(ValueError, match="size must be"):
            executor.map(len, [], **wrong)  # type: ignore[arg-type]


def test_a_call_is_cancelled_until_a_worker_has_it(executor: QueueExecutor, tmp_path: Path) -> None:
    running = [held_back(executor, tmp_path / f"go-{n}") for n in range(2)]
    waiting = [executor.submit(len, "abc") for _ in range(500)]
    assert waiting[-1].cancel()
    assert waiting[-1].cancelled()
    assert not running[0].cancel()
    assert running[0].running()
    assert wait(waiting[-1:], 1.0).done
    for n in range(2):
        (tmp_path / f"go-{n}").touch()
    assert [one.result(PATIENCE_S) for one in running] == ["done"] * 2
    assert not wait(waiting, PATIENCE_S).not_done


def test_shutdown_waits_or_cancels_and_removes_the_run(qm: Client, master: Master) -> None:
    executor = qm.executor()
    futures = [executor.submit(time.sleep, 0.05) for _ in range(200)]
    futures[0].result(PATIENCE_S)
    executor.shutdown(cancel_futures=True)
    assert all(one.done() for one in futures)
    assert sum(one.cancelled() for one in futures) > 20
    assert sum(not one.cancelled() for one in futures) > 0
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(len, "abc")
    with qm.executor() as other:
        futures = [other.submit(time.sleep, 0.01) for _ in range(20)]
    assert all(one.done() for one in futures)
    eventually(lambda: not [run for run in master.runs() if run.run], what="no run is left")


def test_callbacks_may_submit_and_wait(executor: QueueExecutor, qm: Client) -> None:
    told: list[Any] = []
    done = threading.Event()

    def callback(future: Future[int]) -> None:
        told.append((future.result(), executor.submit(len, "abcd"), len(list(qm.runs()))))
        done.set()

    executor.submit(len, "abc").add_done_callback(callback)
    assert done.wait(PATIENCE_S)
    assert told[0][0] == 3
    assert told[0][1].result(PATIENCE_S) == 4


def test_calls_outlive_a_restart_of_the_master(
    executor: QueueExecutor, master: Master, tmp_path: Path
) -> None:
    running = held_back(executor, tmp_path / "go")
    waiting = [executor.submit(len, "abc") for _ in range(100)]
    master.process.kill()
    later = [executor.submit(len, "abcd") for _ in range(100)]
    master.serve()
    (tmp_path / "go").touch()
    assert running.result(PATIENCE_S) == "done"
    assert [one.result(PATIENCE_S) for one in waiting + later] == [3] * 100 + [4] * 100
    master.process.kill()  # nothing is on its way now
    master.serve()
    assert executor.submit(len, "abcde").result(PATIENCE_S) == 5


def broken(executor: QueueExecutor) -> bool:
    try:
        return isinstance(executor.submit(len, "abc").exception(1.0), BrokenQueueError)
    except BrokenQueueError:
        return True


def test_an_executor_is_broken_when_its_run_or_its_client_is_gone(
    qm: Client, master: Master, tmp_path: Path
) -> None:
    executor = qm.executor()
    running = held_back(executor, tmp_path / "go")
    [run] = [run.run for run in master.runs() if run.run]
    qm.run(run).cancel()
    assert not wait([running], PATIENCE_S).not_done
    eventually(lambda: broken(executor), what="the executor takes nothing more")
    with pytest.raises(BrokenQueueError):
        executor.submit(len, "abc")
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as other:
        left = held_back(other.executor(), tmp_path / "never")
    assert isinstance(left.exception(0), BrokenQueueError)
    eventually(lambda: not [run for run in master.runs() if run.run], what="no run is left")


def test_a_dropped_executor_finishes_its_calls(qm: Client, master: Master) -> None:
    futures = [qm.executor().submit(time.sleep, 0.1) for _ in range(3)]
    assert not wait(futures, PATIENCE_S).not_done
    eventually(lambda: not [run for run in master.runs() if run.run], what="no run is left")


def ended(master: Master, text: str) -> tuple[int, str]:
    """The exit code and the output of a program that has connected as `qm`."""
    path = master.folder / "program.py"
    begin = "import atexit, os, time\nfrom queue_manager import connect\nqm = connect()\n"
    path.write_text(begin + text)
    environment = master.environment()
    words = [sys.executable, str(path)]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    return done.returncode, done.stdout + done.stderr


def test_a_program_that_ends_without_shutdown_waits_for_its_calls(
    qm: Client, master: Master
) -> None:
    told = "future.add_done_callback(lambda done: print('told', done.result(), flush=True))\n"
    text = f"future = qm.executor().submit(lambda: time.sleep(1) or 'apple')\n{told}"
    assert ended(master, text) == (0, "told apple\n")
    text = (
        f"executor = qm.executor()\nfuture = executor.submit(lambda: 'apple')\n{told}"
        "executor.shutdown(wait=False)\n"
    )
    assert ended(master, text) == (0, "told apple\n")
    text = (
        "executor = qm.executor()\n"
        "atexit.register(lambda: executor.submit(id, None))\n"
        "executor.submit(len, 'abc').result()\n"
    )
    _, output = ended(master, text)
    assert "RuntimeError: cannot schedule new futures after" in output


def test_the_child_of_a_fork_begins_anew(qm: Client, master: Master) -> None:
    text = (
        "executor = qm.executor()\n"
        "assert executor.submit(len, 'abc').result() == 3\n"
        "child = os.fork()\n"
        "assert executor.submit(len, 'abcd').result(60) == 4\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    print('both')\n"
    )
    assert ended(master, text) == (0, "both\n")


def test_functions_of_a_module_travel_with_it_as_source(
    executor: QueueExecutor, master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rates.py").write_text("RATE = 3\n")
    (tmp_path / "prices.py").write_text(
        "import rates\ndef price(n):\n    return n * rates.RATE\ndef fail():\n    raise Broken(1)\n"
        "class Broken(Exception):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import prices  # type: ignore[import-not-found]

    assert executor.submit(len, "abc").result(PATIENCE_S) == 3
    assert list(executor.map(prices.price, range(10))) == [3 * n for n in range(10)]
    assert type(executor.submit(prices.fail).exception(PATIENCE_S)) is prices.Broken

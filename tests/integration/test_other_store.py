"""A master whose data were deleted: numbers of runs and leases begin again, and are of others."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from queue_manager import connect
from queue_manager.errors import ConnectionLostError
from tests.integration.processes import KEY, PATIENCE_S, Master, eventually

pytestmark = pytest.mark.timeout(300)

GONE = "has another store than before, without the runs of this session: connect again"


def emptied(master: Master) -> None:
    """The same master with nothing in its folder of data."""
    master.process.kill()
    shutil.rmtree(master.settings["MASTER_DATA"])
    master.serve()


def test_a_program_leaves_the_runs_alone_that_have_the_numbers_of_its_own(
    start_master: Callable[..., Master],
) -> None:
    master = start_master()
    address = f"127.0.0.1:{master.port}"
    go_on = threading.Event()

    def inputs() -> Iterator[int]:
        yield from range(3)
        assert go_on.wait(PATIENCE_S)
        yield from itertools.count(3)

    with connect(address, authkey=KEY) as before:
        mapped = before.map("square", inputs())
        run = before.start("square", range(100), key="mine")
        emptied(master)
        with connect(address, authkey=KEY, timeout=PATIENCE_S) as after:
            others = [after.start("square", range(10, 15)) for _ in range(3)]
            assert {other.id for other in others} >= {run.id, 1}
            go_on.set()
            for asked in (lambda: list(mapped), run.cancel, lambda: list(run.results())):
                with pytest.raises(ConnectionLostError, match=GONE):
                    asked()
            master.worker()
            for other in others:
                assert list(other.results()) == [n * n for n in range(10, 15)]


def test_a_worker_gives_up_what_it_holds_of_another_store(
    start_master: Callable[..., Master],
) -> None:
    """The first task of the new store has the number of the one that the worker runs."""
    master = start_master()
    begun, go_on = master.folder / "begun", master.folder / "go on"
    (master.jobs / "echo.py").write_text(
        "import pathlib, time\n"
        "def work(text):\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        f"    while not pathlib.Path({str(go_on)!r}).exists():\n"
        "        time.sleep(0.05)\n"
        "    return text\n"
    )
    worker = master.worker()
    address = f"127.0.0.1:{master.port}"
    with connect(address, authkey=KEY) as before:
        before.start("echo", ["old"])
        eventually(begun.exists, what="the task has begun")
        os.kill(worker.popen.pid, signal.SIGSTOP)  # it comes back behind the new run
        emptied(master)
    with connect(address, authkey=KEY, timeout=PATIENCE_S) as after:
        run = after.start("echo", ["new"])
        master.process.kill()
        master.serve()  # leases of the first start are those that go on now
        os.kill(worker.popen.pid, signal.SIGCONT)
        eventually(lambda: len(master.process.lines("connected with")) > 1, what="it is back")
        go_on.touch()
        assert list(run.results()) == ["new"]

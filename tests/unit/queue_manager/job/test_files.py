"""The files of jobs: what of them is read in several threads."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_manager.job import files, loading
from queue_manager.job.files import imported_files
from queue_manager.job.loading import job_names

SOURCE = Path(loading.__file__).read_bytes()


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads take turns often, and the collector comes often."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(300)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


class Cycle:
    """Goes by the collector alone, and lets other threads on as it goes."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.mark.usefixtures("busy")
def test_several_threads_may_read_jobs_at_once(tmp_path: Path) -> None:
    """`qm submit nosuch` names the jobs that there are. Many at once were an error of ours."""
    (tmp_path / "job.py").write_bytes(SOURCE + b"\nwork = len\n")
    found: list[object] = []

    def read(number: int) -> None:
        for n in range(10):
            for _ in range(300):
                Cycle()
            names = job_names(tmp_path)
            imported = imported_files(SOURCE + b"# %d %d" % (number, n), ())
            found.append((names, "functools.py" in imported, "ast.py" in imported))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [(["job"], False, True)] * 40


def test_the_child_of_a_fork_parses_though_another_thread_of_its_parent_does() -> None:
    taken, going = threading.Event(), threading.Event()

    def hold() -> None:
        with files._parsing:
            taken.set()
            going.wait(20.0)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert taken.wait(20.0)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os._exit(0 if files.parsed(b"n = 1").body else 1)
        finally:
            os._exit(2)
    going.set()
    holder.join(20.0)
    assert os.waitpid(child, 0)[1] == 0


def test_all_sources_are_parsed_by_the_one_function_that_threads_may_call() -> None:
    rooms = Path(files.__file__).parents[2]
    sources = [
        p for room in ("queue_manager", "master", "worker") for p in (rooms / room).rglob("*.py")
    ]
    assert [p.name for p in sources if "ast.parse(" in p.read_text("utf-8")] == ["files.py"]

"""Jobs whose files are on the master alone, or are others than the worker's.

Between machines code travels encrypted only, for which Python has pre-shared keys from 3.13 on.
Within one machine it travels in clear as well.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.processes import Master, Process, eventually

HALF = """
from jobs.factor import FACTOR

def tasks(count: int = 3):
    yield from range(count)

def work(n):
    return n * FACTOR
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A worker's own folder of jobs, which has none."""
    folder = tmp_path / "elsewhere" / "jobs"
    folder.mkdir(parents=True)
    return folder


def write(master: Master, factor: int) -> None:
    (master.jobs / "factor.py").write_text(f"FACTOR = {factor}")
    (master.jobs / "half.py").write_text(HALF)


def test_a_job_that_the_worker_lacks_comes_from_the_master(master: Master, elsewhere: Path) -> None:
    write(master, 3)
    master.worker(JOBS_FOLDER=str(elsewhere))
    run = master.submit("half")
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 3, 6]
    write(master, 5)
    run = master.submit("half")
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 5, 10]
    assert list(elsewhere.iterdir()) == []


def test_the_masters_code_is_run_where_the_worker_has_other(
    master: Master, elsewhere: Path
) -> None:
    write(master, 3)
    (elsewhere / "half.py").write_text("def work(n):\n    return 'another'")
    master.worker(JOBS_FOLDER=str(elsewhere))
    run = master.submit("half")
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 3, 6]


def test_packages_within_packages_travel_with_the_job(master: Master, elsewhere: Path) -> None:
    package = master.jobs / "parts"
    (package / "inner").mkdir(parents=True)
    for folder in (package, package / "inner"):
        (folder / "__init__.py").touch()
    (package / "base.py").write_text("BASE = 7")
    (package / "inner" / "factor.py").write_text("from ..base import BASE as FACTOR")
    (master.jobs / "half.py").write_text(HALF.replace("jobs.factor", "jobs.parts.inner.factor"))
    master.worker(JOBS_FOLDER=str(elsewhere))
    run = master.submit("half")
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 7, 14]


def waits(master: Master, pattern: str) -> re.Match[str]:
    """What `status` says of why."""
    found: re.Match[str] = eventually(
        lambda: re.search(pattern, master.status()), what=f"{pattern}:\n{master.status()}"
    )
    return found


@pytest.mark.parametrize("lacking", ["the job", "this version"])
def test_code_travels_in_clear_within_one_machine(
    start_master: Callable[..., Master], elsewhere: Path, lacking: str
) -> None:
    master = start_master(QUEUE_TLS="off")
    write(master, 3)
    if lacking == "this version":
        (elsewhere / "half.py").write_text("def work(n):\n    return 'another'")
    master.worker(JOBS_FOLDER=str(elsewhere))
    run = master.submit("half")
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 3, 6]


def own_address() -> str:
    """An address of this machine that is not loopback; empty if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@pytest.mark.skipif(not own_address(), reason="this machine has no address but loopback")
def test_no_code_travels_in_clear_elsewhere(
    start_master: Callable[..., Master], elsewhere: Path
) -> None:
    """The line says what to do."""
    master = start_master(QUEUE_TLS="off", QUEUE_BIND="0.0.0.0", QUEUE_ALLOW_WEAK_AUTHKEY="1")
    write(master, 3)
    master.worker(JOBS_FOLDER=str(elsewhere), QUEUE_HOST=own_address())
    run = master.submit("half")
    waits(master, r"can't run half: its jobs/half.py is not the master's, and code travels over")
    waits(master, r"within one machine only: use Python 3.13 or later on both sides, without")
    assert master.results(run) == []
    master.worker()  # on the same machine, with the same folder of jobs
    assert [t["result"] for t in master.ended_tasks(run, 3)] == [0, 3, 6]


def test_a_worker_that_takes_its_own_jobs_only_is_named_with_what_differs(
    master: Master, elsewhere: Path
) -> None:
    write(master, 3)
    (elsewhere / "half.py").write_text("def work(n):\n    return 'another'")
    worker: Process = master.worker(
        JOBS_FOLDER=str(elsewhere), WORKER_JOBS="local", WORKER_NAME="host-b"
    )
    run = master.submit("half")
    pid = worker.popen.pid
    waits(master, rf"host-b:\S+/{pid} can't run half: its jobs/half.py is another version \(here")
    assert master.results(run) == []


def test_a_missing_library_is_one_line_and_charges_nobody(
    master: Master, start_master: Callable[..., Master]
) -> None:
    """It is there where the master imports the job, and not where the worker does."""
    (master.jobs / "rich.py").write_text(
        "import os\n"
        "if os.environ.get('WORKER_NAME'):\n    import no_such_library\n"
        "def tasks():\n    yield 1\n"
        "def work(n):\n    return n\n"
    )
    worker = master.worker(WORKER_NAME="host-b")
    run = master.submit("rich")
    says = rf"host-b:\S+/{worker.popen.pid} lacks no_such_library: rebuild with"
    waits(master, says + " jobs/requirements.txt")
    assert master.results(run) == []
    master.worker()  # one that has it
    (done,) = master.ended_tasks(run, 1)
    assert (done["state"], done["attempts"]) == ("done", 1)

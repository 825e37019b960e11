"""What workers take of their machine, from the kernel to the page, and when it kills for it."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import Master, Process, eventually
from tests.integration.web import Web, pages_with

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

MIB = 1024**2
LOOKED_S = 30.0
"""Looks and beats come every 5 s."""

HUNGRY = '''\
"""Takes memory, and keeps it until a file is there."""
import pathlib, time
from queue_manager import Options
OPTIONS = Options(attempts=1)

def tasks(mib: int, gate: str):
    yield mib, gate

def work(task):
    mib, gate = task
    taken = [b"x" * (1 << 20) for _ in range(mib)]
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return len(taken)
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job that takes memory."""
    return pages_with(start_master, hungry=HUNGRY)


def usage(web: Web) -> dict[str, Any]:
    """What the only worker takes, as the data of the page has it; nothing until it has told."""
    (worker,) = web.json("/api/workers")["workers"]
    return worker["usage"] or {}


def test_a_worker_that_takes_memory_is_seen_with_the_task_that_does(web: Web) -> None:
    web.master.worker(WORKER_SLOTS="3")
    first = eventually(lambda: usage(web), LOOKED_S)
    assert 0 < first["memory_bytes"] < first["memory_limit_bytes"]
    gate = web.master.folder / "gate"
    run = web.master.submit("hungry", "mib=150", f"gate={gate}")

    def full() -> Any:  # a look may come while the task still fills it
        one = usage(web)["largest"]
        return one and one["memory_bytes"] > 150 * MIB and one

    largest = eventually(full, LOOKED_S)
    assert (largest["run"], largest["task"]) == (run, 1)
    found = eventually(lambda: (one := usage(web))["processors"] is not None and one, LOOKED_S)
    assert found["memory_bytes"] > largest["memory_bytes"]
    assert found["processors_limit"] > 0
    assert f"({run}/1)" in web.master.status()
    gate.touch()
    eventually(lambda: usage(web)["memory_bytes"] < found["memory_bytes"] - 100 * MIB, LOOKED_S)


# --- the kernel's own limit ---


@pytest.fixture
def box() -> Iterator[Path]:
    """A control group with little memory. It takes rights that few machines give."""
    name = f"quartermaster-{uuid.uuid4().hex}"
    for point, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        folder = Path("/sys/fs/cgroup") / point / name
        try:
            folder.mkdir()
            (folder / limit).write_text(str(220 * MIB))
            break
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
    else:
        pytest.skip("no control group can be made here")
    yield folder
    eventually(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def test_a_task_that_the_kernel_kills_for_its_memory_says_so(
    web: Web, box: Path, started: list[Any]
) -> None:
    """Its neighbour in the other slot goes on, and so does the worker."""
    master = web.master
    inside = f'echo $$ > {box}/cgroup.procs && exec "$0" -m worker'
    settings = master.environment(WORKER_SLOTS="2", HEALTH_FILE=str(master.folder / "boxed"))
    worker = Process(
        master.folder / "boxed.log", ["sh", "-c", inside, sys.executable], dict(settings)
    )
    started.append(worker)
    try:
        worker.says("connected to")
        found = eventually(lambda: usage(web), LOOKED_S)
        assert found["memory_limit_bytes"] == 220 * MIB
        gate = master.folder / "gate"
        small = master.submit("hungry", "mib=1", f"gate={gate}")
        large = master.submit("hungry", "mib=2000", f"gate={os.devnull}")
        eventually(lambda: master.run_line(large)["state"] == "failed", LOOKED_S)
        told = master.command("failed", str(large)).out
        assert "killed by SIGKILL as memory ran out (there are 220.0 MiB; this slot had" in told
        gate.touch()
        eventually(lambda: master.run_line(small)["state"] == "done", LOOKED_S)
    finally:
        worker.end()

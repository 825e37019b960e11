"""What a tree of processes takes, of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from worker.processes.usage import Taken, taken

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

MIB = 1024**2
BIG = f"""
import subprocess, sys
taken = b"x" * (60 * {MIB})
child = subprocess.Popen([sys.executable, "-c", "taken = b'x' * (40 * {MIB}); print(); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(flush=True)
input()
"""
BURN = """
import os, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.5: pass"
subprocess.run([sys.executable, "-c", burn])
print(flush=True)
input()
"""

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program, and waits until it has printed a line. It ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", code]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_memory_of_a_branch_is_that_of_its_children_too(start: Start) -> None:
    big, small = start(BIG), start("print(flush=True); input()")
    found = taken(os.getpid(), [big.pid, small.pid])
    assert 100 * MIB < found.branches[big.pid] < 150 * MIB
    assert MIB < found.branches[small.pid] < 40 * MIB
    assert found.memory_bytes > found.branches[big.pid] + found.branches[small.pid] - 30 * MIB


def test_what_all_share_counts_once(start: Start) -> None:
    """Sixteen interpreters have the same libraries: the sum of their sets has these each time."""
    pids = [start("print(flush=True); input()").pid for _ in range(16)]
    root = taken(os.getpid(), [])
    resident = shared = 0
    for pid in pids:
        with open(f"/proc/{pid}/statm") as file:
            _, one, common, *_ = map(int, file.read().split())
        resident, shared = resident + one, shared + common
    alone = taken(pids[0], []).memory_bytes
    page = os.sysconf("SC_PAGE_SIZE")
    assert root.memory_bytes <= (resident - shared) * page + alone + own_bytes()
    assert root.memory_bytes < resident * page + own_bytes()


def own_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_processor_time_of_an_ended_child_counts_on(start: Start) -> None:
    """It would be lost when a short task starts a program, else."""
    program = start(BURN)
    assert taken(program.pid, []).cpu_s >= 0.5


def test_a_process_that_is_not_there_takes_nothing(start: Start) -> None:
    gone = start("print(flush=True)")
    gone.wait()
    assert taken(gone.pid, []) == Taken(0, 0.0, {})
    found = taken(os.getpid(), [gone.pid])
    assert found.branches == {}
    assert found.memory_bytes > 0


def test_many_processes_are_looked_at_up_to_a_limit(start: Start, monkeypatch: Any) -> None:
    pids = [start("print(flush=True); input()").pid for _ in range(3)]
    monkeypatch.setattr("worker.processes.usage.LIMIT", 2)
    assert len(taken(os.getpid(), pids).branches) == 1

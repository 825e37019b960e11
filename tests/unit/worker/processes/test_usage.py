"""What a tree of processes takes, of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.processes.guardian import children
from worker.processes.usage import Taken, taken

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

MIB = 1024**2
WAIT = "print(flush=True); import sys; sys.stdin.read()"
BIG = f"""
import subprocess, sys
taken = b"x" * (60 * {MIB})
child = subprocess.Popen([sys.executable, "-c", "taken = b'x' * (40 * {MIB}); {WAIT}"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(flush=True)
sys.stdin.read()
"""
MANY = f"""
import subprocess, sys
words, pipe = [sys.executable, "-c", {WAIT!r}], subprocess.PIPE
there = [subprocess.Popen(words, stdin=pipe, stdout=pipe) for _ in range(16)]
for one in there: one.stdout.readline()
print(flush=True)
sys.stdin.read()
"""
BURN = """
import os, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.5: pass"
subprocess.run([sys.executable, "-c", burn])
print(flush=True)
sys.stdin.read()
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
    big, small = start(BIG), start(WAIT)
    found = taken(os.getpid(), [big.pid, small.pid])
    assert 100 * MIB < found.branches[big.pid] < 150 * MIB
    assert MIB < found.branches[small.pid] < 40 * MIB
    assert found.memory_bytes > found.branches[big.pid] + found.branches[small.pid] - 30 * MIB


def test_what_all_share_counts_once(start: Start) -> None:
    """Seventeen interpreters have the same libraries: the sum of their sets has these each time."""
    root = start(MANY).pid
    pids = [root, *children(root)]
    assert len(pids) == 17
    pages = [pages_of(pid) for pid in pids]
    own = sum(resident - shared for resident, shared in pages)
    most = max(shared for _, shared in pages)
    expected = (own + most) * os.sysconf("SC_PAGE_SIZE")
    assert taken(root, []).memory_bytes == pytest.approx(expected, rel=0.1)


def pages_of(pid: int) -> tuple[int, int]:
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return int(resident), int(shared)


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
    root = start(MANY).pid
    monkeypatch.setattr("worker.processes.usage.LIMIT", 4)
    assert len(taken(root, list(children(root))).branches) == 3

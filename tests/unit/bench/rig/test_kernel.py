"""A family of processes is found by a setting in its environment, whoever its parents are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.rig import kernel

PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "60"], env={})
print(flush=True)
child.wait()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process with the mark, whose child has an empty environment."""
    environment = {**os.environ, "MARK_OF_A_TEST": str(os.getpid())}
    words = [sys.executable, "-c", PARENT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = kernel.descendants(process.pid)
        yield process
        process.kill()
        for pid in children:
            os.kill(pid, 9)


def test_a_family_has_the_marked_and_their_children(parent: subprocess.Popen[bytes]) -> None:
    found = kernel.family(f"MARK_OF_A_TEST={os.getpid()}")
    assert parent.pid in found
    assert len(found) == 2
    assert kernel.descendants(parent.pid) == found - {parent.pid}


def test_a_longer_setting_is_another_one(parent: subprocess.Popen[bytes]) -> None:
    assert kernel.family(f"MARK_OF_A_TEST={str(os.getpid())[:-1]}") == set()


def test_a_process_that_has_ended_used_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert kernel.cpu_with_ended_s(process.pid) == 0
    assert kernel.group(process.pid) == 0
    assert kernel.pss_mb({process.pid}) == 0


def test_memory_of_this_process_is_some_megabytes() -> None:
    assert 1 < kernel.pss_mb({os.getpid()}) < 10_000


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root")
def test_an_isolated_process_has_loopback_alone() -> None:
    code = (
        "import socket; from bench.rig import kernel; print(kernel.isolate());"
        "print(*[name for _, name in socket.if_nameindex()]);"
        "server = socket.create_server(('127.0.0.1', 0));"
        "print(socket.create_connection(server.getsockname(), 1).getpeername()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "lo", "127.0.0.1"]

"""Every way in which a task ends its slot, or breaks it: it is that task's, and no other's."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from queue_manager.wire.records import Done, Failed
from worker.ipc.pipe import Report, frame
from worker.supervisor.slots.slot_pipe import SlotPipe

HEAD = """
import ctypes, os, pathlib, signal, sys, threading, time
from queue_manager import Options
OPTIONS = Options(concurrency={concurrency})
folder = pathlib.Path(r"{folder}")
def pipe():
    return int(pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\\0")[3])
def shared_page():
    return next(fd for fd in range(3, 256) if "quartermaster-page" in place(fd))
def place(fd):
    try: return os.readlink("/proc/self/fd/%d" % fd)
    except OSError: return ""
def unmap():
    line = next(l for l in open("/proc/self/maps") if "quartermaster-page" in l)
    start, stop = (int(part, 16) for part in line.split()[0].split("-"))
    libc = ctypes.CDLL(None)
    libc.munmap(ctypes.c_void_p(start), ctypes.c_size_t(stop - start))
def endless():
    while True: time.sleep(0.1)
def daemon():
    if os.fork() == 0:
        os.setsid()
        endless()
"""

CLOSED = "its slot died: its pipe to the worker was closed"
GARBLED = "its slot died: something else than reports came through its pipe"

WAYS = {
    "closes all descriptors": ("os.closerange(3, 256)", CLOSED),
    "closes its pipe and goes on": ("os.closerange(3, 256); endless()", CLOSED),
    "closes its pipe and raises": ("os.closerange(3, 256); raise ValueError", CLOSED),
    "puts a file in its place": ("os.dup2(os.open('/dev/null', os.O_RDWR), pipe())", CLOSED),
    "writes to its pipe": ("os.write(pipe(), b'any words, more than a head has')", GARBLED),
    "writes one letter": ("os.write(pipe(), b'x')", GARBLED),
    "writes and goes on": ("os.write(pipe(), b'9' * 16); endless()", GARBLED),
    "exit code 0": ("os._exit(0)", "exit code 0"),
    "our own exit code": ("os._exit(74)", CLOSED),
    "closes stderr first": ("os.close(2); os._exit(3)", "exit code 3"),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP)", "SIGHUP"),
    "SIGTERM to its group": ("os.killpg(0, signal.SIGTERM)", "SIGTERM"),
    "abort": ("os.abort()", "SIGABRT"),
    "another program": ("os.execv('/bin/true', ['true'])", "exit code 0"),
    "another program that stays": ("os.execv('/bin/sleep', ['sleep', '60'])", CLOSED),
    "a thread that exits": ("threading.Thread(target=os._exit, args=(5,)).start(); endless()", "5"),
    "no shared page": ("unmap()", "SIG(SEGV|BUS)"),
    "leaves a daemon with its pipe": ("daemon(); os._exit(4)", "exit code 4"),
}


async def settle_all(rig: Any, jobs: Any, payloads: list[Any]) -> tuple[dict[int, Any], Any]:
    """Give tasks, as a master does, until each is answered for: done ones and the failed."""
    given: dict[int, list[int]] = {}
    done: dict[int, Any] = {}
    failed: dict[int, Any] = {}
    seen = 0

    def give(numbers: list[int]) -> None:
        lease = jobs.lease([payloads[number] for number in numbers])
        given[lease.number] = numbers
        rig.give(lease)

    def take_in() -> bool:
        nonlocal seen
        outcomes, seen = rig.outcomes[seen:], len(rig.outcomes)
        back: list[int] = []
        for outcome in outcomes:
            numbers = given[outcome.lease]
            if isinstance(outcome, Failed):
                failed[numbers[outcome.position]] = outcome
            elif isinstance(outcome, Done):
                done.update((numbers[p], p) for p in range(outcome.start, outcome.stop))
            else:
                back += numbers[outcome.start : outcome.stop]
        if back:
            give(sorted(back))
        return len(done) + len(failed) == len(payloads)

    give(list(range(len(payloads))))
    await rig.until(take_in)
    return done, failed


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("way", WAYS)
def test_whatever_ends_a_slot_is_charged_to_the_task_that_did_it(
    jobs: Any, run_worker: Any, tmp_path: Path, way: str, kind: str
) -> None:
    """Also where it shows only when the next report is sent: then they run one at a time."""
    deed, says = WAYS[way]
    head = HEAD.format(folder=tmp_path, concurrency=4 if kind == "async" else 1)
    start = "async def" if kind == "async" else "def"
    jobs.write(f"{head}\n{start} work(word):\n    if word == 'bad': {deed}\n    return word\n")

    async def scenario(rig: Any) -> None:
        done, failed = await settle_all(rig, jobs, ["a", "b", "bad", "c", "d"])
        assert sorted(done) == [0, 1, 3, 4]
        assert list(failed) == [2]
        assert re.search(says, failed[2].error), failed[2].error
        assert rig.supervisor._orphans._count <= 4

    run_worker(scenario, adopts=True)


def test_a_task_that_shortens_the_board_harms_nobody(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """The memory is the supervisor's, too: it would end by SIGBUS."""
    head = HEAD.format(folder=tmp_path, concurrency=1)
    jobs.write(
        f"{head}\ndef work(n):\n    if n == 1: os.ftruncate(shared_page(), 0)\n    return n\n"
    )

    async def scenario(rig: Any) -> None:
        done, failed = await settle_all(rig, jobs, [0, 1, 2])
        assert sorted(done) == [0, 2]
        assert "Operation not permitted" in failed[1].error
        assert rig.supervisor._orphans._count == 1

    run_worker(scenario)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_fork_that_comes_back_twice_runs_nothing_twice(
    jobs: Any, run_worker: Any, tmp_path: Path, kind: str
) -> None:
    """The child ends where it would go on with the slot's tasks, and writes on no shared page."""
    start = "async def" if kind == "async" else "def"
    jobs.write(
        HEAD.format(folder=tmp_path, concurrency=1)
        + f"""
{start} work(n):
    (folder / f"{{n}}.{{os.getpid()}}").touch()
    child = os.fork() if n == 1 else 0
    if child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 70: raise ValueError
    return n
"""
    )

    async def scenario(rig: Any) -> None:
        done, failed = await settle_all(rig, jobs, [0, 1, 2, 3])
        assert (sorted(done), failed) == ([0, 1, 2, 3], {})
        assert len(list(tmp_path.glob("[0-9].*"))) == 4
        assert rig.supervisor._orphans._count == 1

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_setup_that_closes_the_pipe_charges_no_task(jobs: Any, run_worker: Any) -> None:
    """The job can't run here, which is said after the third slot."""
    jobs.write(
        "import os\ndef setup(): os.closerange(3, 256)\ndef work(n): return n\n",
    )

    async def scenario(rig: Any) -> None:
        for count in range(1, 4):
            rig.give(jobs.lease([0, 1]))
            await rig.until(lambda n=count: len(rig.released) == n)
        assert not rig.failed
        assert (
            "setup() killed its slot: its pipe to the worker was closed" in rig.outcomes[-1].lacks
        )

    run_worker(scenario)


def test_what_we_end_ourselves_charges_nobody(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """A revoked task that closes its pipe on SIGTERM."""
    jobs.write(
        HEAD.format(folder=tmp_path, concurrency=1)
        + """
def work(n):
    signal.signal(signal.SIGTERM, lambda *_: os.closerange(3, 256))
    (folder / "on").touch()
    endless()
"""
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0])
        rig.give(lease)
        await rig.until((tmp_path / "on").exists)
        pid = rig.pids[0]
        rig.revoke(lease)
        await rig.until(lambda: rig.pids and pid not in rig.pids)  # a new one is there
        assert not rig.outcomes
        idle = rig.pids[0]
        os.kill(idle, signal.SIGKILL)
        await rig.until(lambda: rig.pids and idle not in rig.pids)
        assert not rig.failed

    run_worker(scenario)


def test_a_report_that_cannot_be_read_loses_none_of_the_others() -> None:
    """What is behind it counts; its slot ends, for what it said may have been the end."""
    seen: list[int] = []
    broken: list[str] = []

    async def body() -> None:
        ours, theirs = socket.socketpair()
        pipe = SlotPipe(ours, lambda report: seen.append(report.lease), int, broken.append)
        pipe.take_in(frame(Report(1, [])) + b"\xc1QM\xc1\0\0\0\1\0" + frame(Report(2, [])))
        assert seen == [1, 2]
        assert len(broken) == 1
        pipe.take_in(b"other words" + frame(Report(3, [])))
        assert (seen, len(broken)) == ([1, 2], 2)
        pipe.close()
        theirs.close()

    asyncio.run(body())

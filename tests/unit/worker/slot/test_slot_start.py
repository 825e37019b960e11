"""A slot that can't be started costs nothing and is tried again."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from worker.processes import death
from worker.supervisor.pool import pool
from worker.supervisor.slots import slot_process


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def place(descriptor: str) -> str:
    """What a descriptor leads to; empty when it is closed."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(pool.log, "disabled", True)  # pytest keeps the errors, with their frames


@pytest.mark.parametrize("what", ["process", "descriptor"])
def test_a_slot_that_cannot_start_leaves_nothing_and_comes_when_it_can(
    what: str, jobs: Any, run_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.write("def work(n): return n\n")
    tries = []

    def no_process(*_: Any) -> Any:
        tries.append(descriptors())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def no_descriptor(pid: int) -> None:
        tries.append(descriptors())
        raise OSError(errno.EMFILE, "Too many open files")

    async def scenario(rig: Any) -> None:
        (old,) = rig.slots
        with monkeypatch.context() as patched:
            if what == "process":
                patched.setattr(slot_process, "_start", no_process)
            else:
                patched.setattr(death, "pidfd", no_descriptor)
            old.kill()
            await rig.until(lambda: len(tries) > 5)
        assert len(tries[-1]) < len(tries[0]) + len(tries) - 1, "each try leaves one open"
        (new,) = await rig.until(lambda: rig.slots)
        children = subprocess.check_output(
            ["pgrep", "-P", str(os.getpid()), "-f", "worker.slot.main"]
        )
        assert list(map(int, children.split())) == [new.pid]
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: rig.done)

    run_worker(scenario)


@pytest.mark.parametrize("told", [True, False])
def test_the_end_of_a_slot_is_seen_whether_the_system_tells_of_it_or_not(
    told: bool, jobs: Any, run_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread waits for a slot, and nothing of it stays open behind it."""
    if not told:
        monkeypatch.setattr(death, "pidfd", lambda pid: None)
    jobs.write("def work(n): return n\n")

    async def scenario(rig: Any) -> None:
        threads = threading.active_count()
        for _ in range(4):
            (old,) = rig.slots
            os.kill(old.pid, signal.SIGKILL)
            await rig.until(lambda old=old: not old.alive and rig.slots and rig.slots[0] is not old)
        watched = [one for one in descriptors() if place(one) == "anon_inode:[pidfd]"]
        assert len(watched) <= 1, "nothing of one that has ended stays open"
        assert threading.active_count() <= threads + 1  # the hunter's
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: rig.done)

    run_worker(scenario)


@pytest.mark.parametrize(
    "reason", [errno.ENOSYS, errno.EPERM], ids=["an old kernel", "an old filter"]
)
def test_where_the_system_has_no_such_descriptors_there_is_none(
    reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(pid: int) -> int:
        raise OSError(reason, "no")

    monkeypatch.setattr(os, "pidfd_open", fails, raising=False)
    assert death.pidfd(os.getpid()) is None


def test_where_memory_runs_out_a_slot_goes_before_its_supervisor(
    jobs: Any, run_worker: Any
) -> None:
    """Else the kernel may take the supervisor, and all slots with it."""
    jobs.write("def work(n): return open('/proc/self/oom_score_adj').read()\n")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.done)
        (score,) = rig.done.values()
        assert int(score) >= int(Path("/proc/self/oom_score_adj").read_text()) + 500

    run_worker(scenario)

"""A slot that can't be started costs nothing and is tried again."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from worker import crew, slots


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(crew.log, "disabled", True)  # pytest keeps the errors, with their frames


@pytest.mark.parametrize("what", ["process", "thread"])
def test_a_slot_that_cannot_start_leaves_nothing_and_comes_when_it_can(
    what: str, jobs: Any, run_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.write("def work(n): return n\n")
    start, tries = threading.Thread.start, []

    def no_process(*_: Any) -> Any:
        tries.append(descriptors())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def no_thread(thread: threading.Thread) -> None:
        if thread.name == "quartermaster-wait":
            tries.append(descriptors())
            raise RuntimeError("can't start new thread")
        start(thread)

    async def scenario(rig: Any) -> None:
        (old,) = rig.slots
        with monkeypatch.context() as patched:
            if what == "process":
                patched.setattr(slots, "_start", no_process)
            else:
                patched.setattr(threading.Thread, "start", no_thread)
            old.kill()
            await rig.until(lambda: len(tries) > 5)
        assert len(tries[-1]) <= len(tries[0])
        (new,) = await rig.until(lambda: rig.slots)
        children = subprocess.check_output(["pgrep", "-P", str(os.getpid()), "-f", "worker.slot"])
        assert list(map(int, children.split())) == [new.pid]
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: rig.done)

    run_worker(scenario)


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

"""The process that is ready for the next slot, in a worker that gets one function after another."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from queue_manager.job.files import version_of
from queue_manager.wire.messages import AskCode, Code

from .test_pool import alive

JOBS = ("first", "second")

JOB = b"""
import os, sys
def work(n):
    return os.getpid(), [name for name in sys.modules if name.startswith("jobs.")]
"""


async def run(rig: Any, jobs: Any, job: str) -> tuple[int, list[str]]:
    """Run one task of a function. Returns the slot that ran it, and the jobs which that had."""
    files = {f"{job}.py": JOB}
    lease = msgspec.structs.replace(jobs.lease([0], job), version=version_of(files))
    rig.give(lease)

    def done() -> bool:
        for ask in [one for one in rig.link.sent if isinstance(one, AskCode)]:
            rig.link.sent.remove(ask)
            rig.link.on_message(Code(ask.seq, ask.job, ask.version, files))
        return (lease.number, 0) in rig.done

    await rig.until(done)
    pid, loaded = rig.done[lease.number, 0]
    return pid, loaded


def test_a_slot_that_leaves_for_other_code_has_its_successor_ready(
    jobs: Any, run_worker: Any, wait_until: Any
) -> None:
    pids: list[int] = []

    async def scenario(rig: Any) -> None:
        pool = rig.supervisor.pool
        for _ in range(3):
            await run(rig, jobs, "first")
        assert pool.spare is None, "one process does for a worker that always runs the same code"
        await run(rig, jobs, "second")
        for job in (*JOBS, *JOBS):
            spare = pool.spare
            pids.append(spare.pid)
            assert spare not in rig.slots
            assert await run(rig, jobs, job) == (spare.pid, [f"jobs.{job}"])
            assert pool.spare is not spare
            await rig.until(lambda spare=spare: rig.slots == [spare])
        pids.append(pool.spare.pid)
        rig.supervisor.drain()
        await rig.until(lambda: pool.ended)
        assert pool.spare is None

    run_worker(scenario, drain_s=60.0)
    assert len(set(pids)) == 5, "each runs one job, and has run no code before"
    wait_until(lambda: not any(map(alive, pids)))  # the last one with its worker


def test_a_worker_without_its_spare_process_goes_on(jobs: Any, run_worker: Any) -> None:
    async def scenario(rig: Any) -> None:
        pool = rig.supervisor.pool
        for job in JOBS:
            await run(rig, jobs, job)
        spare = pool.spare
        os.kill(spare.pid, signal.SIGKILL)
        await rig.until(lambda: pool.spare is None)
        pid, _ = await run(rig, jobs, "first")
        assert pid != spare.pid
        assert pool.spare.pid != spare.pid
        assert not rig.failed

    run_worker(scenario)


@pytest.mark.parametrize("ends", [False, True])
def test_a_daemon_that_nobody_knows_does_not_live_on_for_the_spare_process(
    jobs: Any, run_worker: Any, tmp_path: Path, ends: bool
) -> None:
    """That has run no code which might have left it, and may wait for days."""

    async def scenario(rig: Any) -> None:
        for job in JOBS:
            await run(rig, jobs, job)
        spare = rig.supervisor.pool.spare
        await rig.until(lambda: len(rig.slots) == 1)
        note = tmp_path / "daemon"
        script = f"echo $$ >{note}; exec sleep 60"
        subprocess.run(["setsid", "-f", "sh", "-c", script], env={"PATH": os.environ["PATH"]})
        pid = int(await rig.until(lambda: note.exists() and note.read_text()))
        if ends:
            os.kill(spare.pid, signal.SIGKILL)
            await rig.until(lambda: rig.supervisor.pool.spare is None)
        else:
            rig.supervisor._orphans.sweep()
        assert alive(pid)
        assert not rig.supervisor._orphans._hunted
        os.kill(rig.slots[0].pid, signal.SIGKILL)
        await rig.until(lambda: not alive(pid))
        await rig.until(lambda: rig.slots)
        assert (rig.slots == [spare]) is not ends

    run_worker(scenario, adopts=True)


def test_where_no_spare_process_can_start_nothing_is_said(
    jobs: Any, run_worker: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The slot that is wanted is started as ever, and says what is wrong if it can't be."""

    spares: list[Any] = []

    async def scenario(rig: Any) -> None:
        pool = rig.supervisor.pool
        for job in JOBS:
            await run(rig, jobs, job)
        with monkeypatch.context() as patched:
            patched.setattr(pool, "_start_one", _fails)
            await run(rig, jobs, "first")  # by the spare process
            assert pool.spare is None
            assert "can't start" not in caplog.text
        await run(rig, jobs, "second")
        spares.append(pool.spare)

    run_worker(scenario)
    assert spares[0].kill_reason, "a worker in a hurry does not wait for it"


def _fails() -> Any:
    raise BlockingIOError(11, "Resource temporarily unavailable")

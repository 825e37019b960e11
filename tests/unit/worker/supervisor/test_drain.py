"""A worker ends in time whatever its slots do, with 0, and charges nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from queue_manager.job.raised import WORKER_DIED
from tests.chaos.ground.canary import slowness

from .pool.test_pool import alive, gated, started

IN_WAY = {
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: pass",
    "in C": "sum(range(10**13))",
}


async def _drain(rig: Any, drain_s: float, expected: dict[int, list[int]]) -> None:
    began = time.monotonic()
    rig.supervisor.drain()
    await rig.until(lambda: rig.supervisor._done.is_set())
    assert time.monotonic() - began < drain_s + slowness()
    await asyncio.sleep(0)
    assert rig.released == expected
    assert not rig.failed
    assert not rig.done


@pytest.mark.parametrize("how", IN_WAY)
def test_a_drain_ends_in_time_though_a_task_does_not(
    jobs: Any, run_worker: Any, tmp_path: Path, how: str
) -> None:
    """Its slot is stopped, or ignores SIGTERM, or holds the GIL."""
    flag = tmp_path / "started"
    jobs.write(
        f"import os, pathlib, signal\ndef work(n):\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    {IN_WAY[how]}\n"
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1])
        rig.give(lease)
        await rig.until(flag.exists)
        await _drain(rig, 0.5, {lease.number: [1, 0]})

    run_worker(scenario, drain_s=0.5)


@pytest.mark.usefixtures("patient")
def test_a_drain_ends_in_time_though_a_slot_is_in_setup(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Its tasks have not started: they go back at once."""
    flag = tmp_path / "started"
    jobs.write(
        f"import pathlib, time\ndef setup():\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    time.sleep(60)\ndef work(n): pass"
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1])
        rig.give(lease)
        await rig.until(flag.exists)
        await _drain(rig, 0.5, {lease.number: [0, 1]})

    run_worker(scenario, drain_s=0.5)


def test_a_drain_ends_in_time_though_a_slot_cannot_be_killed(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any, wait_until: Any
) -> None:
    """Such as one that waits for a disk that does not answer; the kernel ends it after us."""
    flag = tmp_path / "started"
    jobs.write(
        f"import pathlib, time\ndef work(n):\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    time.sleep(60)"
    )
    pids: list[int] = []

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(flag.exists)
        pids.extend(rig.pids)
        monkeypatch.setattr("worker.processes.tree.ProcessTree._signal", lambda *_: None)
        began = time.monotonic()
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert time.monotonic() - began < 0.5 + slowness()
        monkeypatch.undo()

    run_worker(scenario, drain_s=0.5)
    wait_until(lambda: not alive(pids[0]))  # the guardian has better eyes


def test_an_idle_worker_with_a_stopped_slot_ends(jobs: Any, run_worker: Any) -> None:
    """A stopped process does not read the end of its pipe."""

    async def scenario(rig: Any) -> None:
        os.kill(rig.pids[0], signal.SIGSTOP)
        await _drain(rig, 0.5, {})

    run_worker(scenario, drain_s=0.5)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("first", ["worker", "slots"])
def test_a_sigterm_for_worker_and_slots_together_charges_nobody(
    jobs: Any, run_worker: Any, tmp_path: Path, first: str
) -> None:
    """As systemd and the end of a machine send it, in any order."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease, pool = jobs.lease(["wait", "b"]), rig.supervisor.pool
        rig.give(lease)
        pid = await rig.until(lambda: started(tmp_path, "wait"))
        if first == "worker":
            rig.supervisor.drain()
        os.kill(pid, signal.SIGTERM)
        slot = pool.inventory.slots[0]
        await rig.until(lambda: not slot.alive)
        if first == "slots":
            assert not rig.outcomes
            assert not pool.ended  # it is claimed, should there be a new session now
            assert [lease.number for lease in pool.claimed()] == [lease.number]
            rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert sorted(rig.released[lease.number]) == [0, 1]
        assert not rig.failed

    run_worker(scenario, drain_s=30.0)


def test_a_slot_that_is_ended_by_sigterm_alone_costs_its_task_an_attempt(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """It may have sent it itself."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait", "b"])
        rig.give(lease)
        os.kill(await rig.until(lambda: started(tmp_path, "wait")), signal.SIGTERM)
        await rig.until(lambda: rig.failed and rig.released)
        (failed,) = rig.failed
        assert (failed.position, failed.error) == (0, "its slot died: killed by SIGTERM")
        assert failed.raised == WORKER_DIED
        assert rig.released == {lease.number: [1]}
        after = jobs.lease(["c"])
        rig.give(after)
        await rig.until(lambda: (after.number, 0) in rig.done)

    run_worker(scenario)


def test_a_task_that_timed_out_at_the_end_of_a_drain_is_charged(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Also when it is about to be killed for that, or when nobody has looked since."""
    monkeypatch.setattr("worker.supervisor.slots.slot_process.GRACE_S", 60.0)
    flag = tmp_path / "started"
    jobs.write(
        f"import pathlib, signal\ndef work(n):\n"
        f"    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    while True: pass\n"
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0], timeout_s=0.2))
        await rig.until(flag.exists)
        await rig.until(
            lambda: rig.slots[0].kill_reason is not None
        )  # told to end, which it ignores
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert [f.error for f in rig.failed] == ["timed out after 0.2 s"]
        assert not rig.released

    run_worker(scenario, drain_s=0.1)

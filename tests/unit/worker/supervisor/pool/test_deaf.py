"""Tasks that do not let go when they are cancelled: their slot ends, another takes its place."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.slot.test_async_slot import on, write

DEAF = {
    "swallows once and sleeps on": """
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: await asyncio.sleep(60)
""",
    "swallows without end": """
        while True:
            try: await asyncio.sleep(60)
            except asyncio.CancelledError: pass
""",
    "waits for what is shielded": """
        inner = asyncio.ensure_future(asyncio.sleep(60))
        while not inner.done():
            try: await asyncio.shield(inner)
            except asyncio.CancelledError: pass
""",
    "catches everything": """
        while True:
            try: await asyncio.sleep(60)
            except BaseException: pass
""",
    "starts a thread that stays": """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        while True:
            try: await asyncio.sleep(60)
            except asyncio.CancelledError: pass
""",
    "waits in a thread of a pool": """
        while True:
            try: await asyncio.to_thread(time.sleep, 60)
            except asyncio.CancelledError: pass
""",
}


def write_deaf(jobs: Any, folder: Path, how: str, concurrency: int) -> None:
    work = f"""
async def work(word):
    (folder / (word + ".on")).touch()
    if word == "deaf":{DEAF[how]}
    return await gate(word)
"""
    write(jobs, folder, work, concurrency)


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("how", DEAF)
def test_a_slot_whose_only_task_outlives_its_cancellation_is_replaced(
    jobs: Any, run_worker: Any, tmp_path: Path, how: str
) -> None:
    """The task is charged once; its lease is over with that, and the slot must end all the same."""
    write_deaf(jobs, tmp_path, how, 1)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["deaf"], timeout_s=0.1))
        await rig.until(lambda: rig.failed)
        after = jobs.lease(["after"])
        rig.give(after)
        (tmp_path / "after").touch()
        await rig.until(lambda: (after.number, 0) in rig.done)
        assert [f.error for f in rig.failed] == ["timed out after 0.1 s"]
        assert rig.supervisor._orphans._count == 2
        await rig.until(lambda: len(rig.slots) == 1)

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
@pytest.mark.usefixtures("short_grace")
def test_neighbours_of_a_task_that_outlives_its_cancellation_go_back_uncharged(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Those in flight in other leases and in its own; what waits behind them, too."""
    write_deaf(jobs, tmp_path, "swallows without end", 3)

    async def scenario(rig: Any) -> None:
        own, other = jobs.lease(["deaf"], timeout_s=1.0), jobs.lease(["a", "b", "c"])
        rig.give(own, other)
        await rig.until(lambda: on(tmp_path, "deaf") and on(tmp_path, "b"))
        await rig.until(lambda: rig.failed and len(rig.released.get(other.number, [])) >= 2)
        assert [f.lease for f in rig.failed] == [own.number]
        assert own.number not in rig.released

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("how", ["swallows without end", "waits for what is shielded"])
def test_a_revoked_task_that_does_not_let_go_frees_its_slot(
    jobs: Any, run_worker: Any, tmp_path: Path, how: str
) -> None:
    """Nobody is charged: it was the master's word."""
    write_deaf(jobs, tmp_path, how, 1)

    async def scenario(rig: Any) -> None:
        deaf = jobs.lease(["deaf"])
        rig.give(deaf)
        await rig.until(lambda: on(tmp_path, "deaf"))
        rig.revoke(deaf)
        await rig.until(lambda: rig.supervisor._orphans._count == 2)
        after = jobs.lease(["after"])
        rig.give(after)
        (tmp_path / "after").touch()
        await rig.until(lambda: (after.number, 0) in rig.done)
        assert not rig.failed

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
def test_a_drain_ends_what_does_not_let_go(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    write_deaf(jobs, tmp_path, "catches everything", 2)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["deaf"])
        rig.give(lease)
        await rig.until(lambda: on(tmp_path, "deaf"))
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert not rig.failed
        assert rig.released == {lease.number: [0]}

    run_worker(scenario, drain_s=0.3)


@pytest.mark.usefixtures("patient")
@pytest.mark.usefixtures("short_grace")
def test_one_that_has_timed_out_when_a_drain_ends_is_charged(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Though it was cancelled a moment ago only, and had 2 s for that."""
    write_deaf(jobs, tmp_path, "catches everything", 2)

    async def scenario(rig: Any) -> None:
        late, other = jobs.lease(["deaf"], timeout_s=0.2), jobs.lease(["a"], timeout_s=60.0)
        rig.give(late, other)
        await rig.until(lambda: on(tmp_path, "deaf") and on(tmp_path, "a"))
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert [(f.lease, f.error) for f in rig.failed] == [(late.number, "timed out after 0.2 s")]
        assert rig.released == {other.number: [0]}

    run_worker(scenario, drain_s=0.4)


@pytest.mark.usefixtures("short_grace")
def test_threads_that_a_task_has_left_do_not_keep_an_ended_slot_alive(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """A slot that leaves, since its job has changed, is gone a moment later."""
    source = """
import os, pathlib, threading, time
def work(n):
    threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()
"""
    jobs.write(source)

    async def scenario(rig: Any) -> None:
        first = jobs.lease([0])
        rig.give(first)
        await rig.until(lambda: (first.number, 0) in rig.done)
        pid = rig.done[first.number, 0]
        jobs.write(source + "\n# changed\n")
        rig.supervisor.pool._eligibility.versions.forget("trial")
        second = jobs.lease([0])
        rig.give(second)
        await rig.until(lambda: (second.number, 0) in rig.done)
        assert rig.done[second.number, 0] != pid
        await rig.until(lambda: pid not in rig.pids)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)

    run_worker(scenario)

"""Thousands of processes below a slot are looked at and killed beside the supervisor's loop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from worker.processes import orphans, tree
from worker.processes.guardian import Process
from worker.processes.hunter import Hunter


def test_what_it_is_told_is_done_in_that_order_and_an_error_ends_nothing() -> None:
    found: list[int] = []
    done = threading.Event()
    hunter = Hunter()
    hunter.do(lambda: found.append(1))
    hunter.do(lambda: found.append(1 // 0))
    hunter.do(lambda: found.append(2))
    hunter.do(done.set)
    assert done.wait(20)
    assert found == [1, 2]


def test_without_room_for_a_thread_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork bomb may have taken the last one."""

    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_room)
    found: list[int] = []
    Hunter().do(lambda: found.append(1))
    assert found == [1]


def test_the_supervisor_goes_on_while_a_slot_s_processes_are_killed(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """However long that takes; the task is charged when it is done."""
    may, hunts = threading.Event(), threading.Event()
    kill_below = tree.kill_below

    def slowly(pid: int) -> None:
        hunts.set()
        assert may.wait(20)
        kill_below(pid)

    jobs.write(
        f"import pathlib, time\ndef work(n):\n    if n: return n\n"
        f"    pathlib.Path({str(tmp_path / 'on')!r}).touch()\n    time.sleep(60)"
    )

    async def scenario(rig: Any) -> None:
        bad = jobs.lease([0], timeout_s=0.1)
        rig.give(bad)
        await rig.until((tmp_path / "on").exists)
        monkeypatch.setattr(tree, "kill_below", slowly)
        await rig.until(hunts.is_set)
        for number in (1, 2, 3):
            lease = jobs.lease([number])
            rig.give(lease)
            await rig.until(lambda at=(lease.number, 0): at in rig.done)
        assert not rig.failed
        may.set()
        await rig.until(lambda: rig.failed)
        assert rig.failed[0].error == "timed out after 0.1 s"

    run_worker(scenario, slots=2)


def test_many_that_have_lost_their_slot_are_looked_at_in_turns(
    jobs: Any, run_worker: Any, monkeypatch: Any
) -> None:
    """One turn of the loop ends after its time, and the rest comes in the next."""
    looked: list[int] = []

    def slow(pid: int) -> Process:
        looked.append(pid)
        return Process(pid, 1)

    monkeypatch.setattr(orphans, "TURN_S", 0.0)
    monkeypatch.setattr(orphans, "children", lambda _: iter(range(10**9, 10**9 + 4_096)))
    monkeypatch.setattr(orphans, "process", slow)

    async def scenario(rig: Any) -> None:
        before = len(looked)
        rig.supervisor._orphans._reap(set())
        assert len(looked) - before <= 1

    run_worker(scenario, adopts=True)

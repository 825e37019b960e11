"""Slots that are stopped, and workers that were frozen themselves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.ipc.shared_page import POSITION, PREPARING
from worker.supervisor.pool import deadlines
from worker.supervisor.pool.deadlines import LOOK_S, SUSPENDED_S, Deadlines
from worker.supervisor.slots.slot_load import SlotLoad

from .test_pool import gated, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_slot_that_is_stopped_is_killed_and_its_task_charged(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Nothing else would ever end it; the rest of its lease goes back."""
    monkeypatch.setattr(deadlines, "SUSPENDED_S", 0.5)
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait", "b"])
        rig.give(lease)
        pid = await rig.until(lambda: started(tmp_path, "wait"))
        os.kill(pid, signal.SIGSTOP)
        await rig.until(lambda: rig.failed and rig.released)
        (failed,) = rig.failed
        assert (failed.position, failed.error) == (0, "its slot was suspended for 0.5 s")
        assert rig.released == {lease.number: [1]}
        after = jobs.lease(["c"])
        rig.give(after)
        await rig.until(lambda: (after.number, 0) in rig.done)

    run_worker(scenario)


class StoppedSlot:
    """A slot that is always seen stopped."""

    def __init__(self) -> None:
        self.suspended_s, self.kill_reason, self.killed = 0.0, None, 0
        self.suspended, self.alive, self.load = True, True, SlotLoad()
        self.held = self.load.held
        self.pid = 7

    def take_back(self, lease: Any, least: int = 0) -> list[tuple[int, int]]:
        return []

    def kill(self) -> None:
        self.killed += 1


@pytest.fixture
def stopped(jobs: Any) -> Any:
    from worker.ipc.shared_page import SharedPage
    from worker.supervisor.outbox import Outbox
    from worker.supervisor.pool.inventory import Inventory
    from worker.supervisor.slots.lease import OpenLease

    slot: Any = StoppedSlot()
    slot.page = SharedPage.create()
    slot.page.rows[0].reset(0, 1)
    slot.held.append(OpenLease(jobs.lease([0]), 1e9))
    inventory = Inventory(Outbox())
    inventory.slots.append(slot)
    return slot, Deadlines(inventory)


def test_only_time_in_which_the_supervisor_turned_is_counted(stopped: Any) -> None:
    """A worker that was frozen as a whole does not find its slots guilty of it."""
    slot, deadlines = stopped
    deadlines.check(100.0)
    deadlines.check(100.0 + 100 * SUSPENDED_S)
    deadlines.check(100.0 + 200 * SUSPENDED_S)
    assert not slot.killed
    now = 100.0 + 200 * SUSPENDED_S
    while not slot.killed:
        now += LOOK_S
        deadlines.check(now)
        assert now < 100.0 + 202 * SUSPENDED_S
    assert slot.kill_reason.why == "its slot was suspended for 5 s"


def test_a_slot_that_goes_on_is_forgiven(stopped: Any) -> None:
    """Only a stop in one piece counts."""
    slot, deadlines = stopped
    for n in range(100):
        slot.suspended = n % 10 != 0
        deadlines.check(100.0 + n * LOOK_S)
    assert not slot.killed


def test_an_import_or_setup_that_hangs_is_told_of_now_and_then(
    stopped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing ends it, and without a line nobody would know where to look."""
    slot, deadlines = stopped
    slot.suspended = False
    slot.held[0].since = 100.0
    told = []
    for now in range(100, 800):
        before = len(caplog.messages)
        slot.page.rows[0].numbers[POSITION] = PREPARING
        deadlines.check(float(now))
        told += [now] * (len(caplog.messages) - before)
    assert told == [130, 430, 730]
    assert caplog.messages[0] == "trial: import or setup() has taken 30 s in slot 7"
    caplog.clear()
    slot.page.rows[0].numbers[POSITION] = 0  # a task: it has `timeout_s`
    deadlines.check(2000.0)
    assert not caplog.messages

"""When a worker looks at itself, and what it makes of two looks."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager.wire.limits import MOST_PROCESSORS
from queue_manager.wire.messages import Beat
from queue_manager.wire.usage import LargestSlot, Usage
from worker.processes.control_groups import Limits
from worker.processes.usage import Taken
from worker.supervisor import meter as meter_module
from worker.supervisor import pulse
from worker.supervisor.meter import EVERY_S, SPARING, Look, Meter

GIB, MIB = 1024**3, 1024**2
LIMITS = Limits(4 * GIB, 2.0)


class Groups:
    """Control groups that say what a test wants. dead: how often the kernel has killed."""

    def __init__(self, dead: int | None = 0) -> None:
        self.dead = dead

    def limits(self) -> Limits:
        return LIMITS

    def kills(self) -> int | None:
        return self.dead


class Rig:
    """A meter with slots 11 (which runs task 7 of run 3) and 12."""

    def __init__(self, dead: int | None = 0) -> None:
        self.groups: Any = Groups(dead)
        self.slots: Any = [SimpleNamespace(pid=11, task=(3, 7)), SimpleNamespace(pid=12, task=None)]
        self.meter = Meter(lambda: self.slots, self.groups)
        self.at = time.monotonic()

    def look(self, cpu_s: float = 0.0, *, size: int = GIB, **branches: int) -> None:
        """A look, 5 s after the one before."""
        self.at += 5.0
        taken = Taken(size, cpu_s, {int(pid[1:]): size for pid, size in branches.items()})
        self.meter._note(Look(taken, LIMITS, self.groups.dead, self.at, 0.001))


def test_processors_are_those_used_between_two_looks() -> None:
    rig = Rig()
    assert rig.meter.newest is None
    rig.look(100.0)
    assert rig.meter.newest == Usage(GIB, 4 * GIB, None, 2.0, None)
    rig.look(108.5)
    assert rig.meter.newest == Usage(GIB, 4 * GIB, 1.7, 2.0, None)
    rig.look(90.0)  # processes went that nobody waited for
    assert rig.meter.newest == Usage(GIB, 4 * GIB, 0.0, 2.0, None)


def test_the_largest_slot_is_told_with_the_task_that_it_runs() -> None:
    rig = Rig()
    rig.look(_11=9 * MIB, _12=2 * MIB, _99=50 * MIB)  # slot 99 has ended meanwhile
    assert rig.meter.newest is not None
    assert rig.meter.newest.largest == LargestSlot(9 * MIB, 3, 7)
    rig.look(_11=9 * MIB, _12=10 * MIB)
    assert rig.meter.newest.largest == LargestSlot(10 * MIB, None, None)


def test_a_system_that_does_not_tell_has_no_usage() -> None:
    rig = Rig(None)
    rig.look(size=0)
    assert rig.meter.newest is None
    assert rig.meter.why_killed(rig.slots[0]) == ""


def test_a_look_that_takes_long_is_taken_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork bomb has thousands of processes; a look at them may take a thousandth of the time."""
    rig = Rig()
    ordered: list[Any] = []
    monkeypatch.setattr(meter_module, "hunter", SimpleNamespace(do=ordered.append))

    async def scene() -> None:
        rig.meter.tick()
        rig.meter.tick()
        assert len(ordered) == 1  # not again while it is under way
        now = time.monotonic() - 60.0
        for cost_s, pause_s in ((0.001, EVERY_S), (0.2, 0.2 * SPARING)):
            now += 30.0
            rig.meter._note(Look(Taken(GIB, 0.0, {}), LIMITS, 0, now, cost_s))
            assert rig.meter._not_before == now + pause_s
        rig.meter.tick()
        assert len(ordered) == 1

    asyncio.run(scene())


def test_a_kill_is_for_memory_if_the_kernel_has_counted_one() -> None:
    rig = Rig(dead=5)
    slot = rig.slots[0]
    rig.look(_11=3 * GIB)
    assert rig.meter.why_killed(slot) == ""
    rig.groups.dead = 6
    rig.look(_11=3 * GIB)  # a look between the kill and the end of the slot takes nothing away
    why = rig.meter.why_killed(slot)
    assert why.startswith(" as memory ran out (there are 4.0 GiB; this slot had 3.0 GiB of it ")
    assert rig.meter.why_killed(slot) == ""  # the one kill was that of the slot before
    rig.look()
    rig.look()
    assert rig.meter.why_killed(slot) == ""


def test_a_kill_of_long_ago_says_nothing_of_a_slot_that_is_killed_now() -> None:
    rig = Rig()
    rig.groups.dead = 1  # a program that a task had started
    rig.look()
    rig.look()
    assert rig.meter.why_killed(rig.slots[0]) == ""


def test_a_kill_before_the_first_look_is_told_without_sizes() -> None:
    rig = Rig()
    rig.groups.dead = 1
    assert rig.meter.why_killed(rig.slots[0]) == " as memory ran out"


# --- with real slots ---

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@linux
@pytest.mark.usefixtures("patient")
def test_beats_tell_what_the_worker_takes_and_which_task_takes_most(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(pulse, "BEAT_S", 0.02)
    monkeypatch.setattr(pulse, "PULSE_S", 0.01)
    monkeypatch.setattr(meter_module, "EVERY_S", 0.05)
    monkeypatch.setattr(meter_module, "SPARING", 1)
    jobs.write(
        f"""
        import pathlib, time
        def work(mib):
            taken = b"x" * (mib << 20)
            while not pathlib.Path({str(tmp_path / "gate")!r}).exists(): time.sleep(0.01)
        """
    )

    def usage(rig: Any) -> Usage | None:
        return next((m.usage for m in reversed(rig.link.sent) if isinstance(m, Beat)), None)

    async def scenario(rig: Any) -> None:
        small, big = jobs.lease([1]), jobs.lease([100])
        rig.give(small)
        await rig.until(lambda: (usage(rig) or Usage(0)).processors is not None)
        before = usage(rig)
        rig.give(big)
        await rig.until(lambda: (usage(rig) or Usage(0)).memory_bytes > before.memory_bytes + 90e6)
        await rig.until(lambda: usage(rig).largest.memory_bytes > 100 * MIB)
        found = usage(rig)
        assert found.memory_limit_bytes > found.memory_bytes > found.largest.memory_bytes
        await rig.until(lambda: usage(rig).largest.task == 1)
        assert usage(rig).largest.run == 1
        (tmp_path / "gate").touch()
        await rig.until(lambda: usage(rig).largest.memory_bytes < 60 * MIB)

    run_worker(scenario, slots=2)


@linux
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("dead", [1, 0])
def test_the_dead_letter_of_a_task_that_was_killed_for_memory_says_so(
    jobs: Any, run_worker: Any, monkeypatch: Any, dead: int
) -> None:
    groups = Groups()
    monkeypatch.setattr(meter_module, "ControlGroups", lambda: groups)
    jobs.write("import os, time\ndef work(n):\n  print(os.getpid(), flush=True)\n  time.sleep(60)")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: any(slot.task for slot in rig.slots))
        groups.dead = dead
        os.kill(rig.pids[0], 9)
        await rig.until(lambda: rig.failed)
        error = rig.failed[0].error
        assert error.startswith("its slot died: killed by SIGKILL")
        assert (" as memory ran out" in error) == bool(dead)

    run_worker(scenario)


def test_a_look_that_fails_keeps_no_other_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.meter._looking = True

    def fails(*_: object) -> Taken:
        raise OSError("no /proc")

    monkeypatch.setattr(meter_module, "taken", fails)
    loop: Any = None
    with pytest.raises(OSError, match="no /proc"):
        rig.meter._look(loop, [])
    assert not rig.meter._looking


def test_processors_are_never_more_than_the_wire_takes() -> None:
    rig = Rig()
    rig.look(0.0)
    rig.look(1e12)
    assert rig.meter.newest is not None
    assert rig.meter.newest.processors == MOST_PROCESSORS

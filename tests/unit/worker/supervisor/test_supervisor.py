"""The session: what is asked for, reported and promised over it, and the worker's end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from queue_manager import __version__
from queue_manager.job.tags import python_tag
from queue_manager.wire.messages import LEVEL, Beat
from worker.supervisor import pulse

from .pool.test_pool import gated, started


def test_a_worker_asks_for_a_lease_for_each_slot(jobs: Any, run_worker: Any) -> None:
    """At connection, in one exchange, with what it is in the hello."""

    async def scenario(rig: Any) -> None:
        (exchange,) = rig.exchanges
        assert (exchange.want, exchange.outcomes, exchange.draining) == (3, [], False)
        hello = rig.link.hello()
        assert (hello.role, hello.slots, hello.tags) == ("worker", 3, [python_tag()])
        assert hello.level == LEVEL

    run_worker(scenario, slots=3)


def test_a_worker_says_its_tags_in_each_hello(jobs: Any, run_worker: Any) -> None:
    async def scenario(rig: Any) -> None:
        assert rig.link.hello().tags == ["bigmem", "gpu", python_tag()]
        assert rig.link.hello().version == __version__

    run_worker(scenario, tags=frozenset({"gpu", "bigmem"}))


def test_quick_leases_are_asked_for_ahead(jobs: Any, run_worker: Any) -> None:
    """Twice as many as slots are then here or on their way, never more."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        given = 0
        while given < 50:
            await rig.until(lambda: rig.wanted > given)  # noqa: B023
            assert rig.wanted - len(rig.done) <= 2
            rig.give(jobs.lease([given]))
            given += 1
        await rig.until(lambda: len(rig.done) == 50)
        assert rig.wanted == 52

    run_worker(scenario)


def test_outcomes_that_are_ready_together_travel_together(jobs: Any, run_worker: Any) -> None:
    """What one turn of the loop brings is one exchange."""

    async def scenario(rig: Any) -> None:
        rig.give(*(jobs.lease([0], job="nothing") for _ in range(5)))
        await rig.until(lambda: len(rig.outcomes) == 5)
        assert len([e for e in rig.exchanges if e.outcomes]) == 1

    run_worker(scenario)


def test_demand_is_asked_afresh_in_each_session(jobs: Any, run_worker: Any) -> None:
    """The master forgets with the session what was asked for in it."""

    async def scenario(rig: Any) -> None:
        assert rig.wanted == 2
        rig.link.drop()
        rig.link.connect()
        await rig.until(lambda: rig.wanted == 4)

    run_worker(scenario, slots=2)


def test_a_drain_lets_running_tasks_end(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Nothing new is taken, what has not started goes back, what runs is reported."""
    gated(jobs, tmp_path)
    seen: list[Any] = []

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait", "b"])
        rig.give(lease)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.supervisor.drain()
        await rig.until(lambda: rig.released)
        late = jobs.lease(["c"])
        rig.give(late)
        await rig.until(lambda: len(rig.released) == 2)
        assert rig.released == {lease.number: [1], late.number: [0]}
        assert rig.exchanges[-1].draining
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.supervisor._done.is_set())
        seen.append(rig.done)
        assert rig.done == {(lease.number, 0): "wait"}
        assert sum(e.want for e in rig.exchanges if e.draining) == 0

    run_worker(scenario, drain_s=30.0)
    assert seen


def test_a_worker_that_drains_asks_for_nothing(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Though its slot was quick, and would have had a second lease wait in its pipe."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        quick, long = jobs.lease(["a"]), jobs.lease(["wait"])
        rig.give(quick)
        await rig.until(lambda: rig.wanted == 3)  # one at first, then two: it asks ahead
        rig.give(long, jobs.lease(["b"]))
        await rig.until(lambda: started(tmp_path, "wait"))
        wanted = rig.wanted
        rig.supervisor.drain()
        await rig.until(lambda: rig.exchanges[-1].draining and rig.released)
        assert rig.supervisor.pool.want > 0
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert rig.wanted == wanted

    run_worker(scenario, drain_s=30.0)


def test_a_drain_has_an_end(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Then the task goes back uncharged."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait"])
        rig.give(lease)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert rig.released == {lease.number: [0]}
        assert not rig.failed

    run_worker(scenario, drain_s=0.3)


def test_a_second_signal_ends_a_drain_at_once(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice means it; the task goes back all the same."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait"])
        rig.give(lease)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.supervisor.drain()
        began = time.monotonic()
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert time.monotonic() - began < 5
        assert rig.released == {lease.number: [0]}

    run_worker(scenario, drain_s=600.0)


def test_a_worker_gives_signs_of_life(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """A file for the health check, a message for the master, while a task holds the GIL."""
    monkeypatch.setattr(pulse, "BEAT_S", 0.02)
    monkeypatch.setattr(pulse, "PULSE_S", 0.01)
    jobs.write("def work(n): return sum(range(n))")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([10**7]))
        await rig.until(lambda: len([m for m in rig.link.sent if isinstance(m, Beat)]) >= 3)
        before = (tmp_path / "health").read_text()
        await rig.until(lambda: (tmp_path / "health").read_text() != before)

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_an_outcome_of_a_task_that_went_back_is_not_reported(jobs: Any, run_worker: Any) -> None:
    """If the two sides of the shared page missed each other, its result is dropped."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1])
        rig.give(lease)
        held = next(slot.held[0] for slot in rig.supervisor.pool.inventory.slots if slot.held)
        rig.supervisor.pool.inventory.release(held, held.cut(1))
        await rig.until(lambda: rig.released.get(lease.number) == [1, 0])
        assert rig.done == {}

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_flood_of_leases_is_run_in_order(jobs: Any, run_worker: Any) -> None:
    """Those that fit nowhere wait, and nothing is lost between the slots."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        leases = [jobs.lease(list(range(20))) for _ in range(200)]
        rig.give(*leases)
        await rig.until(lambda: len(rig.done) + sum(map(len, rig.released.values())) == 4_000)
        assert len(rig.done) == 4_000
        await asyncio.sleep(0)

    run_worker(scenario, slots=2)


LARGE = "def work(n):\n    return b'x' * 1_000_000"


@pytest.mark.usefixtures("patient")
def test_a_master_that_reads_nothing_gets_no_more_and_all_of_it_later(
    jobs: Any, run_worker: Any
) -> None:
    """Else the session ends by what is sent in it, and the next one by the same bytes again."""

    async def scenario(rig: Any) -> None:
        jobs.write(LARGE)
        rig.link.roomy = False
        lease = jobs.lease([0] * 100)
        rig.give(lease)
        outbox = rig.supervisor._outbox
        await rig.until(lambda: outbox.full and not rig.slots[0].held)
        assert not rig.outcomes
        assert not rig.supervisor._room.leases, "nor does it ask for leases"
        late = [jobs.lease([0] * 3), jobs.lease([0], limited=True)]
        rig.give(*late)  # they were asked for before
        assert not rig.slots[0].held, "nor does it begin what comes"
        rig.link.roomy = True
        rig.link.on_room()
        await rig.until(lambda: outbox.empty)
        done, back = len(rig.done), len(rig.released[lease.number])
        assert done + back == 100
        assert back > 50, "a task that has not begun waits with the master, in no slot"
        assert [len(rig.released[lease.number]) for lease in late] == [3, 1]
        assert rig.supervisor._room.leases
        assert rig.supervisor._room.places, "a task of a limited group may come again"

    run_worker(scenario)

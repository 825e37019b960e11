"""Leases over the end of a session: what is claimed, what goes on, what is given up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from queue_manager.wire.records import Done, HeldLease
from worker.ipc.shared_page import PREPARING

from .test_pool import gated, started


@pytest.mark.usefixtures("patient")
def test_held_leases_go_on_over_a_lost_session(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Also what has not started; outcomes wait and are in the first exchange of the next one."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["a", "wait", "b"])
        rig.give(lease)
        await rig.until(lambda: rig.done and started(tmp_path, "wait"))
        await rig.until(lambda: not rig.link.unanswered)
        rig.link.drop()
        rig.link.sent.clear()
        (tmp_path / "wait").touch()
        await rig.until(lambda: not rig.supervisor.pool.running)
        assert not rig.link.sent
        (claim,) = rig.link.connect()
        assert claim == HeldLease(lease.number, 1, 7, [(1, 3)])
        await rig.until(lambda: rig.exchanges)
        assert rig.done == {(lease.number, 1): "wait", (lease.number, 2): "b"}
        assert rig.exchanges[0].outcomes
        assert rig.exchanges[0].want >= 1

    run_worker(scenario)


def test_the_worker_keeps_its_id_for_as_long_as_it_lives(jobs: Any, run_worker: Any) -> None:
    """A new hello takes the place of its old session."""

    async def scenario(rig: Any) -> None:
        first, second = rig.link.hello(), rig.link.hello()
        assert first.worker == second.worker
        assert len(first.worker) == 32
        assert first.held == []

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_waiting_lease_is_claimed_and_run(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """One that no slot has taken up yet."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        long, behind = jobs.lease(["wait"]), jobs.lease(["b", "c"])
        rig.give(long, behind)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.link.drop()
        claims = rig.link.connect()
        assert sorted(claim.number for claim in claims) == [long.number, behind.number]
        (tmp_path / "wait").touch()
        await rig.until(lambda: len(rig.done) + sum(map(len, rig.released.values())) == 3)
        assert (long.number, 0) in rig.done

    run_worker(scenario)


def test_what_was_sent_and_not_answered_is_sent_again_first(jobs: Any, run_worker: Any) -> None:
    """In its order, and claimed; what was answered is neither."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        answered = jobs.lease([0])
        rig.give(answered)
        await rig.until(lambda: rig.done and not rig.link.unanswered)
        rig.link.answers = False
        second, third = jobs.lease([2]), jobs.lease([3])
        rig.give(second)
        await rig.until(lambda: (second.number, 0) in rig.done)
        rig.give(third)
        await rig.until(lambda: (third.number, 0) in rig.done)
        rig.link.drop()
        rig.link.sent.clear()
        claims = rig.link.connect([])  # finished outcomes are sent though nothing is recognized
        assert [c.number for c in claims] == [second.number, third.number]
        await rig.until(lambda: rig.exchanges)
        assert [o.lease for o in rig.exchanges[0].outcomes] == [second.number, third.number]
        rig.link.answers = True
        rig.link.answer()
        rig.link.drop()
        assert rig.link.connect() == []

    run_worker(scenario)


def test_what_went_back_is_neither_claimed_nor_sent_again(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """The master has it back with the session."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        rig.link.answers = False
        lease = jobs.lease(["wait", "b"])
        rig.give(lease)
        await rig.until(lambda: rig.released)
        rig.link.drop()
        rig.link.sent.clear()
        (claim,) = rig.link.connect()
        assert claim.ranges == [(0, 1)]
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.done)
        assert rig.released == {}

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_what_goes_back_after_the_hello_is_sent(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was claimed and recognized: without a word it would be held for ever."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait", "b"])
        rig.give(lease)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.link.drop()
        recognized = rig.link.hello().held
        monkeypatch.setattr("worker.supervisor.pool.deadlines.LONG_S", 0.0)
        await rig.until(lambda: rig.supervisor._outbox._waiting)
        hello, rig.link.hello = rig.link.hello, lambda: Hello(recognized)
        rig.link.connect(recognized)
        rig.link.hello = hello
        await rig.until(lambda: rig.released)
        assert rig.released == {lease.number: [1]}
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.done)

    run_worker(scenario)


class Hello:
    """A hello that was made before."""

    def __init__(self, lease: list[HeldLease]) -> None:
        self.held = lease


@pytest.mark.usefixtures("patient")
def test_what_the_master_does_not_recognize_ends_without_a_word(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """The running task's slot is ended, what waits is dropped, nothing is charged."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        running, waiting = jobs.lease(["wait", "b"]), jobs.lease(["c"])
        rig.give(running, waiting)
        await rig.until(lambda: started(tmp_path, "wait"))
        pid = started(tmp_path, "wait")
        rig.link.drop()
        rig.link.connect([])
        await rig.until(lambda: rig.pids and pid not in rig.pids)
        after = jobs.lease(["d"])
        rig.give(after)
        await rig.until(lambda: rig.done)
        assert rig.outcomes == [o for o in rig.outcomes if o.lease == after.number]
        assert not started(tmp_path, "b")
        assert not started(tmp_path, "c")

    run_worker(scenario)


def test_a_revoked_task_is_stopped_and_its_slot_s_neighbours_run_elsewhere(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """No outcome of it, no charge; the lease behind it in the pipe is not lost."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        quick = jobs.lease(["a"])
        rig.give(quick)
        await rig.until(lambda: rig.wanted == 3)
        revoked, behind = jobs.lease(["wait", "b"]), jobs.lease(["c"])
        rig.give(revoked, behind)
        await rig.until(lambda: started(tmp_path, "wait"))
        assert len(rig.slots[0].held) == 2
        rig.revoke(revoked)
        await rig.until(lambda: (behind.number, 0) in rig.done or rig.released)
        assert revoked.number not in {o.lease for o in rig.outcomes}
        assert set(rig.done) == {(quick.number, 0), (behind.number, 0)}
        assert not started(tmp_path, "b")

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
def test_a_revoked_task_that_ignores_sigterm_is_killed(jobs: Any, run_worker: Any) -> None:
    """After 2 s."""
    jobs.write(
        """
        import signal
        def work(n):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: pass
        """
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0])
        rig.give(lease)
        await rig.until(lambda: rig.slots[0].page.rows[0].look().since)
        (pid,) = rig.pids
        rig.revoke(lease)
        await rig.until(lambda: rig.pids and pid not in rig.pids)
        assert rig.outcomes == []

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("where", ["def setup(): time.sleep(1000)", "time.sleep(1000)"])
def test_a_slot_that_prepares_for_a_revoked_lease_is_replaced(
    jobs: Any, run_worker: Any, where: str
) -> None:
    """A `setup()` or import that never ends would keep the slot from all other work for ever."""
    jobs.write(f"import time\n{where}\ndef work(n): return n")
    jobs.write("def work(n): return -n", "other")

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([1, 2])
        rig.give(lease)
        await rig.until(lambda: rig.slots[0].page.rows[0].look().position == PREPARING)
        (pid,) = rig.pids
        rig.revoke(lease)
        await rig.until(lambda: rig.pids and pid not in rig.pids)
        other = jobs.lease([3], job="other")
        rig.give(other)
        await rig.until(lambda: rig.done == {(other.number, 0): -3})
        assert not [o for o in rig.outcomes if o.lease == lease.number]

    run_worker(scenario)


def test_a_worker_without_a_master_takes_nothing_and_holds_what_it_has(
    jobs: Any, run_worker: Any, patient: None
) -> None:
    """So its memory stays where it was, however long it takes."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        leases = [jobs.lease([n]) for n in range(20)]
        rig.give(*leases)
        rig.link.drop()
        await rig.until(lambda: not rig.supervisor.pool.running)
        await rig.until(lambda: not rig.supervisor.pool.inventory.queue)
        rig.link.connect()
        await rig.until(lambda: len(rig.done) == 20)
        await rig.until(lambda: rig.supervisor._outbox.empty)

    run_worker(scenario)


def test_a_drain_hands_in_what_was_finished_without_a_master(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """If it comes back in time: the worker waits for that, and for the answer."""
    gated(jobs, tmp_path)
    seen: list[Any] = []

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait"])
        rig.give(lease)
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.link.drop()
        rig.supervisor.drain()
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.supervisor.pool.ended)
        assert not rig.supervisor._done.is_set()
        rig.link.answers = False
        rig.link.connect()
        await rig.until(lambda: rig.done)
        assert not rig.supervisor._done.is_set()
        rig.link.answer()
        await rig.until(lambda: rig.supervisor._done.is_set())
        seen.append(rig.done)

    run_worker(scenario, drain_s=60.0)
    assert seen


def test_a_drain_without_a_master_has_an_end(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Though there is something that could be handed in."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["wait"]))
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.link.drop()
        (tmp_path / "wait").touch()
        await rig.until(lambda: not rig.supervisor.pool.running)
        rig.supervisor.drain()
        await rig.until(lambda: rig.supervisor._done.is_set())
        assert rig.supervisor._outbox.owes

    run_worker(scenario, drain_s=0.5)


def test_a_killed_slot_s_failure_survives_the_session(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """What happens while the master is away counts like everything else."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait"])
        rig.give(lease)
        pid = await rig.until(lambda: started(tmp_path, "wait"))
        rig.link.drop()
        os.kill(pid, signal.SIGKILL)
        await rig.until(lambda: not rig.supervisor.pool.running)
        (claim,) = rig.link.connect()
        assert claim.ranges == [(0, 1)]
        await rig.until(lambda: rig.failed)
        assert not [o for o in rig.outcomes if isinstance(o, Done)]

    run_worker(scenario)

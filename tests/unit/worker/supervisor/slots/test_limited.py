"""Tasks of limited groups: each starts at once, or goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..pool.test_pool import gated, started


def test_a_limited_task_starts_in_a_warm_slot(jobs: Any, run_worker: Any) -> None:
    """The first one goes back, uncharged: import and setup would make its start late."""
    jobs.write(
        """
        calls = []
        def setup(): calls.append(1)
        def work(n): return len(calls)
        """
    )

    async def scenario(rig: Any) -> None:
        first, second = jobs.lease([0], limited=True), jobs.lease([0], limited=True)
        rig.give(first)
        await rig.until(lambda: rig.released)
        assert rig.released == {first.number: [0]}
        assert not rig.outcomes[0].lacks
        await rig.until(lambda: not rig.slots[0].held)
        rig.give(second)
        await rig.until(lambda: rig.done)
        assert rig.done == {(second.number, 0): 1}
        assert not rig.failed

    run_worker(scenario)


def test_a_limited_task_without_a_free_slot_goes_back(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """At once, also when the busy slot would take another lease in its pipe."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a"]))
        await rig.until(lambda: rig.done and rig.slots[0].load.quick)
        running = jobs.lease(["wait"])
        rig.give(running)
        await rig.until(lambda: started(tmp_path, "wait"))
        late = jobs.lease(["b"], limited=True)
        rig.give(late)
        assert [lease.given for lease in rig.slots[0].held] == [running]
        await rig.until(lambda: rig.released)
        assert rig.released == {late.number: [0]}
        (tmp_path / "wait").touch()
        await rig.until(lambda: (running.number, 0) in rig.done)
        assert not started(tmp_path, "b")

    run_worker(scenario)


def test_a_long_setup_does_not_keep_a_limited_task(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """It goes back while the slot goes on to get warm, and the next one starts there."""
    jobs.write(
        f"""
        import pathlib, time
        def setup():
            while not pathlib.Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.005)
        def work(n): return n
        """
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0], limited=True)
        rig.give(lease)
        await rig.until(lambda: rig.released)
        assert rig.supervisor.pool.free == 0
        (tmp_path / "go").touch()
        await rig.until(lambda: rig.exchanges[-1].free == 1)
        again = jobs.lease([5], limited=True)
        rig.give(again)
        await rig.until(lambda: rig.done)
        assert rig.done == {(again.number, 0): 5}
        assert rig.released == {lease.number: [0]}

    run_worker(scenario)


def test_free_is_told_whenever_it_has_grown(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """With how many leases have come, so that the master can count off those on their way."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        assert (rig.exchanges[0].free, rig.exchanges[0].got) == (2, 0)
        rig.give(jobs.lease(["wait1"]), jobs.lease(["wait2"]))
        await rig.until(lambda: started(tmp_path, "wait1") and started(tmp_path, "wait2"))
        assert rig.supervisor.pool.free == 0
        (tmp_path / "wait1").touch()
        await rig.until(lambda: (rig.exchanges[-1].free, rig.exchanges[-1].got) == (1, 2))
        (tmp_path / "wait2").touch()
        await rig.until(lambda: rig.exchanges[-1].free == 2)
        rig.link.drop()
        rig.link.sent.clear()
        rig.link.connect()
        await rig.until(lambda: rig.exchanges)
        assert (rig.exchanges[0].free, rig.exchanges[0].got) == (2, 0)

    run_worker(scenario, slots=2)


def test_free_that_grows_without_an_outcome_is_told(jobs: Any, run_worker: Any) -> None:
    """A slot that dies with nothing in hand leaves its place to another."""

    async def scenario(rig: Any) -> None:
        count = len(rig.exchanges)
        flow = rig.supervisor._flow
        flow._told = flow._told._replace(free=0)  # as if it had been told when all were busy
        rig.supervisor._changed()
        await rig.until(lambda: len(rig.exchanges) > count)
        assert (rig.exchanges[-1].free, rig.exchanges[-1].want) == (1, 0)

    run_worker(scenario)


def test_a_drained_worker_has_nothing_free(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """A limited task that is on its way then goes back."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["wait"]))
        await rig.until(lambda: started(tmp_path, "wait"))
        rig.supervisor.drain()
        await rig.until(lambda: rig.exchanges[-1].draining)
        assert rig.exchanges[-1].free == 0
        late = jobs.lease(["b"], limited=True)
        rig.give(late)
        await rig.until(lambda: rig.released)
        assert rig.released == {late.number: [0]}
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.done)

    run_worker(scenario, slots=2, drain_s=30.0)


def test_a_worker_that_gave_a_limited_task_back_has_no_room_until_something_ends(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """An async slot has places left, but not for another job: it would come again and again."""
    jobs.write(
        f"""
        import asyncio, pathlib
        from queue_manager import Options
        OPTIONS = Options(concurrency=4)
        async def work(n):
            while n and not pathlib.Path({str(tmp_path / "go")!r}).exists():
                await asyncio.sleep(0.005)
        """
    )
    jobs.write("def work(n): return n", name="other")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.done and not rig.slots[0].held)
        rig.give(jobs.lease([1]))
        await rig.until(lambda: rig.slots[0].held and rig.supervisor.pool.free > 0)
        late = jobs.lease([7], limited=True, job="other")
        rig.give(late)
        await rig.until(lambda: rig.released)
        assert rig.released == {late.number: [0]}
        assert rig.outcomes[-1].unstarted
        assert rig.supervisor.pool.free == 0
        (tmp_path / "go").touch()
        await rig.until(lambda: rig.supervisor.pool.free > 0)

    run_worker(scenario)


def test_an_async_slot_starts_as_many_limited_tasks_at_once_as_it_keeps_in_flight(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Each is a lease by itself. The one above that goes back: it would not start at once."""
    jobs.write(
        f"""
        import asyncio, pathlib
        from queue_manager import Options
        OPTIONS = Options(concurrency=40)
        async def work(n):
            while not pathlib.Path({str(tmp_path / "go")!r}).exists() and n:
                await asyncio.sleep(0.005)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.done and rig.supervisor.pool.free == 40)
        leases = [jobs.lease([1], limited=True) for _ in range(41)]
        rig.give(*leases)
        await rig.until(lambda: rig.released)
        assert rig.released == {leases[-1].number: [0]}
        assert rig.supervisor.pool.free == 0
        (tmp_path / "go").touch()
        await rig.until(lambda: len(rig.done) == 41)

    run_worker(scenario)

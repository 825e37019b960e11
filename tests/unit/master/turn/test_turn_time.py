"""The turn and time: delays by a steady clock, and waiting tasks that come from disk in time."""

from __future__ import annotations

from typing import Any

import pytest

from master.changes import Changes
from master.server.workers.workers import SILENT_S
from queue_manager import codec
from queue_manager.wire.messages import Beat, SubmitTasks
from queue_manager.wire.records import Done, Failed, GroupLimit, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, World, block

HOUR = 3_600.0


async def submit(world: World, run: Any, *blocks: NewBlock) -> None:
    world.ask(FakePeer(), SubmitTasks(1, run.id, list(blocks)))
    await world.turns()


async def waits(world: World, want: int = 99) -> tuple[FakePeer, Any]:
    """A worker that takes what there is."""
    peer, worker = world.worker()
    world.report(worker, want=want, free=want)
    await world.turns()
    return peer, worker


def taken(peer: FakePeer) -> list[int]:
    return [lease.first + p for lease in peer.leases for p in range(lease.start, lease.stop)]


# --- the machine's clock is set ---


@pytest.mark.parametrize("jumps", [(HOUR, -HOUR), (-HOUR, HOUR)], ids=["forth", "back"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_no_delay_gets_longer_or_shorter_when_the_clock_is_set(
    play: Any, jumps: tuple[float, float], in_memory: bool
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        if not in_memory:
            run.lane.tracked.most = 1
        peer, _ = await waits(world)
        for delay_s in (40.0, 20.0, 60.0):
            await submit(world, run, block(1, delay_s=delay_s))
        world.loop.clock_ahead = jumps[0]
        await submit(world, run, block(1, delay_s=50.0))
        await world.later(19.0)
        assert taken(peer) == []
        for step_s, found in ((2.0, [2]), (18.0, [2]), (2.0, [2, 1])):
            await world.later(step_s)
            assert taken(peer) == found
        world.loop.clock_ahead = jumps[1]
        for step_s, found in ((8.0, [2, 1]), (2.0, [2, 1, 4]), (10.0, [2, 1, 4, 3])):
            await world.later(step_s)
            assert taken(peer) == found

    play(scene)


def test_no_lease_is_lost_when_the_clock_is_set(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(1))
        peer, worker = await waits(world)
        for jump in (HOUR, -HOUR, HOUR):
            world.loop.clock_ahead = jump
            await world.later(SILENT_S / 2)
            world.workers.message(worker, Beat())
            world.workers.tick(world.loop.time())
            await world.turns()
        assert not peer.closed
        (lease,) = peer.leases
        world.report(worker, Done(lease.number, 0, 1, codec.encode_batch([1]), 1.0))
        await world.turns()
        assert (run.done, world.broker.refused) == (1, 0)

    play(scene)


def test_a_delay_is_no_longer_after_a_restart_with_the_clock_set_back(play: Any) -> None:
    async def before(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(1, delay_s=60.0))
        world.loop.clock_ahead = -HOUR

    async def after(world: World) -> None:
        peer, _ = await waits(world)
        await world.later(59.0)
        assert taken(peer) == []
        await world.later(1.5)
        assert taken(peer) == [1]

    play(before, after)


# --- things that happen by themselves ---


def test_a_delay_and_the_pause_of_a_group_end_without_anybody_saying_anything(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run(options=RunOptions(per_group=GroupLimit(None, 5.0)))
        peer, _ = await waits(world)
        await submit(world, run, block(3, group="a"), block(1, delay_s=3.0))
        assert taken(peer) == [1]
        for step_s, found in ((3.5, [1, 4]), (2.0, [1, 4, 2]), (5.0, [1, 4, 2, 3])):
            await world.later(step_s)
            assert taken(peer) == found

    play(scene)


# --- what waits on disk ---


@pytest.mark.parametrize("group", [None, "a"])
def test_a_small_window_is_refilled_from_disk_until_all_tasks_came(
    play: Any, group: str | None
) -> None:
    async def before(world: World) -> None:
        run = await world.start_run(options=RunOptions(per_group=GroupLimit()))
        blocks = [block(1, n, priority=n % 2, group=group) for n in range(1, 41)]
        await submit(world, run, *blocks)

    async def scene(world: World) -> None:
        run = world.broker.runs[1]
        lane = run.lane_of(group)
        lane.window.most = 4
        run.look(lane, world.loop.time())  # as whoever has a new lane made
        peer, worker = await waits(world, want=1)
        done = 0
        while done < len(peer.leases):
            lease = peer.leases[done]
            done += 1
            result = Done(lease.number, lease.start, lease.stop, codec.encode_batch([0]), 1.0)
            world.report(worker, result, want=1)
            await world.turns()
            assert lane.window.loaded <= 5
        assert taken(peer) == [*range(1, 41, 2), *range(2, 41, 2)]
        assert run.done == 40

    play(before, scene)


def test_leases_of_one_turn_are_given_beyond_the_window(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        run.lane.window.most = 2
        await submit(world, run, *[block(1, n) for n in range(1, 21)])
        peer, _ = await waits(world)
        assert taken(peer) == list(range(1, 21))

    play(scene)


@pytest.mark.usefixtures("apart")
def test_retries_that_wait_on_disk_come_when_they_are_due(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        run.lane.tracked.most = 2
        await submit(world, run, *[block(1, n) for n in range(1, 21)])
        peer, worker = await waits(world)
        for lease in list(peer.leases):
            failed = Failed(lease.number, lease.start, "bad", delay_s=float(21 - lease.first))
            world.report(worker, failed, want=9)
            await world.turns()
        assert len(run.lane.tracked.in_memory) <= 4
        assert run.delayed == 20
        await world.later(25.0)
        assert taken(peer)[20:] == list(range(20, 0, -1))
        assert (run.delayed, run.leased) == (0, 20)

    play(scene)


def test_the_pause_of_a_group_counts_from_the_start_behind_a_slow_commit(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run(options=RunOptions(per_group=GroupLimit(None, 1.0)))
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        commit = world.store.commit

        def slow(changes: Changes) -> None:
            commit(changes)
            world.loop.now += 0.5
            world.store.commit = commit  # type: ignore[method-assign]

        world.store.commit = slow  # type: ignore[method-assign]
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(2, group="g")]))
        await world.turns()
        assert len(peer.leases) == 1
        await world.later(0.9)
        world.turn.wake()  # on behalf of somebody else
        await world.turns()
        assert len(peer.leases) == 1
        await world.later(0.2)
        assert len(peer.leases) == 2

    play(scene)

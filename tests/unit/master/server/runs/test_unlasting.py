"""Runs that go with their client: they are removed a minute after it has gone, ended or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from master.server.runs.run_control import RunControl
from master.server.runs.unlasting import AWAY_S, Unlasting
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import Collected, OpenRun, StartRun, TasksEnded
from queue_manager.wire.records import NOBODY_COLLECTS, Done, Failed, RunOptions
from tests.unit.master.conftest import FakePeer, World, block

from .test_run_control import FakeRunners, FakeVersions

Play = Callable[..., None]
GOES = RunOptions(attempts=1, feeder="client", lasting=False)


def unlasting(world: World) -> Unlasting:
    """The room that removes such runs, in a master that has just started."""
    runners: Any = FakeRunners()
    versions: Any = FakeVersions()
    made = Unlasting(world.turn, RunControl(world.turn, world.workers, runners, versions))
    world.turn.followers.append(made)
    made.restarted()
    return made


async def a_minute_later(world: World, room: Unlasting) -> None:
    await world.later(AWAY_S)
    room.tick(world.loop.now)
    await world.turns(9)


async def one_task(world: World, ends: str) -> Any:
    """A run whose one task has ended so."""
    run, peer = await world.start_run(key="a map", options=GOES), FakePeer("client")
    world.ask(peer, OpenRun(1, run.id))
    await world.turns()
    world.broker.submit(run, block(1), 0.0, 0.0, True)
    world.ask(peer, TasksEnded(2, run.id))
    await world.turns()
    workers_peer, worker = world.worker()
    world.report(worker, want=1)
    await world.turns()
    (lease,) = workers_peer.leases
    done, failed = Done(lease.number, 0, 1, lease.body, 0.1), Failed(lease.number, 0, "bad")
    world.report(worker, done if ends == "done" else failed)
    await world.turns()
    assert run.state == ends
    return run


@pytest.mark.parametrize("ends", ["done", "failed"])
def test_a_run_whose_tasks_have_all_ended_is_removed_after_a_restart(play: Play, ends: str) -> None:
    async def before(world: World) -> None:
        run = await one_task(world, ends)
        world.ask(FakePeer(), Collected(run.id, NOBODY_COLLECTS))  # that does not hide it
        await world.later(1.0)

    async def after(world: World) -> None:
        assert [loaded.record.id for loaded in world.store.load()] == [0, 1]
        room = unlasting(world)
        room.tick(world.loop.now)
        await world.turns()
        assert 1 in world.broker.runs, "its client may come back"
        await a_minute_later(world, room)
        assert (world.broker.recall(1), world.store.load_run(1)) == (None, None)
        assert not room._away_since

    play(before, after)


def test_a_run_stays_while_its_client_is_there_and_a_minute_longer(play: Play) -> None:
    async def scene(world: World) -> None:
        room = unlasting(world)
        run, peer = await world.start_run(options=GOES), FakePeer("client")
        room.started(run)
        room.opened(run, peer.peer)
        await a_minute_later(world, room)
        assert run.active
        room.closed(peer.peer)
        room.tick(world.loop.now)
        await world.turns()
        assert run.active
        await a_minute_later(world, room)
        assert world.store.load_run(run.id) is None
        assert (room._away_since, room._peers, room._runs) == ({}, {}, {})

    play(scene)


def test_a_run_that_is_asked_for_again_as_a_lasting_one_is_refused(play: Play) -> None:
    async def scene(world: World) -> None:
        await world.start_run(key="a map", options=GOES)
        with pytest.raises(RefusedError, match="run 1, which goes with its program"):
            await world.start_run(key="a map", options=RunOptions(feeder="client"))

    play(scene)


@pytest.mark.parametrize("feeder", ["runner", "results"])
def test_a_run_with_a_runner_goes_with_no_client(play: Play, feeder: Any) -> None:
    async def scene(world: World) -> None:
        ask = StartRun(0, "job", [], None, feeder, lasting=False, after=[1])
        with pytest.raises(RefusedError, match="does not go with a client"):
            await world.runs.find(ask)

    play(scene)

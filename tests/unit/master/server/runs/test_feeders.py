"""Who may give tasks to a run: its runner, or the session of a client that opened it last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queue_manager.errors import RefusedError
from queue_manager.wire.limits import SUBMIT_DELAYED
from queue_manager.wire.messages import (
    Accepted,
    Collected,
    OpenRun,
    Refused,
    RunOpened,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import NOBODY_COLLECTS, RunOptions
from tests.unit.master.conftest import FakePeer, World, block
from tests.unit.master.server.runs.clients import CLIENT, a_client, answer

Play = Callable[..., None]
CLIENTS = RunOptions(feeder="clients")


def test_a_client_feeds_the_run_that_it_opened(play: Play) -> None:
    async def scene(world: World) -> None:
        run, peer = await world.start_run(options=CLIENT), a_client()
        world.ask(peer, SubmitTasks(1, run.id, [block(3)]))
        await world.turns()
        assert answer(peer) == Refused(1, f"run {run.id}: open it first")
        assert not world.feeders.connected(run)
        world.ask(peer, OpenRun(2, run.id))
        world.ask(peer, SubmitTasks(3, run.id, [block(3)]))
        await world.turns()
        assert answer(peer) == Accepted(3, 3)
        assert world.feeders.connected(run)
        world.ask(peer, TasksEnded(4, run.id))
        await world.turns()
        assert run.exhausted

    play(scene)


def test_any_client_feeds_a_run_of_clients_and_is_told_the_numbers_of_its_tasks(
    play: Play,
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run(options=CLIENTS)
        one, other = a_client(), a_client()
        world.ask(one, SubmitTasks(1, run.id, [block(2), block(1, priority=3)]))
        world.ask(other, SubmitTasks(1, run.id, [block(1, keys=["a"])]))
        world.ask(one, SubmitTasks(2, run.id, [block(1, keys=["a"])]))
        await world.turns()
        assert one.sent == [Accepted(1, 3, 1), Accepted(2, 0)]
        assert other.sent == [Accepted(1, 1, 4)]
        assert not world.feeders.connected(run)
        world.ask(other, TasksEnded(2, run.id))
        await world.turns()
        assert run.exhausted

    play(scene)


def test_a_client_never_waits_for_the_workers_where_there_are_others(play: Play) -> None:
    async def scene(world: World) -> None:
        run, peer = await world.start_run(options=CLIENTS), a_client()
        world.submits._sizes[run.id] = 1, 2**40
        world.ask(peer, SubmitTasks(1, run.id, [block(1)]))
        await world.turns()
        assert answer(peer) == Accepted(1, 1, 1)

    play(scene)


def test_nobody_collects_what_any_client_feeds(play: Play) -> None:
    async def scene(world: World) -> None:
        run, peer = await world.start_run(options=CLIENTS), a_client()
        world.ask(peer, TasksEnded(1, run.id))
        await world.turns()
        assert (run.state, run.collect_cursor.closed) == ("done", True)

    play(scene)


def test_a_submit_of_more_delayed_tasks_than_a_turn_can_track_is_refused(play: Play) -> None:
    async def scene(world: World) -> None:
        run, peer = await world.start_run(options=CLIENT), a_client()
        full = [block(1_024, delay_s=9.0)] * (SUBMIT_DELAYED // 1_024)
        world.ask(peer, OpenRun(1, run.id))
        with pytest.raises(RefusedError, match="a submit has at most 16,384 delayed tasks"):
            world.ask(peer, SubmitTasks(2, run.id, [*full, block(1, delay_s=9.0)]))
        world.ask(peer, SubmitTasks(3, run.id, [*full, block(1_024)]))
        await world.turns()
        assert answer(peer) == Accepted(3, SUBMIT_DELAYED + 1_024)
        assert run.delayed == SUBMIT_DELAYED

    play(scene)


def test_a_client_that_comes_back_shuts_out_its_old_session(play: Play) -> None:
    async def scene(world: World) -> None:
        run, old, new = await world.start_run(options=CLIENT), a_client(), a_client()
        world.ask(old, OpenRun(1, run.id))
        world.ask(old, SubmitTasks(2, run.id, [block(3)]))
        await world.turns()
        world.ask(old, SubmitTasks(3, run.id, [block(2)]))
        world.ask(new, OpenRun(1, run.id))
        world.ask(old, SubmitTasks(4, run.id, [block(2)]))
        await world.turns()
        (opened,) = new.of(RunOpened)
        refused = [message.seq for message in old.of(Refused)]
        assert (opened.accepted, run.tasks, refused) == (3, 3, [3, 4])
        assert old.of(Refused)[0].error == (
            f"run {run.id} is fed by another call of this program now (client host/1), and no more"
            " by this one: start again when that one has given its inputs, or take another key"
        )
        world.feeders.closed(old.peer)
        assert world.feeders.connected(run)
        world.feeders.closed(new.peer)
        assert not world.feeders.connected(run)

    play(scene)


def test_whoever_feeds_a_run_no_more_is_told_which_program_does(play: Play) -> None:
    async def scene(world: World) -> None:
        run, old, new = await world.start_run(options=CLIENT), a_client(1), a_client(2)
        world.ask(old, OpenRun(1, run.id))
        world.ask(old, Collected(run.id, NOBODY_COLLECTS))  # its map was closed early
        world.ask(new, OpenRun(1, run.id))
        world.ask(old, SubmitTasks(2, run.id, [block(3)]))
        await world.turns()
        (refused,) = old.of(Refused)
        assert "is fed by another program now (client host/2)" in refused.error

    play(scene)


def test_the_end_of_the_tasks_may_be_said_again_by_a_client_that_came_back(play: Play) -> None:
    async def scene(world: World) -> None:
        run, old, new = await world.start_run(options=CLIENT), a_client(), a_client()
        world.ask(old, OpenRun(1, run.id))
        world.ask(old, TasksEnded(2, run.id))
        await world.turns()
        world.ask(new, OpenRun(1, run.id))
        world.ask(new, TasksEnded(2, run.id))
        await world.turns()
        assert (new.of(RunOpened)[0].ended, answer(new)) == (True, Accepted(2, 0))

    play(scene)


def test_a_client_gives_no_tasks_to_a_run_that_has_a_runner(play: Play) -> None:
    """The runner skips by the count of its tasks, which would be wrong then."""

    async def scene(world: World) -> None:
        run, peer = await world.start_run(), a_client()
        world.ask(peer, OpenRun(1, run.id))
        await world.turns()
        for ask in (SubmitTasks(2, run.id, [block(3)]), TasksEnded(3, run.id)):
            if isinstance(ask, SubmitTasks):
                world.ask(peer, ask)
            else:
                world.ask(peer, ask)
            await world.turns()
            expected = f"run {run.id} has a runner, which gives its tasks"
            assert answer(peer) == Refused(ask.seq, expected)
        assert (run.tasks, run.exhausted) == (0, False)

    play(scene)


async def ended(world: World, peer: FakePeer) -> Any:
    """A run that this client has opened and fed, and whose tasks have ended."""
    run = await world.start_run(options=CLIENT)
    world.ask(peer, OpenRun(1, run.id))
    await world.turns()
    world.ask(peer, TasksEnded(2, run.id))
    await world.turns()
    assert run.state == "done"
    return run


@pytest.mark.parametrize("how", ["read", "closed", "forgotten"])
def test_a_run_that_has_ended_is_its_clients_until_that_has_read_it_or_is_gone(
    play: Play, how: str
) -> None:
    async def scene(world: World) -> None:
        peer = a_client()
        run = await ended(world, peer)
        assert world.feeders.connected(run)
        if how == "read":
            world.ask(a_client(), Collected(run.id, NOBODY_COLLECTS))  # another client's word
            assert world.feeders.connected(run)
            world.ask(peer, Collected(run.id, NOBODY_COLLECTS))
        elif how == "closed":
            world.feeders.closed(peer.peer)
        else:
            world.broker.forget(run)
            world.turn.wake()
            await world.turns()
        assert not world.feeders.connected(run)
        feeders = world.feeders
        assert (feeders._runs, feeders._peers, feeders._read) == ({}, {}, set())

    play(scene)


def test_a_client_that_closes_a_map_early_has_its_run_no_longer_than_the_run_lives(
    play: Play,
) -> None:
    async def scene(world: World) -> None:
        run, peer = await world.start_run(options=CLIENT), a_client()
        world.ask(peer, OpenRun(1, run.id))
        world.ask(peer, Collected(run.id, NOBODY_COLLECTS))
        await world.turns()
        assert not world.feeders.connected(run)
        world.ask(peer, SubmitTasks(2, run.id, [block(1)]))  # it maps over the same run again
        await world.turns()
        assert answer(peer) == Accepted(2, 1)
        world.broker.cancel(run, 1.0)
        world.turn.wake()
        await world.turns()
        feeders = world.feeders
        assert (feeders._runs, feeders._peers, feeders._read) == ({}, {}, set())

    play(scene)


def test_nobody_collects_what_one_client_has_fed_however_that_client_ends(play: Play) -> None:
    """So a master that starts does not take it up, and it is pruned as other runs are."""

    async def scene(world: World) -> None:
        run = await ended(world, a_client())
        assert run.collect_cursor.closed
        assert [loaded.record.id for loaded in world.store.load()] == [0]

    play(scene)

"""Who watches a run is told what changed: at once, then bounded in pace and in what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from master.broker.runs.run import Run
from master.changes import Changes, CollectCursor
from master.server import subscriptions
from master.server.subscriptions import TELL_S, UNREAD_BYTES, Subscriptions
from master.turn.answer import PeerReply
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import Refused, RunShown, SubmitTasks, TasksEnded, WatchRun
from queue_manager.wire.records import RunStatus
from tests.unit.master.conftest import FakePeer, World, block

Play = Callable[..., None]


def described(run: Run) -> RunStatus:
    counts = (run.tasks, run.waiting, run.leased, run.delayed, run.done, run.dead)
    return RunStatus(run.id, run.job, [], run.state, *counts, run.exhausted, 0, 0.0, None)


def made(world: World) -> Subscriptions:
    found = Subscriptions(world.turn, described)
    world.turn.followers.append(found)
    return found


def told(peer: FakePeer) -> list[tuple[int, str, int]]:
    """(seq, state, tasks) of each answer."""
    return [(one.seq, one.run.state, one.run.tasks) for one in peer.of(RunShown)]


async def submit(world: World, run: Run, seq: int) -> None:
    world.ask(FakePeer(), SubmitTasks(seq, run.id, [block(1, first=seq)]))
    await world.turns()


def test_a_watcher_is_told_at_once_at_changes_and_at_the_end(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        assert told(peer) == [(7, "active", 0)]
        await world.later(10 * TELL_S)
        assert len(told(peer)) == 1, "nothing has changed"
        await submit(world, run, 1)
        await world.later(TELL_S)
        assert told(peer)[1:] == [(7, "active", 1)]
        other = await world.start_run()
        world.ask(FakePeer(), TasksEnded(1, other.id))
        await world.later(TELL_S)
        assert len(told(peer)) == 2, "that is another run"
        world.broker.cancel(run, 1.0)
        world.turn.wake()
        await world.turns()
        assert told(peer)[2:] == [(7, "cancelled", 1)]
        assert not watching._watches
        assert not watching._peers

    play(scene)


def test_many_changes_are_told_together(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        for seq in range(1, 50):
            await submit(world, run, seq)
        await world.later(TELL_S)
        assert told(peer)[-1] == (7, "active", 49)
        assert len(told(peer)) <= 3

    play(scene)


def test_a_watcher_that_does_not_read_gets_the_newest_later(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        peer.unread_bytes = UNREAD_BYTES + 1
        for seq in range(1, 6):
            await submit(world, run, seq)
            await world.later(2 * TELL_S)
        assert len(told(peer)) == 1
        peer.unread_bytes = 0
        await world.later(2 * TELL_S)
        assert told(peer)[1:] == [(7, "active", 5)]

    play(scene)


def test_the_end_waits_too_for_a_watcher_that_does_not_read(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer(unread_bytes=10**6)
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.later(2 * TELL_S)
        assert told(peer) == []
        peer.unread_bytes = 0
        await world.later(2 * TELL_S)
        assert told(peer) == [(7, "done", 0)]
        assert not watching._watches

    play(scene)


def test_a_run_that_has_ended_is_told_once(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        assert told(peer) == [(7, "done", 0)]
        assert not watching._watches

    play(scene)


def test_a_watch_is_replaced_and_ended(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        for seq in (7, 8):
            watching.watch(PeerReply(peer.peer, seq), WatchRun(seq, run.id))
        await submit(world, run, 1)
        await world.later(TELL_S)
        assert [seq for seq, *_ in told(peer)] == [7, 8, 8]
        watching.watch(PeerReply(peer.peer, 9), WatchRun(9, run.id, on=False))
        assert told(peer)[-1] == (9, "active", 1)
        await submit(world, run, 2)
        await world.later(2 * TELL_S)
        assert len(told(peer)) == 4
        assert not watching._peers

    play(scene)


def test_who_watches_a_run_that_is_forgotten_is_told_so(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        changes: Any = Changes()
        changes.forgotten.add(run.id)
        watching.after_commit(changes, 0.0)
        assert peer.of(Refused) == [Refused(7, f"run {run.id} was forgotten")]
        assert not watching._watches

    play(scene)


def test_nothing_stays_of_a_session_that_has_ended(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, peer = made(world), await world.start_run(), FakePeer()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        watching.closed(peer.peer)
        assert (watching._watches, watching._peers) == ({}, {})

    play(scene)


def test_a_session_watches_so_many_runs(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "WATCHES", 2)

    async def scene(world: World) -> None:
        watching, peer = made(world), FakePeer()
        runs = [await world.start_run() for _ in range(3)]
        for run in (runs[0], runs[1], runs[1]):
            watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        with pytest.raises(RefusedError, match="at most 2 runs"):
            watching.watch(PeerReply(peer.peer, 7), WatchRun(7, runs[2].id))

    play(scene)


def test_a_run_that_was_given_up_is_told_though_no_count_has_changed(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run, statuses = made(world), await world.start_run(), list[RunStatus]()
        watching.follow(run, statuses.append)
        watching.changed(run)
        await world.later(TELL_S)
        assert [status.state for status in statuses] == ["active", "active"]

    play(scene)


def test_nobody_who_watches_costs_no_timer(play: Play) -> None:
    async def scene(world: World) -> None:
        watching, run = made(world), await world.start_run()
        await submit(world, run, 1)
        assert watching._timer is None
        await asyncio.sleep(0)

    play(scene)


def test_a_watcher_is_told_when_finish_has_returned(play: Play) -> None:
    """No count changes then, only how far collecting has come."""

    def finishing(run: Run) -> RunStatus:
        state = run.state if run.active or run.collect_cursor.closed else "finishing"
        return msgspec.structs.replace(described(run), state=state)

    async def scene(world: World) -> None:
        watching = Subscriptions(world.turn, finishing)
        world.turn.followers.append(watching)
        run, peer = await world.start_run(), FakePeer()
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        watching.watch(PeerReply(peer.peer, 7), WatchRun(7, run.id))
        assert told(peer) == [(7, "finishing", 0)]
        run.put_cursor(CollectCursor(closed=True))
        world.turn.wake()
        await world.later(TELL_S)
        assert told(peer)[1:] == [(7, "done", 0)]

    play(scene)

"""A commit on another machine takes a while: who asks meanwhile is told what is on disk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from master.observe.status import StatusBuilder
from master.server.subscriptions import Subscriptions
from master.turn.answer import PeerReply
from queue_manager.wire.messages import (
    AskRun,
    AskRuns,
    RunShown,
    SubmitTasks,
    TasksEnded,
    WatchRun,
)
from tests.unit.master.conftest import FakePeer, JumpingLoop, World, block

from .test_turn import done
from .waiting_store import WaitingStore, commit, new_run, playing


def test_nobody_is_told_that_a_run_has_ended_before_that_is_on_disk(loop: JumpingLoop) -> None:
    """Who is told asks for the results, and gets those on disk."""

    async def scene(world: World, store: WaitingStore) -> None:
        sources: Any = SimpleNamespace(runner=lambda run: None, fed=lambda run: False)
        status = StatusBuilder(world.turn, sources)
        watching, peer = Subscriptions(world.turn, status.watched), FakePeer()
        world.turn.followers.append(watching)
        run = await new_run(world, store)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        world.ask(FakePeer(), TasksEnded(2, run.id))
        holder, worker = world.worker()
        world.report(worker, want=1, seq=1)
        await commit(world, store)
        watching.watch(PeerReply(peer.peer, 3), WatchRun(3, run.id))
        world.report(worker, done(*holder.leases), seq=2)
        await world.later(1.0)
        once = FakePeer()
        watching.watch(PeerReply(once.peer, 4), WatchRun(4, run.id, on=False))
        asked, listed = status.run(AskRun(5, run.id)), status.runs(AskRuns(6, state="active"))
        seen = [
            *(one.run for one in [*peer.of(RunShown), *once.of(RunShown)]),
            asked.run,
            listed.runs[-1],
        ]
        assert len(seen) >= 4
        assert {(one.state, one.done, one.leased) for one in seen} == {("active", 0, 1)}
        await commit(world, store)
        last = peer.of(RunShown)[-1]
        assert (last.seq, last.run.state, last.run.done, last.run.leased) == (3, "done", 1, 0)

    playing(loop)(scene)

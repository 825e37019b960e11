"""Retry, cancel and forget: who is told, who is stopped, and what waits no longer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from master.server.runs.run_control import RunControl
from master.server.runs.submits import AHEAD_TASKS
from master.turn.run_lookup import find_run
from master.turn.steps import Step
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import (
    Accepted,
    CancelRun,
    Collect,
    ForgetRun,
    Page,
    Refused,
    RetryRun,
    Revoked,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import Done, Failed, RunOptions
from tests.unit.master.conftest import FakePeer, World, block, reply_to


class FakeRunners:
    """Remembers which runners were started and dropped."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.dropped: list[int] = []
        self.living: set[int] = set()

    def start(self, run: Any) -> None:
        self.started.append(run.id)

    def drop(self, run: Any) -> None:
        self.dropped.append(run.id)

    def lives(self, run: Any) -> bool:
        return run.id in self.living

    async def end(self, run: Any) -> None:
        await asyncio.sleep(1.0)
        self.living.discard(run.id)


class FakeVersions:
    """Looks at no file; wrong is what it would find."""

    wrong = ""

    async def recheck(self, run: Any) -> None:
        if self.wrong:
            raise RefusedError(self.wrong)


class Desk:
    """Run control in a world, and one client that asks for them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runners: Any = FakeRunners()
        self.versions: Any = FakeVersions()
        self.control = RunControl(world.turn, world.workers, self.runners, self.versions)
        self.peer = FakePeer("client")

    async def ask(self, message: Any) -> Any:
        """The answer to a request."""
        asked = {RetryRun: "retry", CancelRun: "cancel", ForgetRun: "forget"}[type(message)]
        getattr(self.control, asked)(reply_to(self.peer, message), message)
        await self.world.turns(4)
        return self.peer.sent[-1] if self.peer.sent else None


async def filled(world: World, tasks: int, *, ended: bool = True, **options: Any) -> Any:
    """A run with so many tasks; ended: its tasks() has no more to give."""
    run = await world.start_run(options=RunOptions(attempts=1, **options))
    world.ask(FakePeer(), SubmitTasks(1, run.id, [block(tasks)]))
    if ended:
        world.ask(FakePeer(), TasksEnded(2, run.id))
    await world.turns()
    return run


async def lease(world: World) -> tuple[FakePeer, Any, Any]:
    """A worker that has got one lease."""
    peer, worker = world.worker()
    await world.turns()
    world.report(worker, want=1)
    await world.turns()
    return peer, worker, peer.leases[-1]


def test_a_retry_has_dead_letters_and_runner_begin_again(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        desk = Desk(world)
        ended: list[int] = []
        world.runs.on_ended.append(lambda run: ended.append(run.id))
        run = await filled(world, 1)
        _, worker, given = await lease(world)
        world.report(worker, Failed(given.number, 0, "bad"), want=1)
        await world.turns()
        assert (run.state, run.dead) == ("failed", 1)
        assert await desk.ask(RetryRun(7, run.id)) == Accepted(7, 1)
        assert (run.state, run.dead, desk.runners.started) == ("active", 0, [run.id])
        again = worker.peer.leases[-1]
        assert again.number != given.number
        result = codec.encode_batch([1])
        world.report(worker, Done(again.number, again.start, again.stop, result, 0.1))
        await world.turns()
        assert (run.state, ended) == ("done", [run.id, run.id]), "its end is told of once more"

    play(scene)
    assert "run 1 (job): 1 dead letter is tried again, asked by client" in caplog.messages


def test_a_retry_without_dead_letters_starts_a_runner_only_of_a_run_that_goes_on(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        active = await filled(world, 1, ended=False)
        assert await desk.ask(RetryRun(7, active.id)) == Accepted(7, 0)
        assert desk.runners.started == [active.id]
        over = await world.start_run()
        world.ask(FakePeer(), TasksEnded(2, over.id))
        await world.turns()
        assert await desk.ask(RetryRun(8, over.id)) == Accepted(8, 0)
        assert desk.runners.started == [active.id]

    play(scene)


def test_a_retry_that_only_calls_finish_again_is_logged_with_who_asked(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 1, finish=True)
        _, worker, given = await lease(world)
        world.report(worker, Done(given.number, 0, 1, codec.encode_batch([1]), 0.1))
        await world.turns()
        assert run.state == "done"
        desk.runners.living.add(run.id)
        assert await desk.ask(RetryRun(7, run.id)) == Accepted(7, 0)
        assert "tried again" not in caplog.text, "its finish() goes on"
        desk.runners.living.clear()
        ask = RetryRun(8, run.id, reason="the disk has room", by="ann")
        assert await desk.ask(ask) == Accepted(8, 0)

    play(scene)
    line = "run 1 (job): its finish() is tried again, asked by ann: the disk has room"
    assert caplog.messages.count(line) == 1


def test_a_retry_with_a_job_that_is_no_good_changes_nothing(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 1)
        desk.versions.wrong = "jobs/job.py line 1: SyntaxError"
        assert await desk.ask(RetryRun(7, run.id)) == Refused(7, desk.versions.wrong)
        assert desk.runners.started == []
        assert await desk.ask(RetryRun(8, 0)) == Accepted(8, 0), "others may run the queue's tasks"

    play(scene)


def test_a_cancelled_run_takes_its_leases_back(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 5)
        peer, worker, given = await lease(world)
        assert await desk.ask(CancelRun(7, run.id)) == Accepted(7, 5)
        (revoked,) = [m for m in peer.sent if isinstance(m, Revoked)]
        assert (revoked.leases, revoked.why) == ([given.number], f"run {run.id} was cancelled")
        assert (run.state, run.cancelled, run.waiting, run.leased) == ("cancelled", 5, 0, 0)
        result = codec.encode_batch([1])
        world.report(worker, Done(given.number, given.start, given.stop, result, 0.1))
        await world.turns()
        assert (run.done, world.broker.refused) == (0, 1)

    async def after(world: World) -> None:
        assert (world.broker.runs[1].state, world.broker.runs[1].cancelled) == ("cancelled", 5)

    play(scene, after)


def test_whoever_waits_for_a_run_that_is_cancelled_is_answered(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.server.runs.submits.AHEAD_TASKS", 3)
    assert AHEAD_TASKS > 3

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 3, ended=False)
        submits, collects = FakePeer(), FakePeer()
        world.ask(submits, SubmitTasks(3, run.id, [block(3, first=4)]))
        world.ask(collects, Collect(4, run.id, 0))
        await world.turns()
        assert (submits.sent, collects.sent) == ([], [])
        await desk.ask(CancelRun(7, run.id))
        assert submits.sent == [Accepted(3, 3)]
        assert collects.sent == [Page(4, [], {}, 0, True, run.ended_at)]
        world.ask(submits, SubmitTasks(5, run.id, [block(1)]))
        await world.turns()
        assert isinstance(submits.sent[-1], Refused)

    play(scene)


def test_a_forgotten_run_is_gone_also_for_whoever_waits_for_it(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 2)
        await desk.ask(CancelRun(7, run.id))
        collects = FakePeer()
        world.ask(collects, Collect(4, run.id, 0))
        assert await desk.ask(ForgetRun(8, run.id)) == Accepted(8, 2)
        assert desk.runners.dropped == [run.id]
        assert collects.sent == [Refused(4, f"run {run.id} was forgotten")]
        assert run.id not in world.broker.runs
        message = ForgetRun(9, run.id)
        with pytest.raises(RefusedError, match=f"no run {run.id}"):
            desk.control.forget(reply_to(desk.peer, message), message)
        fresh = await world.start_run()
        assert fresh.id > run.id

    async def after(world: World) -> None:
        assert 1 not in world.broker.runs

    play(scene, after)


def test_a_run_is_forgotten_once_its_runner_has_ended(play: Any) -> None:
    """It may be in the midst of `finish()`."""

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 2)
        await desk.ask(CancelRun(7, run.id))
        desk.runners.living.add(run.id)
        message = ForgetRun(8, run.id)
        desk.control.forget(reply_to(desk.peer, message), message)
        await world.turns()
        assert run.id in world.broker.runs
        await world.later(1.0)
        assert desk.peer.sent[-1] == Accepted(8, 2)
        assert run.id not in world.broker.runs

    play(scene)


def test_a_pruned_run_can_be_forgotten_and_its_key_is_free_again(play: Any) -> None:
    """Nothing else is left to be done with it, and nothing else would ever free the key."""

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 2)
        await desk.ask(CancelRun(7, run.id))
        run.key = "nightly"
        world.turn.post(Step(lambda now, wall: world.broker.prune(run)))
        await world.turns()
        assert run.state == "pruned"
        with pytest.raises(RefusedError, match=f"qm forget {run.id}` frees its key"):
            find_run(world.turn, run.id)
        assert await desk.ask(ForgetRun(8, run.id)) == Accepted(8, 2)
        assert run.id not in world.broker.runs

    play(scene)


@pytest.mark.parametrize("message", [ForgetRun(7, 1), CancelRun(7, 0), ForgetRun(7, 0)])
def test_what_may_not_end_is_refused(play: Any, message: Any) -> None:
    async def scene(world: World) -> None:
        await filled(world, 1)
        answer = await Desk(world).ask(message)
        assert isinstance(answer, Refused)
        assert "\n" not in answer.error
        assert all(run.active for run in world.broker.runs.values())

    play(scene)


def test_a_cancel_that_the_disk_does_not_take_changes_nothing(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 2)
        peer, _, _ = await lease(world)
        world.store.full = True
        assert isinstance(await desk.ask(CancelRun(7, run.id)), Refused)
        assert (run.state, run.cancelled, run.leased) == ("active", 0, 1)
        assert not [m for m in peer.sent if isinstance(m, Revoked)]
        world.store.full = False
        assert await desk.ask(CancelRun(8, run.id)) == Accepted(8, 2)

    play(scene)

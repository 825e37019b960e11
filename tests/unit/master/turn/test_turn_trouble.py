"""The turn with a store that takes nothing for a while: what waits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from master.changes import Changes
from master.turn.answer import Awaited
from master.turn.stage import STEPS
from master.turn.steps import RETRY_S, Step
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.messages import (
    Accepted,
    Finished,
    Leases,
    Refused,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import Done, Failed, GroupLimit, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, OnRefusal, World, block

from .test_turn import done


def test_an_outcome_that_the_store_cannot_take_is_recorded_when_it_can(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(3)]))
        world.report(worker, want=2)
        await world.turns()
        one, two = peer.leases
        world.store.full = True
        world.report(worker, done(one), Failed(two.number, two.start, "bad"), want=1, seq=2)
        await world.later(5 * RETRY_S)
        assert (run.done, run.leased, run.delayed, run.waiting) == (0, 2, 0, 1)
        assert "disk is full" in world.turn.trouble
        assert len(peer.of(Leases)) == 1
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert not world.turn.trouble
        assert (run.done, run.leased) == (1, 1)
        assert (peer.of(Leases)[1].seq, world.broker.refused) == (2, 0)
        assert len(peer.leases) == 3

    play(scene)


def test_leases_are_asked_for_once_however_often_the_store_refuses(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(20)]))
        world.report(worker, want=1)
        await world.turns()
        world.store.full = True
        world.report(worker, done(peer.leases[0]), want=1, seq=2)
        await world.later(10 * RETRY_S)
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert len(peer.leases) == 2
        assert worker.session.wanted == 0

    play(scene)


def test_steps_that_wait_keep_their_order_with_those_that_come_later(play: Any) -> None:
    async def scene(world: World) -> None:
        order: list[int] = []

        def step(number: int) -> Step:
            def stage(now: float, wall: float) -> Any:
                world.broker.deliver(codec.encode_batch([number]))
                return lambda: order.append(number)

            return Step(stage, retry_on_store_error=True)

        world.store.full = True
        world.turn.post(step(1))
        await world.turns()
        world.store.full = False
        world.turn.post(step(2))
        await world.turns()
        assert order == [1, 2]

    play(scene)


def test_a_step_that_does_not_wait_is_refused_with_the_stores_words(play: Any) -> None:
    async def scene(world: World) -> None:
        errors: list[str] = []

        def stage(now: float, wall: float) -> None:
            world.broker.deliver(codec.encode_batch([1]))

        world.store.full = True
        world.turn.post(Step(stage, OnRefusal(errors.append)))
        await world.turns()
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert errors == ["can't write: database or disk is full"]
        assert world.delivery.available == 0

    play(scene)


def test_a_delay_ends_in_time_though_the_store_refused_meanwhile(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1, delay_s=1.0)]))
        await world.turns()
        world.store.full = True
        world.broker.deliver(codec.encode_batch([1]))
        world.turn.wake()
        await world.later(0.9)
        world.store.full = False
        await world.later(1.0)
        assert (run.delayed, run.waiting) == (0, 1)

    play(scene)


def test_nothing_is_lost_or_doubled_when_every_second_commit_fails(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        commit, fate = world.store.commit, iter(range(10**6))

        def flaky(changes: Changes) -> None:
            world.store.full = next(fate) % 2 == 0
            commit(changes)

        monkeypatch.setattr(world.store, "commit", flaky)
        runner = FakePeer()
        for seq in range(1, 11):
            world.ask(runner, SubmitTasks(seq, run.id, [block(10)]))
            await world.turns()
        await world.later(30 * RETRY_S)
        assert sorted(m.seq for m in runner.sent) == list(range(1, 11))  # type: ignore[union-attr]
        assert run.tasks == 100
        peer, worker = world.worker()
        world.report(worker, want=1)
        reported = 0
        while run.done < 100:
            await world.later(2 * RETRY_S)
            for lease in peer.leases[reported:]:
                world.report(worker, done(lease, lease.stop - lease.start), want=1)
            reported = len(peer.leases)
        assert world.broker.refused == 0
        found, _ = world.store.read_outcomes(run.id, 0, 10**9)
        ended = sorted(o.first + p for o in found for p in range(o.start, o.stop))
        assert ended == list(range(1, 101))

    play(scene)


# --- a store that can't be read ---


@pytest.mark.parametrize("group", [None, "a"])
def test_tasks_behind_a_read_that_failed_come_when_it_can(
    play: Any, monkeypatch: pytest.MonkeyPatch, group: str | None
) -> None:
    async def before(world: World) -> None:
        run = await world.start_run(options=RunOptions(per_group=GroupLimit(9)))
        blocks = [block(2, group=group), block(1, group=group and "b")]
        world.ask(FakePeer(), SubmitTasks(1, run.id, blocks))
        await world.turns()

    async def scene(world: World) -> None:
        read = world.store.read_waiting

        def broken(*args: Any) -> Any:
            raise StoreError("can't read: disk on fire")

        monkeypatch.setattr(world.store, "read_waiting", broken)
        peer, worker = world.worker()
        world.report(worker, want=9)
        await world.later(5 * RETRY_S)
        assert not peer.leases
        monkeypatch.setattr(world.store, "read_waiting", read)
        await world.later(2 * RETRY_S)
        assert sum(lease.stop - lease.start for lease in peer.leases) == 3

    play(before, scene)


def test_a_read_that_fails_is_told_once_and_does_not_stop_the_answers(
    play: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        run.lane.window.more_on_disk = True

        def broken(*args: Any) -> Any:
            raise StoreError("can't read: disk on fire")

        monkeypatch.setattr(world.store, "read_waiting", broken)
        peer = FakePeer()
        for seq in range(5):
            world.ask(peer, SubmitTasks(seq, run.id, [block(1)]))
            await world.later(RETRY_S)
        assert len(peer.sent) == 5
        assert caplog.text.count("disk on fire") == 1

    play(scene)


def test_a_run_may_end_be_cancelled_and_be_forgotten_in_one_turn(play: Any) -> None:
    """And everybody is answered, also whose outcome was the run's last."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        world.report(worker, want=1)
        await world.turns()
        told: list[str] = []

        def cancel(now: float, wall: float) -> Any:
            world.broker.cancel(run, wall)
            return lambda: told.append("cancelled")

        def forget(now: float, wall: float) -> Any:
            world.broker.forget(run)
            return lambda: told.append("forgotten")

        world.report(worker, done(peer.leases[0]), want=1, seq=2)
        world.turn.post(Step(cancel))
        world.turn.post(Step(forget))
        await world.turns()
        assert told == ["cancelled", "forgotten"]
        assert [message.seq for message in peer.of(Leases)] == [1, 2]

    play(scene)


def test_an_old_outcome_is_counted_once_however_often_the_store_refuses(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        world.report(worker, want=1)
        await world.turns()
        world.store.full = True
        old = Done(999, 0, 1, codec.encode_batch([1]), 0.0)
        world.report(worker, old, done(peer.leases[0]), seq=2)
        await world.later(5 * RETRY_S)
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert (run.done, world.broker.refused) == (1, 1)

    play(scene)


def test_a_read_that_fails_costs_no_session_and_no_runner(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        runner = FakePeer()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1), block(1)]))
        world.report(worker, want=2)
        await world.turns()
        one, two = peer.leases
        follow = NewBlock(1, codec.encode_batch([9]), ["k"])
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "taken_keys", _unreadable)
            last = Done(two.number, two.start, two.stop, codec.encode_batch([1]), 0.0, [follow])
            world.report(worker, done(one), last, seq=2)
            world.ask(runner, SubmitTasks(7, run.id, [follow]))
            await world.later(3 * RETRY_S)
            assert (peer.closed, runner.sent, run.done) == (False, [], 0)
        await world.later(2 * RETRY_S)
        assert (run.done, run.tasks) == (2, 3)
        assert runner.sent == [Accepted(7, 0)]
        assert [message.seq for message in peer.of(Leases)] == [1, 2]

    play(scene)


def test_what_is_said_of_a_run_that_is_just_being_forgotten_is_refused(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.turn.post(Step(lambda now, wall: bool(world.broker.cancel(run, wall)) or None))
        world.turn.post(Step(lambda now, wall: world.broker.forget(run)))
        peer = FakePeer()
        world.ask(peer, TasksEnded(1, run.id))
        world.ask(peer, Finished(2, run.id, 1.0))
        await world.turns()
        assert [(one.seq, one.error) for one in peer.of(Refused)] == [
            (seq, f"no run {run.id}; it was forgotten") for seq in (1, 2)
        ]

    play(scene)


def test_steps_left_over_are_carried_out_though_the_last_commit_failed(play: Any) -> None:
    """The trouble stays until something is written again: it holds up nothing else."""

    async def scene(world: World) -> None:
        world.store.full = True
        world.tasks.call(FakePeer(), "put", ("a task",), {})
        await world.later(2 * RETRY_S)
        world.store.full = False
        replies = [Awaited[None]() for _ in range(2 * STEPS + 1)]
        for reply in replies:
            world.turn.post(Step(lambda now, wall: lambda: None, reply))
        await world.turns(6)
        assert world.turn.trouble
        assert all(reply.is_sent for reply in replies)

    play(scene)


def _unreadable(*_: Any) -> Any:
    raise StoreError("can't read queue.sqlite3: disk I/O error")

"""The turn: stage all that came, commit once, make it visible, answer; or none of it."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from master.changes import Changes, CollectCursor
from master.turn import payloads as payloads_module
from master.turn.payloads import Bodies
from master.turn.steps import RETRY_S, Step
from master.turn.turn import PROGRESS_S
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import Accepted, Leases, SubmitTasks
from queue_manager.wire.records import Done, Released
from tests.unit.master.conftest import FakePeer, OnRefusal, World, block


def done(lease: Any, count: int = 1) -> Done:
    stop = lease.start + count
    results = codec.encode_batch(list(range(lease.start, stop)))
    return Done(lease.number, lease.start, stop, results, 0.001)


class Recorder:
    """A follower that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[Changes] = []

    def after_commit(self, changes: Changes, now: float) -> None:
        self.seen.append(changes)


# --- one turn ---


def test_all_that_came_goes_into_one_commit_and_is_answered_after_it(play: Any) -> None:
    async def scene(world: World) -> None:
        run, order = await world.start_run(), []
        before = world.store.commits

        def stage(name: int) -> Any:
            world.broker.submit(run, block(1), 0.0, 0.0, True)
            return lambda: order.append((name, world.store.commits - before))

        for name in range(3):
            world.turn.post(Step(lambda now, wall, name=name: stage(name)))  # type: ignore[misc]
        assert not order
        await world.turns()
        assert order == [(0, 1), (1, 1), (2, 1)]
        assert run.waiting == 3

    play(scene)


def test_the_cyclic_collector_waits_for_the_end_of_a_turn_however_it_ends(play: Any) -> None:
    """What a turn makes stays: a hello with 20,000 leases takes twice as long with it."""

    async def scene(world: World) -> None:
        seen: list[bool] = []

        def stage(now: float, wall: float) -> None:
            seen.append(gc.isenabled())

        def fail(now: float, wall: float) -> None:
            raise ZeroDivisionError

        for full in (False, True):
            world.store.full = full
            world.turn.post(Step(stage))
            world.turn.post(Step(fail))
            await world.turns()
            assert gc.isenabled()
        assert seen
        assert not any(seen)

    assert gc.isenabled()
    play(scene)


def test_followers_see_a_turn_before_its_answers_are_sent(play: Any) -> None:
    """An answer carries the leases of its own turn."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        worker_peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        world.report(worker, want=1, seq=9)
        await world.turns()
        (answer,) = worker_peer.of(Leases)
        assert (answer.seq, len(answer.leases)) == (9, 1)

    play(scene)


def test_a_turn_without_anything_to_write_does_not_touch_the_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        world.report(worker, want=1)
        await world.turns()
        commits = world.store.commits
        (lease,) = peer.leases
        world.report(worker, Released(lease.number, 0, 1), want=1)
        await world.turns()
        assert len(peer.leases) == 2
        assert world.store.commits == commits

    play(scene)


def test_a_refused_step_is_answered_once_and_takes_no_other_along(play: Any) -> None:
    async def scene(world: World) -> None:
        run, errors = await world.start_run(), []

        def refused(now: float, wall: float) -> None:
            raise RefusedError("no")

        world.store.full = True
        peer = FakePeer()
        world.turn.post(Step(refused, OnRefusal(errors.append), retry_on_store_error=True))
        world.ask(peer, SubmitTasks(1, run.id, [block(1)]))
        await world.turns()
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert errors == ["no"]
        assert peer.sent == [Accepted(1, 1)]

    play(scene)


def test_a_step_that_breaks_halfway_leaves_nothing_and_the_others_are_carried_out(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run, errors, answers = await world.start_run(), [], []

        def broken(now: float, wall: float) -> None:
            world.broker.submit(run, block(5), now, wall, True)
            raise ZeroDivisionError

        def sound(now: float, wall: float) -> Any:
            world.broker.submit(run, block(2), now, wall, True)
            return lambda: answers.append("sound")

        for step in (Step(sound), Step(broken, OnRefusal(errors.append)), Step(sound)):
            world.turn.post(step)
        await world.turns()
        assert (run.tasks, run.waiting) == (4, 4)
        assert answers == ["sound", "sound"]
        assert "ZeroDivisionError" in errors[0]
        assert len(errors) == 1

    play(scene)


def test_an_error_in_one_answer_or_follower_does_not_take_the_others_along(play: Any) -> None:
    async def scene(world: World) -> None:
        told: list[str] = []

        class Broken:
            def after_commit(self, changes: Changes, now: float) -> None:
                raise ZeroDivisionError

        recorder = Recorder()
        world.turn.followers[:0] = [Broken()]
        world.turn.followers.append(recorder)
        world.turn.post(Step(lambda now, wall: lambda: told.append(str(1 / 0))))
        world.turn.post(Step(lambda now, wall: lambda: told.append("second")))
        await world.turns()
        assert told == ["second"]
        assert recorder.seen

    play(scene)


# --- progress, and the end ---


def test_progress_of_collecting_waits_a_moment_for_a_commit_and_then_makes_one(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        commits = world.store.commits
        world.broker.collected(run, CollectCursor(5), 0)
        world.turn.wake()
        await world.turns()
        assert world.store.commits == commits
        await world.later(PROGRESS_S)
        assert world.store.commits == commits + 1

    async def after(world: World) -> None:
        assert world.broker.runs[1].collect_cursor == CollectCursor(5)

    play(scene, after)


def test_progress_goes_along_with_any_commit(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.broker.collected(run, CollectCursor(5), 2)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        await world.turns()

    async def after(world: World) -> None:
        assert (
            world.broker.runs[1].collect_cursor.number,
            world.broker.runs[1].collect_errors,
        ) == (5, 2)

    play(scene, after)


def test_stopping_carries_out_what_came_and_then_takes_nothing_more(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(2)]))
        world.report(worker, want=2)
        await world.turns()
        one, _ = peer.leases
        world.report(worker, done(one))
        await world.turn.stop()
        assert run.done == 1
        world.workers.closed(worker)  # by the master itself: no loss
        world.broker.collected(run, CollectCursor(1), 0)
        await world.turns()
        await world.turn.write_rest()

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        assert (run.done, run.waiting, run.delayed, run.collect_cursor.number) == (1, 1, 0, 1)
        assert run.tracked == 0

    play(scene, after)


# --- payloads in memory ---


@pytest.mark.usefixtures("apart")
def test_payloads_in_memory_are_bounded_and_the_rest_is_read_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads_module, "BODIES_BYTES", 100 + 3 * payloads_module._BODY_BYTES)

    async def scene(world: World) -> None:
        run = await world.start_run()
        for seq in range(5):
            world.ask(FakePeer(), SubmitTasks(seq, run.id, [block(30)]))
        await world.turns()
        bodies = Bodies(world.store)
        for number in (1, 2, 3, 1, 4, 5):
            assert bodies.get(number) == block(30).body
        size = sum(len(body) + payloads_module._BODY_BYTES for body in bodies._bodies.values())
        assert size == bodies._bytes <= payloads_module.BODIES_BYTES
        assert set(bodies._bodies) == {1, 4, 5} or len(bodies._bodies) >= 2
        big = b"x" * 1_000
        bodies.add(99, big)
        assert bodies.get(99) is big

    play(scene)

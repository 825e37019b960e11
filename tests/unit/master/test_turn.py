"""The turn: stage all that came, commit once, make it visible, answer; or none of it."""

from __future__ import annotations

from typing import Any

import pytest

from master import turn as turn_module
from master.changes import Changes
from master.turn import PROGRESS_S, RETRY_S, Bodies, Step
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.records import Accepted, Done, Failed, Leases, Released, SubmitTasks

from .conftest import FakePeer, World, block


def done(lease: Any, count: int = 1) -> Done:
    stop = lease.start + count
    results = codec.encode_batch(list(range(lease.start, stop)))
    return Done(lease.number, lease.start, stop, results, 0.001)


class Recorder:
    """A follower that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[Changes] = []

    def turned(self, changes: Changes, now: float) -> None:
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


def test_followers_see_a_turn_before_its_answers_are_sent(play: Any) -> None:
    """An answer carries the leases of its own turn."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        worker_peer, worker = world.worker()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(1)]))
        world.report(worker, want=1, seq=9)
        await world.turns()
        (answer,) = worker_peer.sent
        assert isinstance(answer, Leases)
        assert (answer.seq, len(answer.leases)) == (9, 1)

    play(scene)


def test_a_turn_without_anything_to_write_does_not_touch_the_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(1)]))
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
        world.turn.post(Step(refused, errors.append, waits=True))
        world.runs.submit(peer.peer, SubmitTasks(1, run.id, [block(1)]))
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

        for step in (Step(sound), Step(broken, errors.append), Step(sound)):
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
            def turned(self, changes: Changes, now: float) -> None:
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


# --- a store that refuses ---


def test_an_outcome_that_the_store_cannot_take_is_recorded_when_it_can(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(3)]))
        world.report(worker, want=2)
        await world.turns()
        one, two = peer.leases
        world.store.full = True
        world.report(worker, done(one), Failed(two.number, two.start, "bad"), want=1, seq=2)
        await world.later(5 * RETRY_S)
        assert (run.done, run.leased, run.delayed, run.waiting) == (0, 2, 0, 1)
        assert "disk full" in world.turn.trouble
        assert len(peer.sent) == 1
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert not world.turn.trouble
        assert (run.done, run.leased) == (1, 1)
        assert (peer.sent[1].seq, world.broker.refused) == (2, 0)  # type: ignore[union-attr]
        assert len(peer.leases) == 3

    play(scene)


def test_leases_are_asked_for_once_however_often_the_store_refuses(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(20)]))
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

            return Step(stage, waits=True)

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
        world.turn.post(Step(stage, errors.append))
        await world.turns()
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert errors == ["can't write: disk full"]
        assert world.delivery.available == 0

    play(scene)


def test_a_delay_ends_in_time_though_the_store_refused_meanwhile(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(1, delay_s=1.0)]))
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
            world.runs.submit(runner.peer, SubmitTasks(seq, run.id, [block(10)]))
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


# --- progress, and the end ---


def test_progress_of_collecting_waits_a_moment_for_a_commit_and_then_makes_one(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        commits = world.store.commits
        world.broker.collected(run, 5, 0)
        world.turn.wake()
        await world.turns()
        assert world.store.commits == commits
        await world.later(PROGRESS_S)
        assert world.store.commits == commits + 1

    async def after(world: World) -> None:
        assert world.broker.runs[1].collected == 5

    play(scene, after)


def test_progress_goes_along_with_any_commit(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.broker.collected(run, 5, 2)
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(1)]))
        await world.turns()

    async def after(world: World) -> None:
        assert (world.broker.runs[1].collected, world.broker.runs[1].collect_errors) == (5, 2)

    play(scene, after)


def test_stopping_carries_out_what_came_and_then_takes_nothing_more(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.runs.submit(FakePeer().peer, SubmitTasks(1, run.id, [block(2)]))
        world.report(worker, want=2)
        await world.turns()
        one, _ = peer.leases
        world.report(worker, done(one))
        world.turn.stop()
        assert run.done == 1
        world.workers.closed(worker)  # by the master itself: no loss
        world.broker.collected(run, 1, 0)
        await world.turns()
        world.turn.write_rest()

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        assert (run.done, run.waiting, run.delayed, run.collected) == (1, 1, 0, 1)
        assert world.store.load()[1].strays == []

    play(scene, after)


# --- payloads in memory ---


def test_payloads_in_memory_are_bounded_and_the_rest_is_read_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "BODIES_BYTES", 100)

    async def scene(world: World) -> None:
        run = await world.start_run()
        for seq in range(5):
            world.runs.submit(FakePeer().peer, SubmitTasks(seq, run.id, [block(30)]))
        await world.turns()
        bodies = Bodies(world.store)
        for number in (1, 2, 3, 1, 4, 5):
            assert bodies.get(number) == block(30).body
        assert sum(map(len, bodies._bodies.values())) == bodies._bytes <= 100
        assert set(bodies._bodies) == {1, 4, 5} or len(bodies._bodies) >= 2
        big = b"x" * 1_000
        bodies.add(99, big)
        assert bodies.get(99) is big

    play(scene)

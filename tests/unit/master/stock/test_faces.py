"""The two queues have the methods of `queue.Queue`, and fail as it does."""

from __future__ import annotations

import contextlib
import queue
from typing import Any

import pytest

from master.broker.leases.lease import Lease, Session
from master.changes import Mishap
from master.turn.steps import Step
from queue_manager import codec
from queue_manager.names import QUEUE_METHODS
from queue_manager.wire.messages import SubmitTasks
from queue_manager.wire.records import Done, NewBlock
from tests.unit.master.conftest import FakePeer, World

from .test_stock import Client, queue_run


def test_all_methods_of_a_queue_are_there(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        for face in (world.tasks, world.results):
            assert face.exposed == QUEUE_METHODS
            await client.call(face, "put_nowait", 1)
            assert await client.call(face, "full") is False
        assert await client.call(world.tasks, "get_nowait") == 1
        assert await client.call(world.results, "get_nowait") == 1
        await client.call(world.tasks, "put", 2, False, None)
        await client.call(world.tasks, "put", item=3, block=True, timeout=5)

    play(scene)


def test_an_empty_queue_raises_queue_empty_at_once_or_after_the_timeout(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        for face in (world.tasks, world.results):
            for args in [("get_nowait",), ("get", False), ("get", True, 0), ("get", False, -1)]:
                with pytest.raises(queue.Empty):
                    await client.call(face, *args)
            client.peer.errors.clear()
            client.send(face, "get", True, 3.0)
            await world.later(2.9)
            assert not client.peer.errors
            await world.later(0.2)
            assert [type(error) for error in client.peer.errors] == [queue.Empty]

    play(scene)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("get", True, -1), ValueError),
        (("get", True, float("nan")), ValueError),
        (("get", True, "soon"), TypeError),
        (("get", 1, 2, 3), TypeError),
        (("put",), TypeError),
        (("put", b"x" * 2_000), ValueError),
    ],
    ids=str,
)
def test_bad_arguments_fail_with_a_built_in_error_and_the_connection_goes_on(
    play: Any, args: Any, error: type[Exception]
) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        for face in (world.tasks, world.results):
            with pytest.raises(error) as caught:
                await client.call(face, *args)
            assert type(caught.value) is error
        await client.put(1)

    play(scene)


def test_an_endless_timeout_is_one_that_waits_for_long(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        client.send(world.tasks, "get", True, 10**400)
        client.send(world.results, "get", True, float("inf"))
        await world.later(86_400.0)
        assert not client.peer.errors
        await client.end()

    play(scene)


def test_empty_and_qsize_tell_of_what_waits_and_what_may_still_come(play: Any) -> None:
    async def scene(world: World) -> None:
        client, tasks = Client(world), world.tasks
        assert await client.call(tasks, "empty") is True
        await client.put(1)
        await client.put(2)
        assert await client.call(tasks, "qsize") == 2
        await client.take()
        assert await client.call(tasks, "qsize") == 1
        assert await client.call(tasks, "empty") is False
        await client.put_result("of the first")
        await _fail_next(world)
        assert await client.call(tasks, "qsize") == 0
        assert await client.call(tasks, "empty") is False  # the second one will be tried again
        run = await world.start_run("square")
        await world.later(2.0)
        for _ in range(10):
            await client.call(tasks, "task_done")
            with contextlib.suppress(queue.Empty):
                while True:
                    await client.take()
                    await client.call(tasks, "task_done")
            await world.later(2.0)
        assert await client.call(tasks, "empty") is False  # its tasks() has more to give
        world.broker.exhaust(run)
        world.turn.wake()
        await world.turns()
        assert await client.call(tasks, "empty") is True

    play(scene, job="square")


def test_results_are_counted_too(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        assert await client.call(world.results, "empty") is True
        await client.put_result("a")
        await client.put_result("b")
        assert await client.call(world.results, "qsize") == 2
        await client.read()
        assert await client.call(world.results, "qsize") == 1
        assert await client.call(world.results, "empty") is False

    play(scene)


def test_join_waits_for_what_was_put_before_it_and_for_no_more(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker, joins = Client(world), Client(world), Client(world)
        await joins.call(world.tasks, "join")  # nothing was put
        await client.put(1)
        await client.put(2)
        joins.send(world.tasks, "join")
        await world.turns()
        await client.put(3)
        await worker.take()
        await worker.put_result(None)
        assert joins.peer.answers == [None]
        await worker.take()
        await worker.put_result(None)
        assert joins.peer.answers == [None, None]
        assert queue_run(world).waiting == 1

    play(scene)


def test_a_join_does_not_count_what_was_put_after_it_and_ended_before(play: Any) -> None:
    async def scene(world: World) -> None:
        joins, workers = Client(world), [Client(world) for _ in range(3)]
        for n in (1, 2):
            await workers[0].put(n)
        joins.send(world.tasks, "join")
        await world.turns()
        await workers[0].put(3)
        for worker in workers:
            await worker.take()
        await workers[0].put_result(1)
        await workers[2].put_result(3)
        assert joins.peer.answers == []
        await workers[1].put_result(2)
        assert joins.peer.answers == [None]

    play(scene)


def test_a_dead_letter_ends_a_join(play: Any) -> None:
    async def scene(world: World) -> None:
        joins = Client(world)
        await joins.put(1)
        joins.send(world.tasks, "join")
        assert joins.peer.answers == [None]
        await _kill_tasks(world, 1)
        assert queue_run(world).dead == 1
        assert joins.peer.answers == [None, None]

    play(scene)


def test_a_join_waits_for_dead_letters_that_are_retried_beneath_it(play: Any) -> None:
    """`qm retry 0` while it waits: what was retried counts, but not in the place of another."""

    async def scene(world: World) -> None:
        joins, worker, other = Client(world), Client(world), Client(world)
        for n in range(4):
            await joins.put(n)
        run = queue_run(world)
        await _kill_tasks(world, 2)
        first, second = await worker.take(), await other.take()
        assert {first, second} == {2, 3}
        joins.send(world.tasks, "join")
        await world.turns()
        before = len(joins.peer.answers)
        world.turn.post(Step(lambda now, wall: world.broker.retry(run, wall) and None))
        await world.turns()
        for _ in range(2):
            late = Client(world)
            await late.take()
            await late.put_result("of the retry")
        await worker.put_result("one")
        assert len(joins.peer.answers) == before
        await other.put_result("two")
        assert len(joins.peer.answers) == before + 1

    play(scene)


def test_a_join_waits_for_those_of_its_dead_letters_that_are_retried(play: Any) -> None:
    """`qm retry 0 1 5` while it waits: 1 counts for it, 2 stays a dead letter, 5 came later."""

    async def scene(world: World) -> None:
        joins, worker = Client(world), Client(world)
        for n in range(3):
            await joins.put(n)
        run = queue_run(world)
        await _kill_tasks(world, 2)
        assert await worker.take() == 2
        joins.send(world.tasks, "join")
        await world.turns()
        before = len(joins.peer.answers)
        for n in range(2):
            await worker.put(n)
        await _kill_tasks(world, 2)
        letters = [(1, None), (5, None)]
        world.turn.post(Step(lambda now, wall: world.broker.retry(run, wall, letters) and None))
        await world.turns()
        await worker.put_result("of task 3")
        assert len(joins.peer.answers) == before
        for _ in range(2):
            assert len(joins.peer.answers) == before
            late = Client(world)
            if await late.take() == 0:
                break
        await late.put_result("of task 1")
        assert len(joins.peer.answers) == before + 1
        assert run.unended

    play(scene)


def test_a_join_after_a_retry_waits_for_what_is_tried_again(play: Any) -> None:
    async def scene(world: World) -> None:
        joins, worker = Client(world), Client(world)
        for n in range(2):
            await joins.put(n)
        await _kill_tasks(world, 2)
        run = queue_run(world)
        world.turn.post(Step(lambda now, wall: world.broker.retry(run, wall) and None))
        joins.send(world.tasks, "join")
        await world.turns()
        before = len(joins.peer.answers)
        await worker.take()
        await worker.put_result(0)
        assert len(joins.peer.answers) == before
        await _kill_tasks(world, 1)
        await world.turns()
        assert len(joins.peer.answers) == before + 1

    play(scene)


def test_a_join_does_not_wait_for_dead_letters_that_were_deleted_before_a_retry(play: Any) -> None:
    """A letter that came later is retried; those that the join counted are no more."""

    async def scene(world: World) -> None:
        joins, worker = Client(world), Client(world)
        for n in range(2):
            await joins.put(n)
        await _kill_tasks(world, 1)
        assert await worker.take() == 1
        joins.send(world.tasks, "join")
        await world.turns()
        before = len(joins.peer.answers)
        await worker.put(2)
        await _kill_tasks(world, 1)
        run = queue_run(world)
        run.dead, run.pruned = run.dead - 1, run.pruned + 1
        world.tasks.letters_pruned([1])
        world.turn.post(Step(lambda now, wall: world.broker.retry(run, wall) and None))
        await world.turns()
        assert len(joins.peer.answers) == before
        await worker.put_result("the last that it waits for")
        assert run.unended == 1
        assert len(joins.peer.answers) == before + 1

    play(scene)


async def _fail_next(world: World) -> None:
    """Have the next task of the queue run fail once."""
    await _kill_tasks(world, 1, reject=False)


async def _kill_tasks(world: World, count: int, reject: bool = True) -> None:
    """Have tasks of the queue run rejected: dead letters at once."""
    for _ in range(count):
        session = Session(10_000 + world.broker.next_seq, 1, stock=True)
        world.broker.add_session(session)
        lease = world.broker.lease(session, world.loop.time())
        assert lease is not None
        position = lease.open[0][0]

        def fail(now: float, wall: float, lease: Lease = lease, position: int = position) -> None:
            session, number = lease.session, lease.number
            world.broker.fail(session, number, position, Mishap("bad"), now, wall, reject=reject)

        world.turn.post(Step(fail))
        await world.turns()
        world.broker.drop_session(session, 0.0, 0.0)


def test_our_workers_run_queue_tasks_with_the_stock_job(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        await client.put(6)
        peer, worker = world.worker()
        world.report(worker, want=1)
        await world.turns()
        (lease,) = peer.leases
        assert (lease.run, lease.job) == (0, "square")
        world.report(worker, Done(lease.number, 0, 1, codec.encode_batch([36]), 0.1))
        await world.turns()
        assert await client.read() == 36

    play(scene, job="square")


def test_a_payload_that_cannot_be_read_is_an_error_at_whoever_takes_it(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run("square")
        garbage = NewBlock(1, b"S\x91\xc4\x02\x80\x04")
        world.ask(FakePeer(), SubmitTasks(1, run.id, [garbage]))
        await world.turns()
        worker = Client(world)
        with pytest.raises(ValueError, match="pickle"):
            await worker.take()
        await worker.end()
        assert run.leased == 0

    play(scene, job="square")


@pytest.mark.parametrize("of_results", [False, True])
def test_a_get_that_the_master_fails_at_is_answered_and_the_next_goes_on(
    play: Any, monkeypatch: pytest.MonkeyPatch, of_results: bool
) -> None:
    async def scene(world: World) -> None:
        client, other = Client(world), Client(world)
        face = world.results if of_results else world.tasks
        for n in (1, 2):
            await client.call(face, "put", n)
        answer = client.peer.answer

        def fail(value: Any) -> None:
            raise MemoryError

        monkeypatch.setattr(client.peer, "answer", fail)
        with pytest.raises(RuntimeError, match="the master failed at this: MemoryError"):
            await client.call(face, "get", timeout=0)
        monkeypatch.setattr(client.peer, "answer", answer)
        assert await other.call(face, "get", timeout=0) == 2

    play(scene)

"""The two queues of standard-library clients: shaped like `queue.Queue`, and leases underneath."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from master.stock import UNEVEN
from master.turn.steps import RETRY_S
from master.turn.turn import UNREAD_S
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.messages import SubmitTasks
from queue_manager.wire.records import RunOptions
from tests.unit.master.conftest import FakePeer, World, block


class Client:
    """A connection of a standard-library client. Each call gives its answer or raises."""

    def __init__(self, world: World, name: str = "script") -> None:
        self.world = world
        self.peer = FakePeer(name)

    def send(self, face: Any, method: str, *args: Any, **kwargs: Any) -> None:
        """Call without waiting for the answer."""
        face.call(self.peer.peer, method, args, kwargs)

    async def call(self, face: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        answered = len(self.peer.answers) + len(self.peer.errors)
        errors = len(self.peer.errors)
        self.send(face, method, *args, **kwargs)
        for _ in range(10):
            await self.world.turns(1)
        assert len(self.peer.answers) + len(self.peer.errors) == answered + 1, "not answered"
        if len(self.peer.errors) > errors:
            raise self.peer.errors[-1]
        return self.peer.answers[-1]

    async def put(self, item: Any) -> None:
        await self.call(self.world.tasks, "put", item)

    async def take(self) -> Any:
        return await self.call(self.world.tasks, "get", timeout=0)

    async def put_result(self, result: Any) -> None:
        await self.call(self.world.results, "put", result)

    async def read(self) -> Any:
        return await self.call(self.world.results, "get", timeout=0)

    async def end(self, *, reset: bool = False) -> None:
        for face in (self.world.tasks, self.world.results):
            face.ended(self.peer.peer, reset)
        await self.world.turns()


def queue_run(world: World) -> Any:
    return world.broker.runs[0]


def results(world: World, run: int = 0) -> dict[int, Any]:
    """Recorded results by task."""
    found, _ = world.store.read_outcomes(run, 0, 10**9)
    return {
        o.first + o.start + index: value
        for o in found
        if o.block
        for index, value in enumerate(codec.decode_batch(o.results))
    }


# --- tasks ---


def test_a_put_is_on_disk_when_it_returns_and_a_get_takes_it(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        await client.put({"n": 1})
        await client.put_result(None)

    async def after_a_crash(world: World) -> None:
        assert await Client(world).take() == {"n": 1}

    play(scene, after_a_crash)


def test_tasks_come_in_the_order_of_their_puts(play: Any) -> None:
    async def scene(world: World) -> None:
        client, workers = Client(world), [Client(world) for _ in range(3)]
        for n in range(3):
            await client.put(n)
        assert [await worker.take() for worker in workers] == [0, 1, 2]

    play(scene)


def test_a_put_on_the_result_queue_settles_the_open_lease(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        await client.put(7)
        assert await worker.take() == 7
        await worker.put_result(49)
        assert results(world) == {1: 49}
        assert queue_run(world).done == 1
        assert await client.read() == 49

    play(scene)


def test_a_get_after_fewer_puts_than_takes_fails_the_first_and_records_nothing(play: Any) -> None:
    """A script that catches an exception and skips a task."""

    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        for n in (1, 2, 3):
            await client.put(n)
        assert await worker.take() == 1
        assert await worker.take() == 2
        await worker.put_result("of whom?")
        assert results(world) == {}
        assert await client.call(world.results, "qsize") == 0
        assert queue_run(world).leased == 2
        assert await worker.take() == 2  # uncharged, first in line
        record = world.broker.waiting._delayed[0][2]
        assert (record.task, record.attempts, queue_run(world).delayed) == (1, 1, 1)
        assert world.stock.all[worker.peer.peer].note == UNEVEN
        await worker.put_result(4)
        assert results(world) == {2: 4}

    play(scene)


def test_a_skipped_tasks_neighbours_results_stay_on_their_own_tasks(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        for n in range(1, 7):
            await client.put(n)
        for _ in range(200):
            try:
                n = await worker.take()
            except queue.Empty:
                await world.later(1.0)
                if queue_run(world).done + queue_run(world).dead == 6:
                    break
                continue
            if n != 3:
                await worker.put_result(n * n)
        await worker.end()
        assert queue_run(world).done + queue_run(world).dead >= 5
        assert all(result == task * task for task, result in results(world).items())
        assert 3 not in results(world)

    play(scene)


def test_a_put_without_a_lease_is_delivered_and_settles_nothing(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        await client.put(1)
        await client.put_result("hello")
        assert (queue_run(world).done, queue_run(world).waiting) == (0, 1)
        assert await Client(world).read() == "hello"

    play(scene)


def test_task_done_settles_the_open_lease_and_after_a_put_nothing(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        await client.put(1)
        await client.put(2)
        await worker.take()
        await worker.call(world.tasks, "task_done")
        assert results(world) == {1: None}
        assert await client.call(world.results, "empty") is True  # there is no result to read
        await worker.take()
        await worker.put_result(4)
        await worker.call(world.tasks, "task_done")
        assert results(world) == {1: None, 2: 4}

    play(scene)


def test_the_task_of_a_connection_that_ends_is_given_to_the_next_who_waits(play: Any) -> None:
    async def scene(world: World) -> None:
        client, killed, waits = Client(world), Client(world), Client(world)
        await client.put(5)
        await killed.take()
        waits.send(world.tasks, "get")
        await world.turns()
        assert not waits.peer.answers
        await killed.end(reset=True)
        assert waits.peer.answers == [5]

    play(scene)


def test_a_client_that_left_while_it_waited_takes_no_task_along(play: Any) -> None:
    async def scene(world: World) -> None:
        client, left = Client(world), Client(world)
        left.send(world.tasks, "get")
        await world.turns()
        await left.end()
        await client.put(5)
        assert queue_run(world).waiting == 1
        assert not left.peer.answers

    play(scene)


def test_stock_clients_work_for_runs_of_the_stock_job_and_for_no_other(play: Any) -> None:
    async def scene(world: World) -> None:
        for name in ("other", "square"):
            run = await world.start_run(name)
            message = SubmitTasks(1, run.id, [block(1, first=10 * run.id)])
            world.ask(FakePeer(), message)
        await world.turns()
        worker = Client(world)
        assert await worker.take() == 20
        await worker.put_result(400)
        assert results(world, 2) == {1: 400}
        assert world.delivery.available == 0  # results of the queue run only
        with pytest.raises(queue.Empty):
            await worker.take()

    play(scene, job="square")


# --- a store that refuses ---


def test_a_put_that_cannot_be_stored_fails_and_one_that_can_follows(play: Any) -> None:
    async def scene(world: World) -> None:
        client = Client(world)
        world.store.full = True
        with pytest.raises(RuntimeError, match="disk is full"):
            await client.put(1)
        world.store.full = False
        await client.put(2)
        assert await client.take() == 2

    play(scene)


def test_a_result_that_cannot_be_stored_may_be_put_again(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        await client.put(3)
        await worker.take()
        world.store.full = True
        with pytest.raises(RuntimeError, match="disk is full"):
            await worker.put_result(9)
        world.store.full = False
        await worker.put_result(9)
        assert results(world) == {1: 9}
        assert queue_run(world).leased == 0

    play(scene)


def test_a_task_skipped_while_the_store_refuses_is_charged_once_and_not_stuck(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        for n in (1, 2, 3):
            await client.put(n)
        await worker.take()
        await worker.take()
        await worker.put_result("of whom?")
        world.store.full = True
        worker.send(world.tasks, "get")
        await world.later(5 * RETRY_S)
        assert worker.peer.answers == [1, 2, None]
        world.store.full = False
        await world.later(RETRY_S)
        assert worker.peer.answers == [1, 2, None, 2]
        assert (queue_run(world).leased, queue_run(world).delayed) == (1, 1)
        record = world.broker.waiting._delayed[0][2]
        assert (record.task, record.attempts) == (1, 1)

    play(scene)


def test_a_connection_that_ends_while_the_store_refuses_gives_its_task_back(play: Any) -> None:
    async def scene(world: World) -> None:
        client, worker = Client(world), Client(world)
        await client.put(1)
        await worker.take()
        world.store.full = True
        await worker.end()
        assert queue_run(world).leased == 1
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert (queue_run(world).leased, queue_run(world).waiting) == (0, 1)
        assert not world.stock.all.get(worker.peer.peer)

    play(scene)


def test_a_task_whose_payload_cannot_be_read_fails_the_get_and_waits_for_the_next(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        one, other = FakePeer(), FakePeer()
        world.tasks.call(one.peer, "put", (5,), {})
        await world.turns()
        with monkeypatch.context() as patched:
            patched.setattr(world.turn.bodies, "get", _unreadable)
            world.tasks.call(one.peer, "get", (), {})
            await world.turns()
        assert [type(error) for error in one.errors] == [RuntimeError]
        world.tasks.call(other.peer, "get", (), {})
        await world.later(UNREAD_S)
        assert other.answers == [5]
        assert world.broker.runs[0].lane.tracked.in_memory == {}

    play(scene)


def _unreadable(block: int) -> bytes:
    raise StoreError("can't read queue.sqlite3: disk I/O error")


def test_runs_of_the_job_that_need_a_tag_are_not_for_stock_clients(play: Any) -> None:
    """Nor do they count: a script that works until the queue is empty must come to its end."""

    async def scene(world: World) -> None:
        run = await world.start_run("square", options=RunOptions(needs=["gpu"]))
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(3)]))
        await world.turns()
        client = Client(world)
        assert await client.call(world.tasks, "qsize") == 0
        assert await client.call(world.tasks, "empty") is True
        with pytest.raises(queue.Empty):
            await client.take()
        await client.put(5)
        assert await client.take() == 5

    play(scene, job="square")

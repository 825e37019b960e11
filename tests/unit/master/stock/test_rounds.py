"""Rounds: k takes in a row, then k puts in a row. The table of docs/protocol.md, line by line."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from master.stock import SKIPPED, UNEVEN
from master.stock import rounds as room
from queue_manager.errors import StoreError
from queue_manager.wire.messages import SubmitTasks
from tests.unit.master.conftest import FakePeer, World, block

from .test_stock import Client, queue_run, results


async def fill(world: World, *items: Any) -> None:
    client = Client(world, "producer")
    for item in items:
        await client.put(item)


async def readable(world: World) -> list[Any]:
    """All results that a reader gets now."""
    reader, found = Client(world, "reader"), []
    while not await reader.call(world.results, "empty"):
        found.append(await reader.read())
    await reader.end()
    return found


def attempts(world: World) -> dict[int, int]:
    """Charged attempts by task."""
    return {s.task: s.attempts for s in world.store._kept.tracked.values() if s.attempts}


# --- rounds that come out even ---


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_k_results_after_k_takes_are_of_those_tasks_in_their_order(play: Any, k: int) -> None:
    async def scene(world: World) -> None:
        await fill(world, *range(2 * k))
        worker = Client(world)
        for _ in range(2):
            taken = [await worker.take() for _ in range(k)]
            for n in taken:
                await worker.put_result(n * n)
        assert results(world) == {n + 1: n * n for n in range(2 * k)}
        assert await readable(world) == [n * n for n in range(2 * k)]
        assert (queue_run(world).done, queue_run(world).leased) == (2 * k, 0)
        assert attempts(world) == {}

    play(scene)


def test_rounds_may_be_of_different_lengths(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, *range(7))
        worker = Client(world)
        for k in (3, 1, 2, 1):
            for n in [await worker.take() for _ in range(k)]:
                await worker.put_result(-n)
        assert results(world) == {n + 1: -n for n in range(7)}

    play(scene)


def test_results_of_a_round_come_to_readers_when_it_is_whole(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.take()
        await worker.put_result("a")
        assert await readable(world) == []
        await worker.put_result("b")
        assert await readable(world) == ["a", "b"]

    play(scene)


def test_a_round_is_recorded_whole_or_not_at_all(play: Any) -> None:
    """A crash in its middle: all its tasks wait, and none has a result."""

    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.take()
        await worker.put_result("a")

    async def after_a_crash(world: World) -> None:
        assert results(world) == {}
        worker = Client(world)
        assert [await worker.take(), await worker.take()] == [1, 2]
        await worker.put_result("a")
        world.store.full = True
        with pytest.raises(RuntimeError, match="disk is full"):
            await worker.put_result("b")
        assert results(world) == {}
        world.store.full = False
        await worker.put_result("b")
        assert results(world) == {1: "a", 2: "b"}

    play(scene, after_a_crash)


def test_puts_after_a_whole_round_are_delivered_and_settle_nothing(play: Any) -> None:
    """A worker that gives several results for a task."""

    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        for result in ("a", "b", "c"):
            await worker.put_result(result)
        await worker.take()
        await worker.put_result("d")
        assert await readable(world) == ["a", "b", "c", "d"]
        assert results(world) == {1: "a", 2: "d"}

    play(scene)


def test_rounds_of_runs_of_the_job_settle_too(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run("square")
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(4)]))
        await world.turns()
        worker = Client(world)
        taken = [await worker.take() for _ in range(4)]
        for n in taken:
            await worker.put_result(n * n)
        assert results(world, run.id) == {1: 1, 2: 4, 3: 9, 4: 16}

    play(scene, job="square")


def test_each_connection_has_rounds_of_its_own(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, *range(4))
        one, other = Client(world), Client(world)
        mine = [await one.take(), await one.take()]
        theirs = [await other.take(), await other.take()]
        for n, m in zip(mine, theirs, strict=True):
            await one.put_result(n)
            await other.put_result(m)
        assert results(world) == {n + 1: n for n in range(4)}

    play(scene)


# --- rounds that do not ---


def test_of_an_uneven_round_as_many_are_charged_as_results_are_missing(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, *range(6))
        worker = Client(world)
        for _ in range(5):
            await worker.take()
        for _ in range(3):
            await worker.put_result("whose?")
        assert await worker.take() == 2
        assert attempts(world) == {1: 1, 2: 1}
        assert results(world) == {}
        assert await readable(world) == []
        assert world.stock.all[worker.peer.peer].note == UNEVEN

    play(scene)


@pytest.mark.parametrize("again", [False, True])
def test_a_put_that_the_store_refused_costs_the_next_task_nothing(
    play: Any, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The script goes on with another task, or tries the same put again."""

    async def scene(world: World) -> None:
        await fill(world, 7, 8)
        worker = Client(world)
        assert await worker.take() == 7
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "commit", _full)
            with pytest.raises(RuntimeError):
                await worker.put_result(49)
        if again:
            await worker.put_result(49)
        else:
            for _ in range(2):
                n = await worker.take()
                await worker.put_result(n * n)
        assert attempts(world) == {}
        assert results(world) == ({1: 49} if again else {1: 49, 2: 64})

    play(scene)


def _full(*_: Any) -> None:
    raise StoreError("can't write: the disk is full")


def test_a_result_that_cannot_travel_charges_its_task_alone(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 7, 8)
        worker = Client(world)
        assert await worker.take() == 7
        with pytest.raises((TypeError, ValueError)):
            await worker.put_result("x" * 2_000_000)
        assert await worker.take() == 8
        await worker.put_result(64)
        assert attempts(world) == {1: 1}
        assert results(world) == {2: 64}

    play(scene)


def test_a_task_that_is_always_skipped_becomes_a_dead_letter_and_no_other_does(play: Any) -> None:
    """The script takes one at a time, and skips what raises; others work beside it."""

    async def scene(world: World) -> None:
        await fill(world, *range(10))
        workers = [Client(world) for _ in range(3)]
        run = queue_run(world)
        for _ in range(300):
            for worker in workers:
                try:
                    n = await worker.take()
                except queue.Empty:
                    continue
                if n != 4:
                    await worker.put_result(n)
            await world.later(1.0)
            if not run.unended:
                break
        assert (run.done, run.dead) == (9, 1)
        assert results(world) == {n + 1: n for n in range(10) if n != 4}
        assert attempts(world)[5] == 3
        assert sorted(await readable(world)) == [n for n in range(10) if n != 4]

    play(scene)


def test_who_asks_in_vain_for_long_and_owes_a_result_will_not_put_it(play: Any) -> None:
    """The last task of all was skipped: its script waits in `get` and would do so for ever."""

    async def scene(world: World) -> None:
        await fill(world, "poison")
        worker = Client(world)
        assert await worker.take() == "poison"
        worker.send(world.tasks, "get")
        await world.later(room.PATIENCE_S - 1)
        assert attempts(world) == {}
        await world.later(3.0)
        assert attempts(world) == {1: 1}
        for answers in (3, 4):
            assert worker.peer.answers == ["poison"] * (answers - 1)
            worker.send(world.tasks, "get")
            await world.later(room.PATIENCE_S + 10)
        assert queue_run(world).dead == 1
        assert next(iter(world.store._kept.tracked.values())).error == SKIPPED

    play(scene)


def test_a_script_that_polls_is_not_waited_for_longer(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, "poison")
        worker = Client(world)
        await worker.take()
        for _ in range(int(room.PATIENCE_S)):
            with pytest.raises(queue.Empty):
                await worker.take()
            await world.later(1.0)
        assert attempts(world) == {}
        worker.send(world.tasks, "get", False)
        await world.later(1.0)
        assert attempts(world) == {1: 1}

    play(scene)


def test_who_works_for_long_between_takes_and_puts_is_not_hurried(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        assert [await worker.take(), await worker.take()] == [1, 2]
        with pytest.raises(queue.Empty):
            await worker.take()
        await world.later(3_600.0)
        await worker.put_result("a")
        await world.later(3_600.0)
        await worker.put_result("b")
        assert results(world) == {1: "a", 2: "b"}

    play(scene)


def test_a_get_that_waits_for_the_rest_of_a_round_is_answered(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1)
        worker = Client(world)
        await worker.take()
        worker.send(world.tasks, "get")
        await world.later(room.PATIENCE_S / 2)
        await fill(world, 2)
        assert worker.peer.answers == [1, 2]
        await worker.put_result("a")
        await worker.put_result("b")
        await world.later(10 * room.PATIENCE_S)
        assert results(world) == {1: "a", 2: "b"}

    play(scene)


def test_a_connection_that_ends_in_a_round_gives_all_of_it_back_uncharged(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2, 3)
        worker, other = Client(world), Client(world)
        for _ in range(3):
            await worker.take()
        await worker.put_result("a")
        await worker.end()
        assert (queue_run(world).leased, queue_run(world).waiting) == (0, 3)
        assert attempts(world) == {}
        assert world.stock.held_bytes == 0
        assert sorted([await other.take() for _ in range(3)]) == [1, 2, 3]

    play(scene)


def test_who_takes_without_end_is_charged_in_the_end(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ROUND_TASKS", 5)

    async def scene(world: World) -> None:
        await fill(world, *range(7))
        worker = Client(world)
        for n in range(6):
            assert await worker.take() == n
        assert attempts(world) == dict.fromkeys(range(1, 6), 1)
        assert len(world.stock.all[worker.peer.peer].round.taken) == 1

    play(scene)


@pytest.mark.parametrize("limit", ["HELD_BYTES", "ALL_HELD_BYTES"])
def test_held_results_are_bounded(play: Any, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(room, limit, 100)

    async def scene(world: World) -> None:
        await fill(world, *range(4))
        worker = Client(world)
        for _ in range(4):
            await worker.take()
        await worker.put_result("x" * 60)
        assert world.stock.held_bytes > 60
        with pytest.raises(RuntimeError, match="put results after fewer tasks"):
            await worker.put_result("x" * 60)
        assert (world.stock.held_bytes, queue_run(world).leased) == (0, 0)
        assert attempts(world) == dict.fromkeys(range(1, 5), 1)

    play(scene)


def test_results_of_a_run_that_was_cancelled_in_the_round_are_refused_and_no_other(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run("square")
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1, first=70)]))
        await fill(world, 7)
        worker = Client(world)
        taken = [await worker.take(), await worker.take()]
        assert sorted(taken) == [7, 70]
        world.broker.cancel(run, 0.0)
        world.turn.wake()
        await world.turns()
        for n in taken:
            await worker.put_result(n)
        assert results(world) == {1: 7}
        assert results(world, run.id) == {}
        assert world.broker.refused == 1

    play(scene, job="square")


# --- task_done ---


def test_task_done_after_each_put_changes_nothing(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.take()
        for result in ("a", "b"):
            await worker.put_result(result)
            await worker.call(world.tasks, "task_done")
        assert results(world) == {1: "a", 2: "b"}
        assert await readable(world) == ["a", "b"]

    play(scene)


def test_task_done_alone_settles_a_round_without_results(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2, 3)
        worker = Client(world)
        for k in (2, 1):
            for _ in range(k):
                await worker.take()
            for _ in range(k):
                await worker.call(world.tasks, "task_done")
        assert results(world) == {1: None, 2: None, 3: None}
        assert await readable(world) == []

    play(scene)


def test_a_put_in_a_round_of_task_dones_is_delivered_alone(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.take()
        await worker.call(world.tasks, "task_done")
        await worker.put_result("by the way")
        assert results(world) == {}
        await worker.call(world.tasks, "task_done")
        assert results(world) == {1: None, 2: None}
        assert await readable(world) == ["by the way"]

    play(scene)


def test_a_task_skipped_before_a_task_done_does_not_count_as_done(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, "raises", "works", 3)
        worker = Client(world)
        await worker.take()
        await worker.take()
        await worker.call(world.tasks, "task_done")
        assert await worker.take() == "works"
        assert attempts(world) == {1: 1}
        assert results(world) == {}

    play(scene)


def test_what_has_no_result_is_not_counted_after_a_restart(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.call(world.tasks, "task_done")
        await worker.take()
        await worker.put_result("b")
        assert world.delivery.available == 1

    async def after(world: World) -> None:
        assert world.delivery.available == 1
        assert await readable(world) == ["b"]

    play(scene, after)


# --- QUEUE_STOCK_ACK=next ---


def test_with_next_a_get_settles_the_task_before_it(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2, 3)
        worker = Client(world)
        assert [await worker.take() for _ in range(3)] == [1, 2, 3]
        assert (queue_run(world).done, queue_run(world).leased) == (2, 1)
        with pytest.raises(queue.Empty):
            await worker.take()
        assert queue_run(world).done == 3
        assert results(world) == {1: None, 2: None, 3: None}
        assert await readable(world) == []

    play(scene, ack="next")


def test_with_next_all_puts_after_a_take_are_delivered(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        for result in ("a", "b", "c"):
            await worker.put_result(result)
        assert queue_run(world).done == 1
        await worker.take()
        with pytest.raises(queue.Empty):
            await worker.take()
        assert await readable(world) == ["a", "b", "c"]
        assert results(world) == {1: "a", 2: None}

    play(scene, ack="next")


def test_with_next_the_last_task_of_a_connection_that_ends_is_offered_again(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2)
        worker = Client(world)
        await worker.take()
        await worker.take()
        await worker.end()
        assert (queue_run(world).done, queue_run(world).waiting) == (1, 1)

    async def after_a_crash(world: World) -> None:
        assert await Client(world).take() == 2

    play(scene, after_a_crash, ack="next")


# --- stop values ---


def test_a_stop_value_is_done_when_it_is_taken_and_goes_to_one(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, None)
        worker, other = Client(world), Client(world)
        other.send(world.tasks, "join")
        await world.turns()
        assert await worker.take() is None
        assert (queue_run(world).done, queue_run(world).leased) == (1, 0)
        assert other.peer.answers == [None]
        await worker.end()
        assert await other.call(world.tasks, "qsize") == 0
        assert await other.call(world.tasks, "empty") is True
        with pytest.raises(queue.Empty):
            await other.take()
        assert await readable(world) == []

    async def after_a_crash(world: World) -> None:
        with pytest.raises(queue.Empty):
            await Client(world).take()

    play(scene, after_a_crash)


def test_a_stop_value_that_is_put_back_reaches_all_who_wait(play: Any) -> None:
    async def scene(world: World) -> None:
        workers = [Client(world) for _ in range(5)]
        for worker in workers:
            worker.send(world.tasks, "get")
        await fill(world, None)
        for worker in workers:
            await world.turns(4)
            assert worker.peer.answers == [None]
            await worker.put(None)
            await worker.end()
        assert (queue_run(world).done, queue_run(world).waiting) == (5, 1)

    play(scene)


def test_a_stop_value_belongs_to_no_round(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, 1, 2, None)
        worker = Client(world)
        assert [await worker.take() for _ in range(3)] == [1, 2, None]
        for result in ("a", "b", "for the master"):
            await worker.put_result(result)
        await worker.call(world.tasks, "task_done")
        assert results(world) == {1: "a", 2: "b", 3: None}
        assert await readable(world) == ["a", "b", "for the master"]

    play(scene)


def test_a_stop_value_waits_for_the_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, None)
        worker = Client(world)
        world.store.full = True
        worker.send(world.tasks, "get")
        await world.later(5.0)
        assert worker.peer.answers == []
        world.store.full = False
        await world.later(1.0)
        assert worker.peer.answers == [None]
        assert queue_run(world).done == 1

    play(scene)


@pytest.mark.parametrize("item", ["STOP", "", 0, False, [], [None]], ids=repr)
def test_nothing_but_none_is_a_stop_value(play: Any, item: Any) -> None:
    async def scene(world: World) -> None:
        await fill(world, item)
        worker, other = Client(world), Client(world)
        assert await worker.take() == item
        await worker.end()
        assert await other.take() == item

    play(scene)


def test_none_of_a_run_of_the_job_is_a_task(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run("square")
        from queue_manager import codec
        from queue_manager.wire.records import NewBlock

        nothing = NewBlock(1, codec.encode_batch([None]))
        world.ask(FakePeer(), SubmitTasks(1, run.id, [nothing]))
        await world.turns()
        worker = Client(world)
        assert await worker.take() is None
        assert run.leased == 1
        await worker.put_result("done")
        assert results(world, run.id) == {1: "done"}

    play(scene, job="square")

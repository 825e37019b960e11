"""A turn whose store needs a while: the loop goes on, and nothing happens before the commit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from master.changes import Changes, CollectCursor
from master.turn.answer import LATER
from master.turn.steps import RETRY_S, Step
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.messages import Accepted, Beat, Leases, Refused, SubmitTasks
from queue_manager.wire.records import NewBlock
from tests.unit.master.conftest import FakePeer, JumpingLoop, OnRefusal, World, block

from .test_turn import done
from .waiting_store import Play, WaitingStore, commit, new_run, playing

KEYED = NewBlock(1, codec.encode_batch([9]), ["k"])


@pytest.fixture
def wait_in(loop: JumpingLoop) -> Play:
    return playing(loop)


# --- while a commit is on its way ---


def test_beats_are_heard_and_messages_read_and_nobody_is_answered_or_given_a_lease(
    wait_in: Play,
) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run, runner = await new_run(world, store), FakePeer()
        peer, worker = world.worker()
        await commit(world, store)
        world.report(worker, want=2, seq=1)
        await world.turns()
        world.ask(runner, SubmitTasks(1, run.id, [block(2)]))
        await world.turns()
        assert len(store.commits) == 1
        before = worker.heard
        await world.later(5.0)
        world.workers.message(worker, Beat())
        assert worker.heard == before + 5.0
        world.ask(runner, SubmitTasks(2, run.id, [block(1)]))
        world.report(worker, want=1, seq=2)
        await world.later(5.0)
        assert (runner.sent, peer.leases, run.waiting) == ([], [], 0)
        assert len(store.commits) == 1
        store.let_through()
        await world.turns()
        assert runner.sent == [Accepted(1, 2)]
        assert len(peer.leases) > 0
        assert len(store.commits) == 1, "what came meanwhile is the next turn's"
        await commit(world, store)
        assert runner.sent == [Accepted(1, 2), Accepted(2, 1)]
        assert [message.seq for message in peer.of(Leases) if message.seq] == [1, 2]

    wait_in(scene)


def test_an_outcome_counts_only_when_its_commit_is_through(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run = await new_run(world, store)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        peer, worker = world.worker()
        world.report(worker, want=1, seq=1)
        await commit(world, store)
        (lease,) = peer.leases
        world.report(worker, done(lease), seq=2)
        await world.later(1.0)
        assert [message.seq for message in peer.of(Leases)] == [1]
        assert run.last_seq == 0
        await commit(world, store)
        assert [message.seq for message in peer.of(Leases)] == [1, 2]
        assert run.last_seq == 1

    wait_in(scene)


def test_a_turn_that_needs_no_commit_is_not_begun_before_the_one_that_waits(
    wait_in: Play,
) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        order: list[str] = []

        def writes(now: float, wall: float) -> Any:
            world.broker.deliver(codec.encode_batch([1]))
            return lambda: order.append("first")

        world.turn.post(Step(writes))
        await world.turns()
        world.turn.post(Step(lambda now, wall: lambda: order.append("second")))
        await world.later(1.0)
        assert order == []
        await commit(world, store)
        assert order == ["first", "second"]

    wait_in(scene)


def test_progress_that_is_made_meanwhile_is_saved_by_a_later_commit(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run = await new_run(world, store)
        world.broker.collected(run, CollectCursor(3), 0)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        await world.turns()
        world.broker.collected(run, CollectCursor(5), 0)
        store.let_through()
        await world.later(0.0)
        await world.later(1.0)
        await commit(world, store)
        loaded = store.load_run(run.id)
        assert loaded.record.collect_cursor.sequence == 5

    wait_in(scene)


def test_a_read_that_waits_is_waited_for_and_the_loop_goes_on(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run, runner = await new_run(world, store), FakePeer()
        _, worker = world.worker()
        await commit(world, store)
        store.reads_wait = True
        world.ask(runner, SubmitTasks(1, run.id, [KEYED]))
        await world.turns()
        assert (world.turn.is_waiting, run.tasks) == (True, 0)
        world.workers.message(worker, Beat())
        await world.later(0.2)
        await commit(world, store)
        assert runner.sent == [Accepted(1, 1)]
        world.ask(runner, SubmitTasks(2, run.id, [KEYED]))
        await world.later(0.2)
        await commit(world, store)
        assert runner.sent[-1] == Accepted(2, 0)

    wait_in(scene)


def test_a_worker_that_leaves_while_its_coming_is_committed_is_no_more_after_it(
    wait_in: Play,
) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        peer, worker = world.worker(name="w")
        await world.turns()
        assert len(store.commits) == 1
        world.workers.closed(worker)
        await commit(world, store)
        assert peer.welcomed is None
        assert (world.broker.sessions, world.workers.sessions) == ({}, {})

    wait_in(scene)


def test_stopping_waits_for_the_commit_and_for_what_came_meanwhile(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run, runner = await new_run(world, store), FakePeer()
        for seq in (1, 2):
            world.ask(runner, SubmitTasks(seq, run.id, [block(1)]))
            await world.turns()
        stopping = asyncio.ensure_future(world.turn.stop())
        await world.turns()
        assert not stopping.done()
        await commit(world, store)
        await stopping
        assert runner.sent == [Accepted(1, 1), Accepted(2, 1)]

    wait_in(scene)


# --- a commit that is on its way, and fails ---


def test_a_commit_that_fails_refuses_requests_and_stages_the_rest_again(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run, runner, client = await new_run(world, store), FakePeer(), FakePeer()
        world.ask(runner, SubmitTasks(1, run.id, [block(1)]))
        world.tasks.call(client.peer, "put", (1,), {})
        await world.turns()
        store.fail(StoreError("no space left"))
        await world.turns()
        assert [str(error) for error in client.errors] == ["no space left"]
        assert (runner.sent, run.tasks, world.turn.trouble) == ([], 0, "no space left")
        await world.later(2 * RETRY_S)
        await commit(world, store)
        assert (runner.sent, run.tasks, world.turn.trouble) == ([Accepted(1, 1)], 1, "")
        assert world.broker.runs[0].tasks == 0

    wait_in(scene)


@pytest.mark.parametrize("ends", ["cancelled", "MemoryError"])
def test_a_commit_that_is_cancelled_or_has_no_memory_is_undone_and_each_step_tried_by_itself(
    wait_in: Play, ends: str
) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        clients = [FakePeer() for _ in range(4)]
        for number, client in enumerate(clients):
            world.tasks.call(client.peer, "put", (number,), {})
        await world.turns()
        end(store, ends)
        await world.turns()
        assert world.broker.runs[0].waiting == 0
        await commit(world, store)
        assert [client.answers for client in clients] == [[None]] * 4
        assert world.broker.runs[0].tasks == 4

    wait_in(scene)


@pytest.mark.parametrize("ends", ["cancelled", "MemoryError"])
def test_whoever_was_staged_is_answered_though_every_commit_ends_so(
    wait_in: Play, ends: str
) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run, runner = await new_run(world, store), FakePeer()
        clients = [FakePeer() for _ in range(3)]
        for number, client in enumerate(clients):
            world.tasks.call(client.peer, "put", (number,), {})
        world.ask(runner, SubmitTasks(1, run.id, [block(1)]))
        for _ in range(60):
            await world.later(RETRY_S)
            if store.commits:
                end(store, ends)
        await world.turns()
        assert [len(client.errors) for client in clients] == [1, 1, 1]
        assert [type(answer) for answer in runner.sent] == [Refused]
        assert (world.broker.runs[0].tasks, run.tasks) == (0, 0)

    wait_in(scene)


def end(store: WaitingStore, how: str) -> None:
    if how == "cancelled":
        store.cancel()
    else:
        store.fail(MemoryError())


# --- what is published may fail, too ---


@pytest.mark.parametrize("error", [ValueError, MemoryError, asyncio.CancelledError, SystemExit])
def test_everybody_is_answered_whatever_a_publish_or_a_follower_ends_in(
    play: Any, error: type[BaseException]
) -> None:
    async def scene(world: World) -> None:
        answers, errors = [], []

        class Broken:
            def after_commit(self, changes: Changes, now: float) -> None:
                raise error

        def fails() -> None:
            raise error

        world.turn.followers.insert(0, Broken())
        world.turn.post(Step(lambda now, wall: fails, OnRefusal(errors.append)))
        client = FakePeer()
        world.tasks.call(client.peer, "put", (1,), {})
        world.turn.post(Step(lambda now, wall: lambda: answers.append("published")))
        await world.turns()
        assert (client.answers, answers, len(errors)) == ([None], ["published"], 1)

    play(scene)


def test_a_reply_that_a_room_keeps_is_sent_once(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        refused: list[str] = []
        reply = OnRefusal(refused.append)
        world.turn.post(Step(lambda now, wall: lambda: LATER, reply))
        await world.turns()
        assert not reply.is_sent
        reply.refuse("late")
        reply.refuse("later")
        assert refused == ["late"]
        assert "answered twice" in caplog.text

    play(scene)


# --- what the store can't serve ---


def test_a_step_that_the_store_cannot_serve_is_put_off_alone_and_in_its_order(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run, reads = await world.start_run(), []
        read = world.store.read

        def fails(request: Any) -> Any:
            reads.append(request)
            if run.id in request.task_keys:
                raise StoreError("can't read")
            return read(request)

        one, other = FakePeer(), FakePeer()
        good = await world.start_run()
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "read", fails)
            world.ask(one, SubmitTasks(1, run.id, [KEYED]))
            world.ask(one, SubmitTasks(2, run.id, [block(1)]))
            for seq in range(1, 4):
                world.ask(other, SubmitTasks(seq, good.id, [KEYED]))
            await world.turns()
            assert [answer.seq for answer in other.sent] == [1, 2, 3]
            assert one.sent == []
            assert len(reads) == 5, "all at once, and then each by itself"
        await world.later(2 * RETRY_S)
        assert one.sent == [Accepted(1, 1), Accepted(2, 1)]

    play(scene)


def test_all_that_a_turn_needs_is_read_in_one_request(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run, reads = await world.start_run(), []
        read = world.store.read
        monkeypatch.setattr(world.store, "read", lambda wanted: reads.append(1) or read(wanted))
        peers = [FakePeer() for _ in range(5)]
        for number, peer in enumerate(peers):
            keyed = NewBlock(1, codec.encode_batch([number]), [f"k{number % 3}"])
            world.ask(peer, SubmitTasks(1, run.id, [keyed]))
        await world.turns()
        assert [peer.sent[0].tasks for peer in peers] == [1, 1, 1, 0, 0]
        assert len(reads) == 1

    play(scene)


def test_the_progress_since_the_last_turn_is_written_at_the_end(wait_in: Play) -> None:
    async def scene(world: World, store: WaitingStore) -> None:
        run = await new_run(world, store)
        world.broker.collected(run, CollectCursor(3), 0)
        writing = asyncio.ensure_future(world.turn.write_rest())
        await world.turns()
        assert (len(store.commits), writing.done()) == (1, False)
        await commit(world, store)
        await writing
        loaded = store.load_run(run.id)
        assert loaded is not None
        assert loaded.record.collect_cursor.number == 3

    wait_in(scene)

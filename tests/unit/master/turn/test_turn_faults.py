"""What goes wrong in a turn, and that it harms nobody but whose step it was.

The table of docs/design.md, "When a turn fails", a test for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from master.changes import Changes
from master.server.workers.workers import UNREAD_S
from master.turn.steps import HELD_S, RETRY_S, HeldSteps, Step
from queue_manager import codec
from queue_manager.errors import StoreError, UnstorableError
from queue_manager.wire.messages import Accepted, Leases, Refused, SubmitTasks
from queue_manager.wire.records import Done, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, World, block

from .test_turn import done

KEYED = NewBlock(1, codec.encode_batch([9]), ["k"])


def unreadable(*_: Any) -> Any:
    raise StoreError("can't read queue.sqlite3: disk I/O error")


def only(run: int, read: Callable[..., Any]) -> Callable[..., Any]:
    """A store of which what one run has can't be read."""
    return lambda number, *args: unreadable() if number == run else read(number, *args)


# --- what is read while a step is staged ---


def test_a_run_whose_keys_cannot_be_read_holds_up_no_other_run(
    play: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        bad, good = await world.start_run(), await world.start_run()
        monkeypatch.setattr(world.store, "taken_keys", only(bad.id, world.store.taken_keys))
        runner, other = FakePeer(), FakePeer()
        world.ask(runner, SubmitTasks(1, bad.id, [KEYED]))
        world.ask(runner, SubmitTasks(2, bad.id, [block(1)]))
        world.ask(other, SubmitTasks(1, good.id, [KEYED]))
        await world.turns()
        assert other.sent == [Accepted(1, 1)]
        await world.later(HELD_S / 2)
        assert (runner.sent, bad.tasks) == ([], 0)  # in their order, so not the second either
        await world.later(HELD_S)
        assert [type(answer) for answer in runner.sent] == [Refused, Refused]
        assert not world.turn.held
        assert caplog.text.count("disk I/O error") == 1

    play(scene)


def test_an_outcome_whose_follow_ups_cannot_be_looked_up_fails_its_task_alone(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        options = RunOptions(attempts=1)
        bad, good = await world.start_run(options=options), await world.start_run()
        for run in (bad, good):
            world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        monkeypatch.setattr(world.store, "taken_keys", only(bad.id, world.store.taken_keys))
        of = {lease.run: lease for lease in peer.leases}
        one, two = of[bad.id], of[good.id]
        follows = Done(one.number, 0, 1, codec.encode_batch([1]), 0.0, [KEYED])
        world.report(worker, done(two), follows, seq=2)
        await world.later(UNREAD_S / 2)
        assert (good.done, peer.closed) == (0, False)
        await world.later(UNREAD_S)
        assert (good.done, bad.dead) == (1, 1)
        assert [message.seq for message in peer.of(Leases)] == [1, 2]
        letter = world.store.read_task(bad.id, 1)
        assert letter is not None
        assert letter.tracked is not None
        assert "can't be recorded: can't read queue.sqlite3" in letter.tracked.error

    play(scene)


def test_a_lane_that_cannot_be_read_ahead_holds_up_no_other(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(world: World) -> None:
        for _ in range(2):
            run = await world.start_run()
            world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
            await world.turns()

    async def after(world: World) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "read_waiting", only(1, world.store.read_waiting))
            peer, worker = world.worker()
            world.report(worker, want=2)
            await world.later(3 * RETRY_S)
            assert [lease.run for lease in peer.leases] == [2]
        await world.later(2 * RETRY_S)
        assert [lease.run for lease in peer.leases] == [2, 1]

    play(before, after)


@pytest.mark.usefixtures("apart")
def test_tasks_whose_payload_cannot_be_read_keep_no_worker_from_others(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        bad, good = await world.start_run(), await world.start_run()
        for run in (bad, good):
            world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)] * 2))
        await world.turns()
        get = world.turn.bodies.get
        with monkeypatch.context() as patched:
            patched.setattr(
                world.turn.bodies, "get", lambda b: unreadable() if b in (1, 2) else get(b)
            )
            peer, worker = world.worker()
            world.report(worker, want=4)
            await world.turns()
            assert [lease.run for lease in peer.leases] == [good.id, good.id]
        await world.later(3.0)
        world.workers.tick(world.loop.time())
        await world.turns()
        assert [lease.run for lease in peer.leases] == [good.id, good.id, bad.id, bad.id]

    play(scene)


# --- a commit that fails ---


def fails(world: World, monkeypatch: Any, is_bad: Callable[[Changes], bool]) -> None:
    """The commit of some changes ends in an error of the machine's."""
    write = world.store.commit

    def broken(changes: Changes) -> None:
        if is_bad(changes):
            raise MemoryError
        write(changes)

    monkeypatch.setattr(world.store, "commit", broken)


def test_an_error_in_a_commit_is_undone_and_each_step_is_tried_by_itself(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that was not answered must not be committed by a turn of somebody else."""

    async def scene(world: World) -> None:
        fails(world, monkeypatch, lambda changes: sum(block.count for block in changes.blocks) > 1)
        clients = [FakePeer() for _ in range(3)]
        for number, client in enumerate(clients):
            world.tasks.call(client.peer, "put", (number,), {})
        await world.turns()
        assert [client.answers for client in clients] == [[None]] * 3
        assert world.broker.runs[0].tasks == 3
        (found,) = world.store.read_waiting(0, None, None, 99)[0]
        assert found.ranges == [(0, 3)]

    play(scene)


def test_a_step_whose_commit_fails_by_itself_is_refused_and_no_other(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        bad = codec.encode_batch([13])
        fails(world, monkeypatch, lambda changes: any(b.body == bad for b in changes.blocks))
        one, other = FakePeer(), FakePeer()
        world.tasks.call(one.peer, "put", (13,), {})
        world.tasks.call(other.peer, "put", (1,), {})
        runner = FakePeer()
        world.ask(runner, SubmitTasks(1, run.id, [NewBlock(1, bad)]))
        await world.turns()
        assert (len(one.errors), other.answers) == (1, [None])
        assert "MemoryError" in str(one.errors[0])
        await world.later(2 * HELD_S)
        assert [type(answer) for answer in runner.sent] == [Refused]
        assert (world.broker.runs[0].tasks, run.tasks) == (1, 0)

    play(scene)


def test_the_end_of_a_session_is_never_refused(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1)]))
        _, worker = world.worker()
        world.report(worker, want=1)
        await world.turns()
        with monkeypatch.context() as patched:
            fails(world, patched, lambda changes: bool(changes.tracked))
            world.workers.closed(worker)
            await world.later(2 * HELD_S)
            assert run.leased == 1
        await world.later(2 * RETRY_S)
        assert (run.leased, run.waiting, len(world.broker.sessions)) == (0, 1, 0)

    play(scene)


def test_what_can_never_be_stored_is_refused_at_once_and_waits_for_no_disk(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        bad = codec.encode_batch([13])
        write = world.store.commit

        def picky(changes: Changes) -> None:
            if any(b.body == bad for b in changes.blocks):
                raise UnstorableError("can't write: an integer is too large")
            write(changes)

        monkeypatch.setattr(world.store, "commit", picky)
        runner, client = FakePeer(), FakePeer()
        world.ask(runner, SubmitTasks(1, run.id, [NewBlock(1, bad)]))
        world.tasks.call(client.peer, "put", (1,), {})
        await world.turns()
        assert [type(answer) for answer in runner.sent] == [Refused]
        assert client.answers == [None]
        assert world.turn.trouble == ""

    play(scene)


@pytest.mark.parametrize(
    "error", [MemoryError(), StoreError("no space left")], ids=["ours", "disk"]
)
def test_an_error_in_an_undo_leaves_nobody_unanswered(
    play: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def scene(world: World) -> None:
        job = await world.start_run()
        write, failures = world.store.commit, [error]

        def broken(changes: Changes) -> None:
            if failures:
                raise failures.pop()
            write(changes)

        def stage(now: float, wall: float) -> None:
            if failures:
                world.broker.journal.undo_by(lambda: 1 / 0)

        monkeypatch.setattr(world.store, "commit", broken)
        run, runner = world.broker.runs[0], FakePeer()
        world.turn.post(Step(stage))
        world.ask(runner, SubmitTasks(1, job.id, [block(1)]))
        client = FakePeer()
        world.tasks.call(client.peer, "put", (1,), {})
        await world.later(2 * RETRY_S)
        assert len(client.answers) + len(client.errors) == 1
        assert len(runner.sent) == 1
        assert run.tasks == len(client.answers)

    play(scene)


def test_an_error_behind_the_commit_leaves_no_answer_out(play: Any) -> None:
    async def scene(world: World) -> None:
        def stage(now: float, wall: float) -> None:
            world.broker.journal.when_committed(lambda: 1 / 0)

        client = FakePeer()
        world.turn.post(Step(stage))
        world.tasks.call(client.peer, "put", (1,), {})
        await world.turns()
        assert client.answers == [None]
        assert world.broker.runs[0].waiting == 1

    play(scene)


# --- sessions that come and go while the disk is full ---


def test_nothing_stays_of_hellos_that_were_given_up_on_a_full_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        world.store.full = True
        for at in range(600):
            _, worker = world.worker(name=f"w{at % 3}")
            await world.turns(1)
            world.workers.closed(worker)
        await world.later(RETRY_S)
        assert world.turn._steps == []
        world.store.full = False
        peer, _ = world.worker(name="w0")
        await world.later(2 * RETRY_S)
        assert peer.welcomed == []
        assert len(world.broker.sessions) == len(world.workers.sessions) == 1
        assert len(world.workers._by_worker) == 1

    play(scene)


# --- what came behind a step that failed ---


@pytest.mark.usefixtures("apart")
def test_what_a_worker_says_behind_an_outcome_that_is_held_does_not_overtake_it(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the first outcome of an exchange was staged before the second could not be read."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(1), block(1)]))
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        one, two = peer.leases
        follows = Done(two.number, 0, 1, codec.encode_batch([1]), 0.0, [KEYED])
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "taken_keys", unreadable)
            world.report(worker, done(one), follows, seq=2)
            world.workers.closed(worker)
            await world.turns()
        await world.later(2 * RETRY_S)
        assert (run.done, run.tasks, world.broker.refused) == (2, 3, 0)

    play(scene)


def test_what_came_of_a_step_stays_when_the_disk_fails_at_the_next_one(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        done: list[str] = []
        write, commits = world.store.commit, [0]

        def broken(changes: Changes) -> None:
            commits[0] += 1
            if commits[0] == 1:
                raise MemoryError
            if commits[0] == 3:
                raise StoreError("no space left")
            write(changes)

        def after() -> None:
            world.turn.post(Step(lambda now, wall: done.append("after")))

        client = FakePeer()
        monkeypatch.setattr(world.store, "commit", broken)

        def first(now: float, wall: float) -> Callable[[], None]:
            world.broker.deliver(codec.encode_batch([1]))
            return after

        world.turn.post(Step(first))
        world.tasks.call(client.peer, "put", (1,), {})
        await world.later(2 * RETRY_S)
        assert (done, len(client.errors)) == (["after"], 1)

    play(scene)


def test_a_step_that_is_held_puts_off_no_other() -> None:
    held, first, late = (
        HeldSteps(),
        *(Step(lambda now, wall: None, retry_on_store_error=True) for _ in range(2)),
    )
    held.hold([first], "can't be read", 0.0)
    held.hold([late], "can't be read", RETRY_S / 2)
    assert held.take([], RETRY_S) == [first, late]


def test_what_could_not_be_read_and_then_not_be_written_is_carried_out_once(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run, runner = await world.start_run(), FakePeer()
        with monkeypatch.context() as patched:
            patched.setattr(world.store, "taken_keys", unreadable)
            world.ask(runner, SubmitTasks(1, run.id, [KEYED, block(1)]))
            await world.turns()
        world.store.full = True
        await world.later(2 * RETRY_S)
        assert (world.turn.trouble == "", runner.sent) == (False, [])
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert (run.tasks, runner.sent) == (2, [Accepted(1, 2)])

    play(scene)


def test_a_client_gets_no_task_before_the_one_behind_it_is_settled(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QUEUE_STOCK_ACK=next: else the task that it was just given is settled with the other."""

    async def scene(world: World) -> None:
        bad = codec.encode_batch([13])
        fails(world, monkeypatch, lambda changes: any(b.body == bad for b in changes.blocks))
        producer, worker = FakePeer(), FakePeer()
        for number in (1, 2):
            world.tasks.call(producer.peer, "put", (number,), {})
        world.tasks.call(worker.peer, "get", (), {})
        await world.turns()
        for number in (13, 3):
            world.tasks.call(FakePeer().peer, "put", (number,), {})
        world.tasks.call(worker.peer, "get", (), {})
        await world.turns()
        run = world.broker.runs[0]
        assert (worker.answers, run.done, run.leased) == ([1, 2], 1, 1)

    play(scene, ack="next")

"""No turn holds the loop for long, and nobody has more on its way than it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from master.server.workers.grants import GIVE_S, MOST_SLOTS
from master.server.workers.workers import SILENT_S
from master.turn.stage import STAGE_S, STEPS, TURN_BYTES
from master.turn.steps import RETRY_S, Step
from queue_manager import codec
from queue_manager.server.connection import UNREAD_BYTES
from queue_manager.wire.messages import Collect, Page, StartRun, SubmitTasks
from queue_manager.wire.records import FRAME_BYTES, Done, Failed, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, OnRefusal, World, block

MIB = 1024 * 1024


def counting(world: World, count: int, took_s: float = 0.0) -> list[int]:
    """So many steps, each of which takes that long; the list has what was staged, in order."""
    staged: list[int] = []

    def stage(number: int) -> None:
        staged.append(number)
        world.loop.now += took_s

    for number in range(count):
        world.turn.post(Step(lambda now, wall, number=number: stage(number)))  # type: ignore[misc]
    return staged


async def a_turn(world: World) -> None:
    await asyncio.sleep(0)


# --- what is staged ---


def test_a_flood_of_steps_is_staged_in_several_turns_in_order(play: Any) -> None:
    async def scene(world: World) -> None:
        await world.turns()
        count = 3 * STEPS + 10
        staged = counting(world, count)
        for part in (1, 2, 3):
            await a_turn(world)
            assert len(staged) == part * STEPS
            assert world.turn.behind  # nothing more is heard of anybody
        await a_turn(world)
        assert staged == list(range(count))
        assert not world.turn.behind

    play(scene)


def test_steps_that_take_long_share_no_turn(play: Any) -> None:
    async def scene(world: World) -> None:
        await world.turns()
        staged = counting(world, 9, took_s=STAGE_S * 0.6)
        await a_turn(world)
        assert len(staged) == 2
        world.turn.post(Step(lambda now, wall: staged.append(9)))
        await world.turns(9)
        assert staged == list(range(10))

    play(scene)


def test_messages_of_many_bytes_share_no_turn(play: Any) -> None:
    """Else a busy disk takes longer for a commit than a connection lasts that nobody reads."""

    async def scene(world: World) -> None:
        run = await world.start_run()
        large = codec.encode_batch([b"x" * (TURN_BYTES * 2 // 3)])
        runner = FakePeer()
        world.ask(runner, SubmitTasks(0, run.id, [block(1), block(1)]))
        peer, worker = world.worker()
        await world.turns()
        world.report(worker, want=2)
        await world.turns()
        for seq, lease in enumerate(peer.leases, 1):
            world.report(worker, Done(lease.number, lease.start, lease.stop, large, 0.0), seq=seq)
        for seq in (1, 2):
            world.ask(runner, SubmitTasks(seq, run.id, [NewBlock(1, large)]))
        committed = []
        while run.done < 2 or run.tasks < 4:
            await a_turn(world)
            committed.append((run.done, run.tasks))
        assert sorted(set(committed)) == [(0, 2), (1, 2), (2, 2), (2, 3), (2, 4)][1:]

    play(scene)


def test_what_is_no_result_and_no_payload_of_ours_counts_too(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of failures, code that comes with a start, and what standard-library clients put."""

    async def scene(world: World) -> None:
        _, worker = world.worker()
        await world.turns()
        sizes: list[int] = []
        post = world.turn.post

        def noting(step: Step) -> None:
            sizes.append(step.size_bytes)
            post(step)

        monkeypatch.setattr(world.turn, "post", noting)
        texts: dict[str, Any] = {"evidence": "x" * 2_000, "printed": "x" * 3_000}
        world.report(worker, Failed(1, 0, "x" * 1_000, raised=b"x" * 4_000, **texts))
        code = {"job.py": b"x" * 5_000}
        ask = StartRun(1, "job", [], feeder="client", code=code, options=RunOptions())
        await world.runs.start(ask, RunOptions(feeder="client"), "version")
        script = FakePeer("script")
        for face in (world.tasks, world.results):
            face.call(script.peer, "put", ("x" * 900,), {})
        assert sizes[:2] == [10_000, 5_000]
        assert len(sizes) == 4
        assert min(sizes[2:]) >= 900

    play(scene)


def test_the_last_turns_carry_out_all_that_has_come(play: Any) -> None:
    async def scene(world: World) -> None:
        await world.turns()
        staged = counting(world, 2 * STEPS + 1)
        await world.turn.stop()
        assert len(staged) == 2 * STEPS + 1

    play(scene)


def test_behind_a_full_disk_nobody_waits_for_a_turn_that_does_not_come(play: Any) -> None:
    """Of many steps all are refused at once, or wait for the disk; and the loop is left alone."""

    async def scene(world: World) -> None:
        await world.turns()
        refused: list[str] = []
        waited = [0]

        def stage(now: float, wall: float) -> None:
            world.broker.deliver(codec.encode_batch([1]))

        def late(now: float, wall: float) -> Callable[[], None]:
            stage(now, wall)
            return lambda: waited.__setitem__(0, waited[0] + 1)

        world.store.full = True
        for _ in range(STEPS):
            world.turn.post(Step(late, retry_on_store_error=True))
        for _ in range(STEPS):
            world.turn.post(Step(stage, OnRefusal(refused.append)))
        await a_turn(world)
        assert (len(refused), waited, world.turn.behind) == (STEPS, [0], False)
        world.store.full = False
        await world.later(2 * RETRY_S)
        assert waited == [STEPS]

    play(scene)


@pytest.mark.usefixtures("apart")
def test_one_bad_step_among_many_costs_few_turns(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a commit for each of them, which would be as many times the disk's wait."""

    async def scene(world: World) -> None:
        await world.turns()
        errors: list[str] = []
        bad = codec.encode_batch([13])
        write, commits = world.store.commit, [0]

        def broken(changes: Any) -> None:
            commits[0] += 1
            if any(b.body == bad for b in changes.blocks):
                raise MemoryError
            write(changes)

        monkeypatch.setattr(world.store, "commit", broken)
        run = world.broker.runs[0]

        def put(body: bytes) -> Callable[[float, float], None]:
            new = NewBlock(1, body)
            return lambda now, wall: world.broker.submit(run, new, now, wall, False) and None

        for number in range(1_000):
            body = bad if number == 700 else codec.encode_batch([1])
            world.turn.post(Step(put(body), OnRefusal(errors.append)))
        await world.turns(60)
        assert (run.tasks, len(errors)) == (999, 1)
        assert commits[0] < 80

    play(scene)


# --- what is given ---


async def forty(world: World) -> None:
    """A run with forty tasks, each a block of its own."""
    run = await world.start_run()
    blocks = [block(1) for _ in range(40)]
    world.ask(FakePeer(), SubmitTasks(1, run.id, blocks))


def give_slowly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on four leases take as long as leases are given for in a turn."""
    made = world.turn.lease_message

    def slowly(lease: Any) -> Any:
        world.loop.now += GIVE_S / 4
        return made(lease)

    monkeypatch.setattr(world.turn, "lease_message", slowly)


def test_leases_are_given_for_a_while_and_then_in_the_next_turns(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        await forty(world)
        await world.turns()
        give_slowly(world, monkeypatch)
        peer, worker = world.worker(slots=MOST_SLOTS)
        world.report(worker, want=40, free=99)
        await a_turn(world)
        assert 4 <= len(peer.leases) <= 6
        await world.turns(20)
        assert len(peer.leases) == 40

    play(scene)


def test_a_round_of_leases_ends_in_its_midst_and_those_left_over_are_next(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand workers one lease for each would take too long."""

    async def scene(world: World) -> None:
        await forty(world)
        everyone = [world.worker(name=f"w{n}") for n in range(40)]
        await world.turns()
        give_slowly(world, monkeypatch)
        for _, worker in everyone:
            world.report(worker, want=1)
        await a_turn(world)
        assert 4 <= sum(len(peer.leases) for peer, _ in everyone) <= 6
        await world.turns(20)
        assert [len(peer.leases) for peer, _ in everyone] == [1] * 40

    play(scene)


async def large(world: World, count: int) -> Any:
    """A run with tasks of a MiB."""
    run = await world.start_run()
    body = codec.encode_batch([b"x" * (MIB - 100)])
    for seq in range(count):
        world.ask(FakePeer(), SubmitTasks(seq, run.id, [NewBlock(1, body)]))
    await world.turns()
    return run


def reads_nothing(peer: FakePeer) -> None:
    """What is sent to it waits there."""
    send = peer.send_frame

    def unread(body: bytes) -> None:
        send(body)
        peer.unread_bytes += len(body)

    peer.send_frame = unread  # type: ignore[method-assign]


def test_a_program_that_never_reads_is_given_few_of_the_pages_that_it_asks_for(play: Any) -> None:
    """It may collect a hundred runs at a time. It would be cut off, and come back to ask again."""

    async def scene(world: World) -> None:
        runs = []
        leased, worker = world.worker(slots=10)
        for seq in range(10):
            run = await world.start_run()
            world.ask(FakePeer(), SubmitTasks(0, run.id, [block(1)]))
            world.report(worker, want=1, seq=seq)
            await world.turns()
            lease = leased.leases[-1]
            world.report(worker, Done(lease.number, 0, 1, codec.encode_batch([b"x" * MIB]), 0.0))
            runs.append(run)
        peer = FakePeer()
        reads_nothing(peer)
        for seq, run in enumerate(runs):
            world.ask(peer, Collect(seq, run.id, 0))
        await world.turns(20)
        assert UNREAD_BYTES < peer.unread_bytes < UNREAD_BYTES + 2 * MIB
        for _ in range(6):
            peer.unread_bytes = 0
            peer.on_read()
            await world.turns(5)
        assert len(peer.of(Page)) == 10

    play(scene)


def test_a_worker_that_never_reads_is_given_one_frame_of_leases(play: Any) -> None:
    """It may ask for thousands of leases, each with a payload of a MiB."""

    async def scene(world: World) -> None:
        await large(world, 40)
        peer, worker = world.worker(slots=MOST_SLOTS)
        reads_nothing(peer)
        for seq in range(1, 5):
            world.report(worker, want=MOST_SLOTS, seq=seq, free=9_999)
        await world.turns(20)
        assert peer.unread_bytes < FRAME_BYTES + 2 * MIB
        assert worker.session.wanted
        for _ in range(6):
            peer.unread_bytes = 0
            peer.on_read()
            await world.turns(5)
        assert len(peer.leases) == 40  # it has read on, so it gets the others

    play(scene)


def test_large_leases_come_one_frame_after_the_other_where_the_network_takes_them(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        await large(world, 40)
        peer, worker = world.worker(slots=64)
        world.report(worker, want=40, free=99)
        await a_turn(world)
        assert 0 < len(peer.leases) < 20
        await world.turns(20)
        assert len(peer.leases) == 40

    play(scene)


def test_who_reads_slowly_is_not_silent_and_who_reads_nothing_is(play: Any) -> None:
    """Nothing is heard of either while much is on its way to them."""

    async def scene(world: World) -> None:
        slow, _ = world.worker(name="slow")
        frozen, _ = world.worker(name="frozen")
        await world.turns()
        for peer in (slow, frozen):
            peer.unread_bytes = 8 * MIB
        for _ in range(2 * int(SILENT_S)):
            slow.unread_bytes -= MIB // 8
            await world.later(1.0)
            world.workers.tick(world.loop.time())
        assert (slow.closed, frozen.closed) == (False, True)

    play(scene)

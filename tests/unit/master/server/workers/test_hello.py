"""Workers come, go on in a new session, are stopped by our word, and come back after a restart."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from master.server.workers.workers import SILENT_S
from master.turn.steps import RETRY_S
from queue_manager import codec
from queue_manager.errors import ProtocolError, StoreError
from queue_manager.wire.messages import Leases, SubmitTasks, Welcome
from queue_manager.wire.records import Done, HeldLease, Lease, NewBlock, RunOptions
from tests.unit.master.conftest import FakePeer, World, block


async def submit(world: World, run: Any, *blocks: NewBlock) -> None:
    world.ask(FakePeer(), SubmitTasks(1, run.id, list(blocks)))
    await world.turns()


async def leased(world: World, tasks: int = 1, size: int = 1) -> tuple[Any, FakePeer, Any, Lease]:
    """A run with tasks, and the worker `x` that has some of them."""
    run = await world.start_run()
    await submit(world, run, block(tasks))
    run.size = size
    peer, worker = world.worker(name="x")
    await world.turns()
    world.report(worker, want=1)
    await world.turns()
    return run, peer, worker, peer.leases[0]


def held(lease: Lease, *ranges: tuple[int, int]) -> HeldLease:
    where = list(ranges) or [(lease.start, lease.stop)]
    return HeldLease(lease.number, lease.run, lease.block, where)


def done(lease: Lease, start: int | None = None, stop: int | None = None) -> Done:
    a = lease.start if start is None else start
    b = lease.stop if stop is None else stop
    return Done(lease.number, a, b, codec.encode_batch([0] * (b - a)), 1.0)


# --- a worker comes ---


def test_a_worker_is_welcomed_and_gets_leases_once_it_is_known_on_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(1))
        world.store.full = True
        peer, worker = world.worker(name="x")
        world.report(worker, want=1)
        await world.later(3 * RETRY_S)
        assert peer.sent == []
        assert not world.workers.sessions
        assert run.leased == 0
        world.store.full = False
        await world.later(RETRY_S)
        assert [type(message) for message in peer.sent] == [Welcome, Leases]
        assert world.store.reopen().workers == {"x"}
        assert len(peer.leases) == 1
        assert worker.coming is None  # it would keep all that the hello held

    play(scene)


def test_a_worker_gets_what_its_tags_allow_and_the_log_names_them(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run(options=RunOptions(needs=["gpu"]))
        await submit(world, run, block(2))
        plain, tagged = world.worker(), world.worker(tags=["ssd", "gpu", "gpu"])
        for _, worker in (plain, tagged):
            world.report(worker, want=1)
        await world.turns()
        assert [len(peer.leases) for peer, _ in (plain, tagged)] == [0, 1]
        assert tagged[1].session.tags == {"ssd", "gpu"}

    caplog.set_level(logging.INFO)
    play(scene)
    assert "worker host/1 connected with 1 slot(s), tags gpu,ssd" in caplog.messages
    assert "worker host/1 connected with 1 slot(s)" in caplog.messages


@pytest.mark.parametrize("tag", ["", "a b", "\x1b[2J"])
def test_a_hello_with_what_is_no_tag_is_refused(play: Any, tag: str) -> None:
    async def scene(world: World) -> None:
        with pytest.raises(ProtocolError, match="is no tag"):
            world.worker(tags=["gpu", tag])
        await world.turns()
        assert not world.broker.sessions

    play(scene)


def test_a_worker_that_is_gone_before_it_was_welcomed_is_not(play: Any) -> None:
    async def scene(world: World) -> None:
        peer, worker = world.worker(name="x")
        world.workers.closed(worker)
        await world.turns()
        await world.later(1.0)
        assert peer.sent == []
        assert not world.workers.sessions
        assert not world.broker.sessions
        assert world.store.reopen().workers == set()

    play(scene)


@pytest.mark.parametrize(("slots", "taken"), [(-3, 1), (0, 1), (3, 3), (10**12, 4_096)])
def test_a_worker_has_a_number_of_slots_that_makes_sense(play: Any, slots: int, taken: int) -> None:
    async def scene(world: World) -> None:
        _, worker = world.worker(slots)
        await world.turns()
        assert worker.session.slots == taken

    play(scene)


@pytest.mark.parametrize(
    "wrong",
    [
        [HeldLease(1, 1, 1, [(0, 1)]), HeldLease(1, 1, 1, [(1, 2)])],
        [HeldLease(1, 1, 1, [])],
        [HeldLease(1, 1, 1, [(1, 1)])],
        [HeldLease(1, 1, 1, [(2, 1)])],
        [HeldLease(1, 1, 1, [(-1, 1)])],
        [HeldLease(1, 1, 1, [(0, 3), (2, 4)])],
        [HeldLease(1, 1, 1, [(4, 5), (0, 1)])],
    ],
    ids=str,
)
def test_a_hello_that_holds_what_makes_no_sense_is_refused(
    play: Any, wrong: list[HeldLease]
) -> None:
    async def scene(world: World) -> None:
        with pytest.raises(ProtocolError):
            world.worker(name="x", held=wrong)
        await world.turns()
        assert not world.broker.sessions

    play(scene)


# --- after a restart of the master ---


def test_what_a_worker_holds_goes_on_after_a_restart_and_is_recorded(play: Any) -> None:
    leases: list[Lease] = []

    async def before(world: World) -> None:
        _, _, worker, lease = await leased(world, 6, size=4)
        world.report(worker, done(lease, 0, 1))
        await world.turns()
        leases.append(lease)

    async def after(world: World) -> None:
        (lease,) = leases
        world.broker.await_known_workers(world.store.workers, 5.0)
        peer, worker = world.worker(name="x", held=[held(lease, (0, 4))])
        await world.turns()
        assert peer.welcomed == [held(lease, (1, 4))]
        world.report(worker, done(lease, 1, 4), want=9)
        await world.turns()
        run = world.broker.runs[1]
        assert (run.done, run.leased, world.broker.refused) == (4, 2, 0)
        assert {le.start for le in peer.leases} <= {4, 5}

    play(before, after)


def test_what_a_worker_held_is_kept_once_as_its_leases(play: Any) -> None:
    leases: list[Lease] = []

    async def before(world: World) -> None:
        leases.append((await leased(world, 6, size=4))[3])

    async def after(world: World) -> None:
        _, worker = world.worker(name="x", held=[held(leases[0])])
        await world.turns()
        assert worker.hello.held == []
        assert list(worker.session.leases) == [leases[0].number]

    play(before, after)


@pytest.mark.usefixtures("apart")
def test_what_is_held_of_blocks_that_can_t_be_read_is_left_out_in_one_line(
    play: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def before(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, *[block(1) for _ in range(9)])

    async def after(world: World) -> None:
        read = world.store.read_blocks

        def broken(parts: Any) -> Any:
            if {2, 5, 9}.intersection(parts):
                raise StoreError("bad disk")
            return read(parts)

        monkeypatch.setattr(world.store, "read_blocks", broken)
        mine = [HeldLease(1 << 32 | n, 1, n, [(0, 1)]) for n in range(1, 10)]
        peer, _ = world.worker(name="x", held=mine)
        await world.turns()
        assert peer.welcomed == [one for one in mine if one.block not in (2, 5, 9)]

    play(before, after)
    told = [line for line in caplog.messages if "is not recognized" in line]
    assert told == ["bad disk; what is held of 3 block(s) is not recognized"]


def test_a_master_that_starts_again_gives_nothing_until_the_known_workers_came(play: Any) -> None:
    leases: list[Lease] = []

    async def before(world: World) -> None:
        leases.append((await leased(world, 3))[3])

    async def after(world: World) -> None:
        assert world.store.workers == {"x"}
        world.broker.await_known_workers(world.store.workers, 5.0)
        early, worker = world.worker(name="y")
        await world.turns()
        world.report(worker, want=1)
        await world.later(4.0)
        assert not early.leases
        world.worker(name="x", held=[held(leases[0])])
        await world.turns()
        assert [lease.start for lease in early.leases] == [1]

    play(before, after)


def test_after_5_s_it_does_not_wait_for_a_known_worker_any_more(play: Any) -> None:
    async def before(world: World) -> None:
        await leased(world)

    async def after(world: World) -> None:
        world.broker.await_known_workers(world.store.workers, 5.0)
        peer, worker = world.worker(name="y")
        world.report(worker, want=1)
        await world.later(4.9)
        assert not peer.leases
        await world.later(0.2)
        assert len(peer.leases) == 1

    play(before, after)


def test_a_worker_that_left_is_not_waited_for_after_a_restart(play: Any) -> None:
    async def before(world: World) -> None:
        _, worker = world.worker(name="x")
        await world.turns()
        world.workers.closed(worker)
        await world.later(1.0)

    async def after(world: World) -> None:
        assert world.store.workers == set()

    play(before, after)


def test_one_that_comes_too_late_takes_nothing_from_the_one_that_has_the_newer_lease(
    play: Any,
) -> None:
    leases: list[Lease] = []

    async def before(world: World) -> None:
        leases.append((await leased(world, 1))[3])

    async def after(world: World) -> None:
        peer, worker = world.worker(name="y")
        world.report(worker, want=1)
        await world.turns()
        assert len(peer.leases) == 1
        late, again = world.worker(name="x", held=[held(leases[0])])
        await world.turns()
        assert late.welcomed == []
        world.report(again, done(leases[0]), seq=7)
        await world.turns()
        assert late.sent[-1] == Leases(7, [], 1)
        assert peer.revoked == []

    play(before, after)


def test_one_that_holds_an_older_lease_of_the_same_is_told_to_stop(play: Any) -> None:
    leases: list[Lease] = []

    async def before(world: World) -> None:
        leases.append((await leased(world, 1))[3])

    async def after(world: World) -> None:
        (lease,) = leases
        stale, _ = world.worker(name="x", held=[held(lease)])
        await world.turns()
        newer = HeldLease(lease.number + 1, lease.run, lease.block, [(0, 1)])
        peer, _ = world.worker(name="y", held=[newer])
        await world.turns()
        assert peer.welcomed == [newer]
        world.turn.wake()
        await world.turns()
        assert stale.revoked == [lease.number]
        assert world.broker.runs[1].leased == 1

    play(before, after)


# --- a new session of a worker that is still here ---


def test_a_worker_takes_over_its_own_old_session(play: Any) -> None:
    async def scene(world: World) -> None:
        run, old_peer, old, lease = await leased(world, 6, size=4)
        peer, worker = world.worker(name="x", held=[held(lease, (1, 4))])
        await world.turns()
        assert peer.welcomed == [held(lease, (1, 4))]
        assert old_peer.closed
        assert list(world.workers.sessions.values()) == [worker]
        world.workers.closed(old)
        world.report(old, done(lease, 1, 2), seq=3)
        world.report(worker, done(lease, 1, 4), seq=4)
        await world.turns()
        assert (run.done, run.waiting, run.leased, run.tracked) == (3, 3, 0, 0)
        assert world.broker.refused == 1

    play(scene)


def test_two_hellos_of_a_worker_in_one_turn_leave_the_last_one(play: Any) -> None:
    async def scene(world: World) -> None:
        run, _, _, lease = await leased(world)
        first, _ = world.worker(name="x", held=[held(lease)])
        second, last = world.worker(name="x", held=[held(lease)])
        await world.turns()
        assert first.closed
        assert second.welcomed == [held(lease)]
        assert list(world.workers.sessions.values()) == [last]
        assert (run.leased, run.tracked) == (1, 0)
        world.report(last, done(lease))
        await world.turns()
        assert run.done == 1

    play(scene)


def test_a_take_over_that_the_store_refuses_for_a_while_happens_later(play: Any) -> None:
    async def scene(world: World) -> None:
        run, old_peer, _, lease = await leased(world)
        world.store.full = True
        peer, worker = world.worker(name="x", held=[held(lease)])
        await world.later(3 * RETRY_S)
        assert (peer.sent, old_peer.closed) == ([], False)
        world.store.full = False
        await world.later(RETRY_S)
        assert (peer.welcomed, old_peer.closed) == ([held(lease)], True)
        world.report(worker, done(lease))
        await world.turns()
        assert (run.done, world.broker.refused) == (1, 0)

    play(scene)


def test_a_worker_without_an_id_takes_over_nobody(play: Any) -> None:
    async def scene(world: World) -> None:
        world.worker()
        world.worker()
        await world.turns()
        assert len(world.workers.sessions) == 2

    play(scene)


def test_the_tasks_of_a_worker_that_falls_silent_go_to_the_next_one(play: Any) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, _ = await leased(world)
        await world.later(SILENT_S + 1.0)
        other_peer, other = world.worker(name="y")
        world.report(other, want=1)
        await world.turns()
        world.workers.tick(world.loop.time())
        assert peer.closed
        world.workers.closed(worker)
        await world.turns()
        assert len(other_peer.leases) == 1
        assert (run.leased, run.tracked) == (1, 1)

    play(scene)


# --- by our word ---


def test_leases_that_end_by_our_word_are_told_to_the_worker_that_has_them(play: Any) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, lease = await leased(world, 4)
        ended = world.broker.cancel(run, 0.0)
        world.turn.wake()
        await world.turns()
        for session, numbers in ended.items():
            world.workers.revoke(session, numbers, "the run was cancelled")
        assert peer.revoked == [lease.number]
        world.workers.revoke(worker.session, [], "nothing")
        world.workers.closed(worker)
        world.workers.revoke(worker.session, [1], "it has left")
        assert peer.revoked == [lease.number]

    play(scene)

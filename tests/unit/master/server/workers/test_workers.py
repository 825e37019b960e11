"""Sessions of workers: outcomes in, leases out, and what a wrong report does."""

from __future__ import annotations

import math
from typing import Any

import pytest

from master.server.workers.grants import MOST_SLOTS, MOST_WANTED
from master.server.workers.outcomes import NO_FOLLOW
from master.server.workers.workers import LACKS_S, SILENT_S, TURNED_S
from master.turn import turn
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.messages import Beat, Exchange, Leases, SubmitTasks, encode
from queue_manager.wire.records import (
    FRAME_BYTES,
    Done,
    Failed,
    GroupLimit,
    NewBlock,
    Outcome,
    Released,
    RunOptions,
)
from queue_manager.wire.usage import Usage
from tests.unit.master.conftest import FakePeer, World, block

ONE = codec.encode_batch([1])


async def submit(world: World, run: Any, *blocks: NewBlock) -> None:
    world.ask(FakePeer(), SubmitTasks(1, run.id, list(blocks)))
    await world.turns()


async def leased(
    world: World, tasks: int = 1, options: RunOptions | None = None, **fields: Any
) -> tuple[Any, FakePeer, Any, Any]:
    """A run with tasks, and a worker that has one of them."""
    run = await world.start_run(options=options)
    await submit(world, run, block(tasks, **fields))
    peer, worker = world.worker()
    world.report(worker, want=1)
    await world.turns()
    return run, peer, worker, peer.leases[0]


def test_a_worker_gets_no_more_leases_than_it_asked_for_and_the_rest_when_tasks_come(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        await submit(world, run, block(1))
        world.report(worker, want=3, seq=4)
        await world.turns()
        await submit(world, run, block(9))
        assert [len(m.leases) for m in peer.sent if isinstance(m, Leases)] == [1, 2]
        assert [m.seq for m in peer.sent if isinstance(m, Leases)] == [4, 0]

    play(scene)


def test_leases_go_round_among_the_workers(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        workers = [world.worker() for _ in range(3)]
        for _, worker in workers:
            world.report(worker, want=5)
        await submit(world, run, block(6))
        assert [len(peer.leases) for peer, _ in workers] == [2, 2, 2]

    play(scene)


def test_a_worker_that_drains_gets_nothing_more(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        world.workers.message(worker, Exchange(2, [], 0, draining=True))
        await submit(world, run, block(2))
        assert not peer.leases

    play(scene)


def test_a_result_and_what_follows_it_are_recorded_together(play: Any) -> None:
    async def scene(world: World) -> None:
        run, _, worker, lease = await leased(world)
        commits = world.store.commits
        follow = [block(2, keys=["a", "b"])]
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, follow))
        await world.turns()
        assert (run.done, run.tasks, run.accepted) == (1, 3, 1)
        assert world.store.commits == commits + 1

    play(scene)


def test_what_follows_a_result_is_refused_where_results_belong_to_inputs(play: Any) -> None:
    """In a lasting run, too: a map with a key has one."""

    async def scene(world: World) -> None:
        run, _, worker, lease = await leased(world, 1, RunOptions(attempts=1, inputs_only=True))
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, [block(2)]))
        await world.turns()
        assert (run.tasks, run.dead) == (1, 1)
        [letter] = world.store.read_letters(run.id, 0, 1_000, 99)[0]
        assert letter.error == NO_FOLLOW

    play(scene)


def test_keys_that_follow_from_two_results_of_one_turn_are_taken_once(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(2))
        peer, worker = world.worker()
        world.report(worker, want=2)
        await world.turns()
        world.report(
            worker,
            *[Done(le.number, le.start, le.stop, ONE, 0.1, [block(1, keys=["a"])])
              for le in peer.leases],
        )  # fmt: skip
        await world.turns()
        assert (run.done, run.tasks) == (2, 3)

    play(scene)


def test_an_old_leases_outcome_is_refused_with_what_would_follow(play: Any) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, lease = await leased(world)
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1))
        await world.turns()
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1, [block(1)]), seq=5)
        await world.turns()
        assert (run.done, run.tasks) == (1, 1)
        assert peer.sent[-1] == Leases(5, [], 1)

    play(scene)


@pytest.mark.parametrize(
    "wrong",
    [
        Done(0, 0, 1, codec.encode_batch([1, 2]), 0.1),
        Done(0, 0, 1, b"nonsense", 0.1),
        Done(0, 0, 1, ONE, math.nan),
        Done(0, 0, 2, codec.encode_batch([1, 2]), 0.1, [block(1)]),
        Done(0, 0, 1, ONE, 0.1, [NewBlock(2, ONE)]),
        Done(0, 0, 1, ONE, 0.1, [NewBlock(1, ONE, keys=[])]),
        Done(0, 0, 1, ONE, 0.1, [NewBlock(1, ONE, priority=2**63)]),
        Done(0, 0, 1, ONE, 0.1, [NewBlock(1, ONE, delay_s=math.inf)]),
        Done(0, 0, 2, codec.encode_batch([1, 2]), 0.1, [], {"a": GroupLimit(1)}),
        Done(0, 0, 1, ONE, 0.1, [], {"": GroupLimit(1)}),
        Done(0, 0, 1, ONE, 0.1, [], {"a": GroupLimit(0)}),
        Done(0, 0, 1, ONE, 0.1, [], {"a": GroupLimit(2**31)}),
        Done(0, 0, 1, ONE, 0.1, [], {"a": GroupLimit(1, -1.0)}),
        Done(0, 0, 1, ONE, 0.1, [], {"a": GroupLimit(1, math.inf)}),
        Failed(0, 0, "bad", whole_group=True),
        Failed(0, 0, "bad", delay_s=math.nan),
        Failed(0, 0, "bad", delay_s=-1.0),
    ],
    ids=str,
)
def test_a_report_that_is_not_what_it_says_ends_its_session_and_stages_nothing(
    play: Any, wrong: Outcome
) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, lease = await leased(world)
        fields = {name: getattr(wrong, name) for name in wrong.__struct_fields__}
        bad = type(wrong)(**fields | {"lease": lease.number})
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1), bad)
        await world.turns()
        assert peer.closed
        assert (run.done, run.dead, run.delayed, run.leased) == (0, 0, 0, 1)

    play(scene)


def test_leases_of_large_payloads_are_cut_into_frames(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        large = codec.encode_batch([b"x" * 1_000_000])
        for _ in range(20):
            await submit(world, run, NewBlock(1, large))
        world.report(worker, want=20, seq=3)
        await world.turns()
        assert len(peer.leases) == 20
        assert max(len(encode(message)) for message in peer.sent) <= FRAME_BYTES
        assert next(m.seq for m in peer.sent if isinstance(m, Leases)) == 3
        assert len(peer.of(Leases)) <= 5

    play(scene)


def test_a_closed_sessions_tasks_go_to_the_next_worker_at_once(play: Any) -> None:
    async def scene(world: World) -> None:
        _, _, worker, lease = await leased(world)
        peer, other = world.worker()
        world.report(other, want=1)
        await world.turns()
        assert not peer.leases
        world.workers.closed(worker)
        await world.turns()
        (again,) = peer.leases
        assert (again.first, again.start) == (lease.first, lease.start)
        assert again.number != lease.number

    play(scene)


def test_a_session_that_closes_in_the_turn_of_its_report_gets_no_lease(play: Any) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, lease = await leased(world, tasks=2)
        world.report(worker, Done(lease.number, 0, 1, ONE, 0.1), want=1)
        world.workers.closed(worker)
        await world.turns()
        assert run.done == 1
        assert (run.waiting, run.leased) == (1, 0)
        assert len(peer.leases) == 1

    play(scene)


def test_a_worker_that_lacks_what_a_job_needs_is_passed_over(play: Any) -> None:
    async def scene(world: World) -> None:
        _, peer, worker, lease = await leased(world)
        able_peer, able = world.worker()
        world.report(worker, Released(lease.number, 0, 1, "no module named numpy"), want=1)
        world.report(able, want=1)
        await world.turns()
        assert len(peer.leases) == 1
        assert len(able_peer.leases) == 1

    play(scene)


def test_a_worker_that_lacked_something_is_offered_the_job_again_after_a_while(play: Any) -> None:
    async def scene(world: World) -> None:
        _, peer, worker, lease = await leased(world)
        world.report(worker, Released(lease.number, 0, 1, "no module named numpy"), want=1)
        await world.later(LACKS_S / 2)
        world.workers.tick(world.loop.time())
        await world.turns()
        assert len(peer.leases) == 1
        await world.later(LACKS_S * 0.6)
        world.workers.tick(world.loop.time())
        await world.turns()
        assert len(peer.leases) == 2

    play(scene)


def test_a_silent_worker_is_given_up_and_one_that_beats_is_not(play: Any) -> None:
    async def scene(world: World) -> None:
        (quiet, _), (beating, worker) = world.worker(), world.worker()
        await world.later(SILENT_S / 2)
        world.workers.message(worker, Beat())
        await world.later(SILENT_S * 0.6)
        world.workers.tick(world.loop.time())
        assert (quiet.closed, beating.closed) == (True, False)

    play(scene)


def test_the_newest_usage_of_a_worker_is_kept_until_its_session_ends(play: Any) -> None:
    async def scene(world: World) -> None:
        (_, first), (_, other) = world.worker(), world.worker()
        await world.turns()
        for usage in (Usage(5), Usage(7), None):
            world.workers.message(first, Beat(usage))
        assert (first.usage, other.usage) == (Usage(7), None)
        assert not world.turn.is_waiting  # nothing of it goes to the store

    play(scene)


def test_a_worker_whose_large_message_comes_slowly_is_not_silent(play: Any) -> None:
    """Its beats are behind that. One that stops in the midst of a message is."""

    async def scene(world: World) -> None:
        peer, _ = world.worker()
        await world.turns()
        for part in range(3 * int(SILENT_S)):
            peer.part_bytes = 1_000 * part
            await world.later(1.0)
            world.workers.tick(world.loop.time())
        assert not peer.closed
        for _ in range(int(SILENT_S) + 1):
            await world.later(1.0)
            world.workers.tick(world.loop.time())
        assert peer.closed

    play(scene)


def test_no_worker_was_silent_while_the_master_itself_was_frozen(play: Any) -> None:
    async def scene(world: World) -> None:
        peer, worker = world.worker()
        await world.turns()
        world.workers.tick(world.loop.time())
        await world.later(100 * SILENT_S)  # SIGSTOP; a beat is in the socket, not read yet
        world.workers.tick(world.loop.time())
        assert not peer.closed
        world.workers.message(worker, Beat())
        for _ in range(int(SILENT_S)):
            world.workers.tick(world.loop.time())
            await world.later(1.0)
            assert not peer.closed
        await world.later(0.1)
        world.workers.tick(world.loop.time())
        assert peer.closed

    play(scene)


def test_a_master_that_turns_slowly_still_gives_a_silent_worker_up(play: Any) -> None:
    async def scene(world: World) -> None:
        peer, _ = world.worker()
        await world.turns()
        world.workers.tick(world.loop.time())
        for _ in range(int(SILENT_S / TURNED_S) + 1):
            assert not peer.closed
            await world.later(2 * TURNED_S)
            world.workers.tick(world.loop.time())
        assert peer.closed

    play(scene)


def test_a_worker_asks_for_no_more_than_makes_sense(play: Any) -> None:
    async def scene(world: World) -> None:
        _, worker = world.worker()
        for want, wanted in ((-5, 0), (2, 2), (10**12, 2 + MOST_SLOTS)):
            world.report(worker, want=want)
            await world.turns()
            assert worker.session.wanted == wanted
        for _ in range(9):
            world.report(worker, want=10**12)
        await world.turns()
        assert worker.session.wanted == MOST_WANTED

    play(scene)


def test_limited_tasks_go_only_to_slots_that_are_free_counting_what_is_on_its_way(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run(options=RunOptions(per_group=GroupLimit()))
        peer, worker = world.worker(slots=4)
        world.report(worker, want=8, free=2, got=0)
        await submit(world, run, block(9, group="a"))
        assert len(peer.leases) == 2
        world.report(worker, free=2, got=0)  # it has not seen them yet
        await world.turns()
        assert len(peer.leases) == 2
        world.report(worker, free=2, got=1)  # one of them took a slot, the other is on its way
        await world.turns()
        assert len(peer.leases) == 3
        world.report(worker, free=1, got=3)
        await world.turns()
        assert len(peer.leases) == 4
        assert all(lease.limited and lease.stop - lease.start == 1 for lease in peer.leases)

    play(scene)


def test_leases_that_are_no_tasks_of_a_limited_group_say_so_and_carry_version_and_block(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run, peer, worker, lease = await leased(world, tasks=2)
        assert (lease.limited, lease.block, lease.version) == (False, 1, "")
        world.broker.set_code(run, "1a2b", RunOptions(timeout_s=7.0))
        world.report(worker, want=1)
        await world.turns()
        assert (peer.leases[1].version, peer.leases[1].timeout_s) == ("1a2b", 7.0)

    play(scene)


def test_all_that_a_failed_try_tells_is_stored(play: Any) -> None:
    async def scene(world: World) -> None:
        run, _, worker, lease = await leased(world)
        failed = Failed(lease.number, 0, "bad", "traceback", True, printed="hello")
        world.report(worker, failed)
        await world.turns()
        task = world.store.read_task(run.id, 1)
        assert task is not None
        assert task.tracked is not None
        assert (task.tracked.error, task.tracked.evidence) == ("bad", "traceback")
        assert (task.tracked.printed, task.tracked.worker) == ("hello", "host/1")

    play(scene)


def test_who_lacks_something_is_told_of_once_and_to_those_who_listen(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        heard: list[Any] = []
        world.outcomes.on_lacks.append(heard.append)
        run, peer, worker, lease = await leased(world)
        world.report(worker, Released(lease.number, 0, 1, "no numpy"), want=1)
        await world.turns()
        world.workers.code_changed("other")
        await world.turns()
        assert len(peer.leases) == 1
        world.workers.code_changed("job")
        await world.turns()
        world.report(worker, Released(peer.leases[1].number, 0, 1, "no numpy"), want=1)
        await world.turns()
        assert heard == [run, run]
        assert caplog.text.count("no numpy") == 1

    play(scene)


def test_a_payload_that_cannot_be_read_for_a_moment_is_leased_a_moment_later(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer, worker = world.worker()
        await submit(world, run, block(3))

        def broken(number: int) -> bytes:
            raise StoreError("can't read: a disk error")

        with monkeypatch.context() as patch:
            patch.setattr(world.turn.bodies, "get", broken)
            world.report(worker, want=1)
            await world.turns()
            assert (peer.leases, run.leased, run.waiting) == ([], 3, 0)
        await world.later(turn.UNREAD_S)
        assert len(peer.leases) == 1

    play(scene)


@pytest.mark.usefixtures("apart")
def test_what_was_read_when_nobody_could_be_given_anything_is_given_at_once(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that needs other tags is always ready, so what the last look at the disk found must
    not wait for something else to happen."""

    async def scene(world: World) -> None:
        other = await world.start_run("other", options=RunOptions(needs=["gpu"]))
        await submit(world, other, block(1))
        run = await world.start_run()
        run.lane.window.most, run.size = 1, 1
        await submit(world, run, block(1), block(1))
        assert (run.lane.window.loaded, run.lane.window.more_on_disk) == (1, True)
        read, reads = world.store.read_waiting, iter([True])

        def read_waiting(number: int, group: str | None, after: Any, room: int) -> Any:
            """All that it finds at first is leased."""
            found = read(number, group, after, room)
            return ([], after) if number == run.id and next(reads, False) else found

        monkeypatch.setattr(world.store, "read_waiting", read_waiting)
        peer, worker = world.worker()
        world.report(worker, want=3)
        await world.turns()
        assert [(lease.run, lease.first) for lease in peer.leases] == [(run.id, 1), (run.id, 2)]

    play(scene)

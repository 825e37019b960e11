"""A client cancels tasks of a run that goes on; pages tell of them, and of dead letters."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from master.server.runs import cancelling
from queue_manager import codec
from queue_manager.job.raised import read_raised, write_raised
from queue_manager.wire.messages import (
    CancelRun,
    Collect,
    Page,
    Refused,
    RetryRun,
    SubmitTasks,
    TasksCancelled,
    TasksEnded,
)
from queue_manager.wire.records import UNTIL_END, Done, Failed
from tests.unit.master.conftest import FakePeer, World, block

from .test_run_control import Desk, filled, lease


async def pages(world: World, run: Any, after: int = 0, *, dead: bool = True) -> FakePeer:
    peer = FakePeer("client")
    world.ask(peer, Collect(5, run.id, after, dead))
    await world.turns()
    return peer


async def page(world: World, run: Any, after: int = 0) -> Page:
    (found,) = (await pages(world, run, after)).sent
    assert isinstance(found, Page)
    return found


def test_what_waits_is_cancelled_and_the_run_goes_on(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 9)
        _, worker, given = await lease(world)
        assert await desk.ask(CancelRun(7, run.id, [(4, 6), (20, 30)])) == TasksCancelled(
            7, [(4, 6)]
        )
        assert await desk.ask(CancelRun(8, run.id, unstarted=True)) == TasksCancelled(
            8, [(2, 4), (6, 10)]
        )
        assert run.active
        result = codec.encode_batch([1])
        world.report(worker, Done(given.number, 0, 1, result, 0.1), want=1)
        await world.turns()
        assert (run.state, run.done, run.cancelled) == ("done", 1, 8)

    async def after(world: World) -> None:
        run = world.broker.recall(1)
        assert run is not None
        found = await page(world, run)
        assert [(o.first, o.start, o.stop) for o in found.outcomes] == [(1, 0, 1)]
        assert (found.cancelled, found.complete) == ([(2, 10)], True)

    play(scene, after)
    assert "run 1 (job): 2 tasks were cancelled, asked by client" in caplog.messages


@pytest.mark.parametrize(
    "ranges", [[], [(5, 5)], [(9, 3)], [(-7, 0)], [(0, 1)], [(2**62, 2**63 - 1)], [(11, 99)]]
)
def test_ranges_without_tasks_cancel_none(play: Any, ranges: list[tuple[int, int]]) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 9)
        answer = await desk.ask(CancelRun(7, run.id, [*ranges, (0, 0)]))
        assert answer == TasksCancelled(7, [])
        assert run.waiting == 9

    play(scene)


def test_overlapping_ranges_cancel_each_task_once(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 9)
        answer = await desk.ask(CancelRun(7, run.id, [(5, 8), (-3, 3), (7, 2**63 - 1), (1, 2)]))
        assert answer == TasksCancelled(7, [(1, 3), (5, 10)])
        assert (run.waiting, run.cancelled) == (2, 7)

    play(scene)


def test_many_blocks_take_several_turns_and_one_answer(
    play: Any, apart: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 3)

    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await world.start_run()
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(2) for _ in range(10)]))
        await world.turns()
        before = world.store.commits
        await desk.ask(CancelRun(7, run.id, unstarted=True))
        await world.turns(20)
        assert desk.peer.sent == [TasksCancelled(7, [(1, 21)])]
        assert world.store.commits == before + 4
        monkeypatch.setattr(cancelling, "MOST_RANGES", 1)
        world.ask(FakePeer(), SubmitTasks(1, run.id, [block(2) for _ in range(10)]))
        await world.turns()
        await desk.ask(CancelRun(8, run.id, unstarted=True))
        await world.turns(20)
        assert desk.peer.sent[-1] == TasksCancelled(8, [(21, 25)], complete=False)

    play(scene)


def test_ended_runs_and_the_queue_run_refuse(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 0, ended=False)
        world.ask(FakePeer(), TasksEnded(2, run.id))
        await world.turns()
        told = await desk.ask(CancelRun(7, run.id, unstarted=True))
        assert told == Refused(7, "run 1 has ended: done")
        told = await desk.ask(CancelRun(8, 0, [(1, 5)]))
        assert isinstance(told, Refused)
        assert "tasks of the queue run can't be cancelled" in told.error

    play(scene)


def test_after_a_restart_a_cancel_waits_for_what_the_workers_hold(play: Any) -> None:
    held: list[Any] = []

    async def scene(world: World) -> None:
        run = await filled(world, 3)
        peer, worker = world.worker(name="w")
        await world.turns()
        world.report(worker, want=1)
        await world.turns()
        held.append(peer.leases[-1])
        assert run.leased == 1

    async def after(world: World) -> None:
        world.broker.await_known_workers(world.store.workers, 5.0)
        desk = Desk(world)
        run = world.broker.runs[1]
        assert await desk.ask(CancelRun(7, run.id, unstarted=True)) is None
        (given,) = held
        from queue_manager.wire.records import HeldLease

        peer, _ = world.worker(
            name="w", held=[HeldLease(given.number, 1, given.block, [(given.start, given.stop)])]
        )
        await world.later(1.0)
        assert peer.welcomed
        assert desk.peer.sent == [TasksCancelled(7, [(2, 4)])]
        assert (run.leased, run.cancelled) == (1, 2)

    play(scene, after)


# --- dead letters in pages ---


def failure(given: Any, error: Exception, evidence: str = "") -> Failed:
    return Failed(given.number, given.start, "bad", evidence, raised=write_raised(error))


def test_a_dead_letter_comes_in_the_page_as_soon_as_it_is_on_disk(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await filled(world, 2)
        _, worker, given = await lease(world)
        waits, runner = await pages(world, run), await pages(world, run, dead=False)
        assert waits.sent == []
        world.report(worker, failure(given, ValueError("no", 3)), want=1)
        await world.turns()
        (found,) = waits.sent
        assert isinstance(found, Page)
        (letter,) = found.dead
        assert (letter.task, letter.error, letter.worker) == (1, "bad", worker.name)
        assert read_raised(letter.raised) == ("builtins", "ValueError", ("no", 3))
        assert (found.outcomes, found.last, found.complete) == ([], letter.seq, False)
        assert runner.sent == []  # who does not ask for them hears nothing

    play(scene)


def test_results_and_dead_letters_come_in_one_order_and_over_a_restart(play: Any) -> None:
    async def scene(world: World) -> None:
        await filled(world, 4)
        for at in range(4):
            peer, worker, given = await lease(world)
            del peer
            if at % 2:
                world.report(worker, failure(given, KeyError(at)))
            else:
                result = codec.encode_batch([at])
                world.report(worker, Done(given.number, given.start, given.start + 1, result, 9.0))
            await world.turns()

    async def after(world: World) -> None:
        run = world.broker.recall(1)
        assert run is not None
        whole = await page(world, run)
        seqs = [o.seq for o in whole.outcomes], [letter.seq for letter in whole.dead]
        assert seqs == ([1, 3], [2, 4])
        assert (whole.last, whole.complete, whole.ended_at) == (4, True, run.ended_at)
        rest = await page(world, run, 2)
        assert ([o.seq for o in rest.outcomes], [d.seq for d in rest.dead]) == ([3], [4])
        (end,) = (await pages(world, run, UNTIL_END)).sent
        assert (end.last, end.complete, end.dead) == (4, True, [])  # type: ignore[union-attr]
        (plain,) = (await pages(world, run, dead=False)).sent
        assert (plain.last, plain.complete, plain.dead) == (3, True, [])  # type: ignore[union-attr]

    play(scene, after)


@pytest.mark.parametrize("chars", [0, 5_000])
@pytest.mark.parametrize("limit_bytes", [1, 300, 600, 900, 4_000])
def test_pages_that_end_early_leave_nothing_out(
    play: Any, monkeypatch: pytest.MonkeyPatch, limit_bytes: int, chars: int
) -> None:
    monkeypatch.setattr("master.server.pages.PAGE_BYTES", limit_bytes)

    async def scene(world: World) -> None:
        run = await filled(world, 12)
        for at in range(12):
            _, worker, given = await lease(world)
            if at % 3 == 1:
                world.report(worker, failure(given, KeyError(at), "e" * chars))
            else:
                result = codec.encode_batch([at])
                world.report(worker, Done(given.number, given.start, given.start + 1, result, 9.0))
            await world.turns()
        seen: list[int] = []
        after, complete, count = 0, False, 0
        while not complete:
            found = await page(world, run, after)
            new = [*(o.seq for o in found.outcomes), *(d.seq for d in found.dead)]
            assert all(after < seq <= found.last for seq in new)
            seen += sorted(new)
            after, complete, count = found.last, found.complete, count + 1
        assert seen == list(range(1, 13))
        assert count > 1 or limit_bytes == 4_000

    play(scene)


def test_a_letter_that_is_retried_and_dies_again_comes_again(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 1)
        _, worker, given = await lease(world)
        world.report(worker, failure(given, KeyError(1)), want=1)
        await world.turns()
        first = await page(world, run)
        assert first.complete
        await desk.ask(RetryRun(7, run.id))
        waits = await pages(world, run, first.last)
        assert waits.sent == []
        late = await page(world, run)  # whoever begins anew is told of no letter that is none
        assert (late.dead, late.complete) == ([], False)
        again = worker.peer.leases[-1]
        world.report(worker, failure(again, KeyError(2)))
        await world.turns()
        (found,) = waits.sent
        assert isinstance(found, Page)
        assert [(d.task, d.seq > first.last) for d in found.dead] == [(1, True)]
        assert found.complete

    play(scene)


def test_a_page_of_large_dead_letters_fits_in_a_frame(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await filled(world, 40)
        for _ in range(40):
            _, worker, given = await lease(world)
            text = "\U0001f4a5" * 60_000
            world.report(worker, Failed(given.number, given.start, text, text, printed=text))
            await world.turns()
        found = await page(world, run)
        assert found.dead
        size = sum(len((d.error + d.evidence + d.printed).encode()) for d in found.dead)
        assert size < 4 * 1024 * 1024
        assert all("[cut]" in letter.evidence for letter in found.dead)

    play(scene)

"""Outcomes of a run reach its collector in order and once, and its results are read in pages."""

from __future__ import annotations

from typing import Any

import pytest

from master.server.task_views import TaskViews
from master.turn.answer import PeerReply
from master.turn.steps import RETRY_S
from queue_manager import codec
from queue_manager.errors import StoreError
from queue_manager.wire.messages import (
    AskResults,
    Collect,
    Collected,
    OpenRun,
    Page,
    Results,
    TasksEnded,
)
from queue_manager.wire.records import NOBODY_COLLECTS
from tests.unit.master.conftest import FakePeer, World, block

from .test_runs import submit, work


async def collect(world: World, run: Any, after: int, collected: int = 0) -> FakePeer:
    peer = FakePeer("runner")
    world.ask(FakePeer(), Collected(run.id, collected))
    world.ask(peer, Collect(5, run.id, after))
    await world.turns()
    return peer


def test_a_collector_waits_for_outcomes_and_gets_them_in_order_of_completion(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(3))
        peer = await collect(world, run, 0)
        assert peer.sent == []
        await work(world, 1)
        (page,) = peer.sent
        assert isinstance(page, Page)
        assert [(o.first, o.start, o.stop) for o in page.outcomes] == [(1, 0, 1)]
        assert codec.decode_batch(page.bodies[1]) == [1, 2, 3]
        assert not page.complete
        await work(world, 2)
        (page,) = (await collect(world, run, page.last)).sent
        assert [o.start for o in page.outcomes] == [1, 2]  # type: ignore[union-attr]

    play(scene)


def test_the_last_page_says_so_when_the_run_has_ended(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(1))
        await work(world, 1)
        (page,) = (await collect(world, run, 0)).sent
        assert isinstance(page, Page)
        waits = await collect(world, run, page.last)
        assert waits.sent == []
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        (end,) = waits.sent
        assert end == Page(5, [], {}, page.last, True, run.ended_at)

    play(scene)


def test_a_run_that_ended_uncollected_is_collected_after_a_restart(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(2))
        await work(world, 2)
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        await collect(world, run, 1, collected=1)
        await world.later(1.0)

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        assert (run.state, run.collect_cursor.number, run.last_seq) == ("done", 1, 2)
        (page,) = (await collect(world, run, run.collect_cursor.number)).sent
        assert isinstance(page, Page)
        assert ([o.seq for o in page.outcomes], page.complete) == ([2], True)

    play(scene, after)


def test_a_receipt_never_goes_back_and_fits_the_store(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await collect(world, run, 0, collected=5)
        await collect(world, run, 0, collected=3)
        assert run.collect_cursor.number == 5
        await collect(world, run, 0, collected=2**64 - 1)
        await world.later(1.0)
        assert not world.turn.trouble
        assert run.collect_cursor.closed

    play(scene)


def test_a_session_that_waited_and_closed_is_forgotten(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        peer = await collect(world, run, 0)
        world.pages.closed(peer.peer)
        await submit(world, run, block(1))
        await work(world, 1)
        assert peer.sent == []
        assert not world.pages._waiting

    play(scene)


def test_what_a_map_that_was_closed_early_has_asked_for_keeps_no_place(play: Any) -> None:
    """The session may map over the same run twice: its other map asks again."""

    async def scene(world: World) -> None:
        run, peer, other = await world.start_run(), FakePeer(), FakePeer()
        world.ask(other, Collect(7, run.id, 0))
        for seq in range(1, 40):
            world.ask(peer, Collect(seq, run.id, 0))
            await world.turns()
            world.ask(peer, Collected(run.id, NOBODY_COLLECTS))
            assert peer.sent[-1] == Page(seq, [], {}, 0, False)
        assert [one.reply.peer for one in world.pages._waiting[run.id]] == [other.peer]
        world.ask(other, Collected(run.id, NOBODY_COLLECTS))
        assert not world.pages._waiting

    play(scene)


# --- results ---


def test_results_are_read_in_task_order_while_the_run_goes_on(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(3))
        await work(world, 2)
        peer = FakePeer()
        no_sources: Any = None
        TaskViews(world.turn, no_sources).results(PeerReply(peer.peer, 4), AskResults(4, run.id))
        (page,) = peer.sent
        assert isinstance(page, Results)
        assert [e.start for e in page.blocks[0].ended] == [0, 1]
        assert page.complete

    play(scene)


def test_a_new_runner_is_told_how_far_into_an_outcome_its_forerunner_has_collected(
    play: Any,
) -> None:
    async def before(world: World) -> None:
        run = await world.start_run()
        world.ask(FakePeer(), Collected(run.id, 3, into=5))
        world.ask(FakePeer(), Collected(run.id, 3, into=2))  # an older word changes nothing
        await world.later(1.0)

    async def after(world: World) -> None:
        peer = FakePeer()
        world.ask(peer, OpenRun(7, 1))
        await world.turns()
        (opened,) = peer.sent
        assert (opened.collected, opened.into) == (3, 5)

    play(before, after)


def test_a_page_that_cannot_be_read_waits_and_holds_up_nobody_else(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all the end of another run, which is told of once."""

    async def scene(world: World) -> None:
        ended: list[int] = []
        world.runs.on_ended.append(lambda run: ended.append(run.id))
        one, other = await world.start_run(), await world.start_run()
        await submit(world, one, block(1))
        await submit(world, other, block(1))
        world.ask(FakePeer(), TasksEnded(2, other.id))
        peer = await collect(world, one, 0)
        with monkeypatch.context() as patched:
            patched.setattr(world.turn, "read_outcomes", _unreadable)
            await work(world, 2)
            assert (other.state, ended, peer.sent) == ("done", [other.id], [])
        await world.later(2 * RETRY_S)
        assert [type(message) for message in peer.sent] == [Page]

    play(scene)


def _unreadable(*_: Any) -> Any:
    raise StoreError("can't read queue.sqlite3: disk I/O error")

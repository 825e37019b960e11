"""`finish()` in its runner: results page by page, and what becomes of its exceptions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.runner.finishing import call_finish, results
from master.runner.job_errors import SHOWN, JobErrors
from master.runner.session import RunnerSession
from master.server import pages
from master.turn.run_lookup import recall
from queue_manager import codec
from queue_manager.wire.messages import (
    Accepted,
    Collect,
    Collected,
    Finished,
    OpenRun,
    Page,
    RetryRun,
    TasksEnded,
)
from queue_manager.wire.records import UNTIL_END, Ended, Failed, RunOptions
from tests.unit.master.conftest import FakePeer, World, block
from tests.unit.master.server.runs.test_run_control import Desk
from tests.unit.master.server.runs.test_runs import submit, work


class FakeWire:
    """Answers each request at once, from the rooms of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[int] = []

    def request(self, make: Any, answer: type[Any]) -> Future[Any]:
        message: Collect = make(7)
        self.asked.append(message.after)
        peer = FakePeer("runner")
        self.world.ask(peer, message)
        self.world.turn._driver.begin()
        future: Future[Any] = Future()
        for page in peer.sent:
            future.set_result(page)
        return future


async def ended_run(world: World, tasks: int, last_bad: bool = False) -> Any:
    """A run of tasks that were done one by one, so each is an outcome."""
    run = await world.start_run(options=RunOptions(attempts=1))
    await submit(world, run, block(tasks))
    world.ask(FakePeer(), TasksEnded(1, run.id))
    await work(world, tasks - last_bad)
    if last_bad:
        _, worker = world.worker()
        await world.turns()
        world.report(worker, want=1)
        await world.turns()
        world.report(worker, Failed(worker.peer.leases[-1].number, tasks - 1, "bad"))
        await world.turns()
    return run


def found(session: FakeWire, run: Any, last: int) -> Iterator[tuple[Any, Any]]:
    return results(cast(RunnerSession, session), run.id, last, JobErrors())


def test_a_pair_that_cannot_be_decoded_is_a_complaint_and_the_others_come() -> None:
    bad = codec.encode_items([codec.encode(1), b"\x80", codec.encode(3)])
    page = Page(7, [Ended(1, 11, 0, 3, bad)], {11: codec.encode_batch(list("abc"))}, 1, True, 1.0)
    answered: Future[Page] = Future()
    answered.set_result(page)
    session = cast(RunnerSession, SimpleNamespace(request=lambda make, answer: answered))
    errors = JobErrors()
    assert list(results(session, 1, 1, errors)) == [("a", 1), ("c", 3)]
    assert errors.take() == 1


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 1)


@pytest.mark.usefixtures("small_pages")
def test_results_are_read_page_by_page_one_ahead_and_each_once(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 5)
        world.turn._fresh_behind = {}
        session = FakeWire(world)
        reading = found(session, run, run.last_seq)
        assert session.asked == []
        payloads = []
        for payload, _ in reading:
            payloads.append(payload)
            assert len(session.asked) == min(len(payloads) + 1, 5)
        assert payloads == [1, 2, 3, 4, 5]
        assert session.asked[0] == 0

    play(scene)


def test_no_results_are_asked_for_where_nothing_was_done(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 1, last_bad=True)
        session = FakeWire(world)
        assert (run.state, list(found(session, run, run.last_seq)), session.asked) == (
            "failed",
            [],
            [],
        )

    play(scene)


@pytest.mark.usefixtures("small_pages")
def test_what_a_retry_brings_meanwhile_is_left_to_the_next_end(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 3, last_bad=True)
        session = FakeWire(world)
        reading = found(session, run, run.last_seq)
        first = next(reading)
        assert await Desk(world).ask(RetryRun(7, run.id)) == Accepted(7, 1)
        await work(world, 1)
        rest = list(reading)
        assert [payload for payload, _ in [first, *rest]] == [1, 2]
        assert [payload for payload, _ in found(session, run, run.last_seq)] == [1, 2, 3]

    play(scene)


# --- the master's side of it ---


async def finished(world: World, run: Any, ended_at: float) -> list[Any]:
    peer = FakePeer("runner")
    world.ask(peer, Finished(9, run.id, ended_at))
    await world.turns()
    return peer.sent


async def end_of(world: World, run: Any) -> Page:
    """The last page, for a runner that waits for nothing else."""
    peer = FakePeer("runner")
    world.ask(peer, Collect(5, run.id, UNTIL_END))
    await world.turns()
    (page,) = peer.sent
    assert isinstance(page, Page)
    return page


def test_whoever_waits_for_the_end_alone_gets_no_outcomes_and_is_told_when_and_the_last(
    play: Any,
) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(2))
        peer = FakePeer("runner")
        world.ask(peer, Collect(5, run.id, UNTIL_END))
        await work(world, 2)
        assert peer.sent == []
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await world.turns()
        assert peer.sent == [Page(5, [], {}, run.last_seq, True, run.ended_at)]
        assert run.last_seq > 0

    play(scene)


def test_that_finish_returned_is_on_disk_when_it_is_acknowledged(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 1)
        ended_at = (await end_of(world, run)).ended_at
        assert await finished(world, run, ended_at or 0.0) == [Accepted(9, 0)]

    async def after(world: World) -> None:
        assert world.broker.runs[1].collect_cursor.closed

    play(scene, after)


def test_what_finish_takes_is_part_of_the_run(play: Any) -> None:
    """Also after a restart: the time of its end is on disk."""
    ended: list[float] = []

    async def scene(world: World) -> None:
        run = await ended_run(world, 1)
        before = run.ended_at or 0.0
        await world.later(2.5)
        await finished(world, run, before)
        assert (run.ended_at or 0.0) - before == pytest.approx(2.5, abs=0.5)
        ended.append(run.ended_at or 0.0)
        await world.later(2.5)
        await finished(world, run, before)  # asked again, as its answer was lost
        assert run.ended_at == ended[0]

    async def after(world: World) -> None:
        run = recall(world.turn, 1)
        assert run is not None
        assert run.ended_at == ended[0]

    play(scene, after)


def test_that_finish_returned_for_an_earlier_end_says_nothing_of_this_one(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 2, last_bad=True)
        world.ask(FakePeer(), Collected(run.id, run.last_seq))
        before = run.ended_at
        await world.later(1.0)
        await Desk(world).ask(RetryRun(7, run.id))
        await finished(world, run, before)
        assert run.collect_cursor.number == run.last_seq
        _, worker = world.worker()
        await world.turns()
        world.report(worker, want=1)
        await world.turns()
        world.report(worker, Failed(worker.peer.leases[-1].number, 1, "bad again"))
        await world.turns()
        assert run.state == "failed"
        await finished(world, run, before)
        assert run.collect_cursor.number == run.last_seq
        await finished(world, run, run.ended_at)
        assert run.collect_cursor.closed

    play(scene)


def test_a_retried_run_is_collected_from_where_it_had_ended(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await ended_run(world, 2, last_bad=True)
        await finished(world, run, run.ended_at)
        await Desk(world).ask(RetryRun(7, run.id))

    async def after(world: World) -> None:
        run = world.broker.runs[1]
        peer = FakePeer("runner")
        world.ask(peer, OpenRun(7, 1))
        await world.turns()
        (opened,) = peer.sent
        assert (opened.collected, opened.into) == (run.last_seq, 0)  # type: ignore[union-attr]
        assert run.last_seq > 0

    play(scene, after)


def test_a_runner_of_a_cancelled_run_gives_no_more_tasks(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        world.broker.cancel(run, 1.0)
        peer = FakePeer("runner")
        world.ask(peer, OpenRun(7, run.id))
        await world.turns()
        assert (run.exhausted, peer.sent[0].ended) == (False, True)  # type: ignore[union-attr]

    play(scene)


def test_runs_that_had_ended_before_a_start_are_no_news(play: Any) -> None:
    """Their runner may still collect; that it goes on is no second end."""

    async def scene(world: World) -> None:
        await ended_run(world, 1)

    async def after(world: World) -> None:
        told: list[Any] = []
        world.runs.on_ended.append(told.append)
        run = world.broker.runs[1]
        await finished(world, run, run.ended_at)  # type: ignore[arg-type]
        assert (run.collect_cursor.closed, told) == (True, [])

    play(scene, after)


def test_who_dies_with_results_to_collect_does_not_only_wait(play: Any) -> None:
    async def scene(world: World) -> None:
        run = await world.start_run()
        await submit(world, run, block(2))
        world.ask(FakePeer(), TasksEnded(1, run.id))
        await work(world, 1)
        peer = FakePeer("runner")
        world.ask(peer, Collect(5, run.id, 0))
        assert world.pages.idle.get(run.id, 0) == 0
        world.ask(peer, Collect(6, run.id, UNTIL_END))
        assert world.pages.idle[run.id] == 1

    play(scene)


# --- exceptions ---


@pytest.mark.parametrize("error", [ValueError("no more room"), SystemExit(3)])
def test_an_exception_is_counted_once_and_shown_from_the_users_frame_on(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def finish(found: Any, out: str) -> None:
        assert (list(found), out) == ([(1, 1)], "x")
        raise error

    caplog.set_level(logging.WARNING)
    errors = JobErrors()
    call_finish(finish, iter([(1, 1)]), {"out": "x"}, errors)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith("finish() failed:\nTraceback")
    assert "test_finishing.py" in text
    assert "finishing.py" not in text.replace("test_finishing.py", "")
    assert (errors.take(), errors.take()) == (1, 0)


def test_only_the_first_complaints_of_each_function_are_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    errors = JobErrors()
    for _ in range(SHOWN + 2):
        errors.note("collect", ValueError("x"))
    errors.note("finish", ValueError("y"))
    assert len(caplog.records) == SHOWN + 1
    assert errors.take() == SHOWN + 3

"""Dead letters that a filter chooses are tried again, a page of them in each turn."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from master.server.runs import retrying
from queue_manager import codec
from queue_manager.errors import RefusedError
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import Accepted, CancelRun, Refused, RetryRun
from queue_manager.wire.records import Done, Failed
from tests.unit.master.conftest import World

from .test_run_control import Desk, filled


async def with_letters(world: World, *errors: str) -> tuple[Desk, Any, Any]:
    """A run whose tasks have died of these errors, and the worker that has reported them."""
    run = await filled(world, len(errors))
    _, worker = world.worker()
    await world.turns()
    await report(world, worker, {n: error for n, error in enumerate(errors, 1)})
    return Desk(world), run, worker


async def report(world: World, worker: Any, errors: dict[int, str]) -> list[int]:
    """Have a worker take all that there is. A task without an error is done; which were taken."""
    taken: list[int] = []
    for _ in range(50):
        world.report(worker, want=1)
        await world.turns(4)
        if not worker.session.leases:
            break
        for lease in list(worker.session.leases.values()):
            for at in [at for start, stop in lease.open for at in range(start, stop)]:
                task = lease.first + at
                taken.append(task)
                if task in errors:
                    world.report(worker, Failed(lease.number, at, errors[task]))
                else:
                    result = codec.encode_batch([0])
                    world.report(worker, Done(lease.number, at, at + 1, result, 0.1))
        await world.turns(4)
    return sorted(taken)


async def ask(desk: Desk, message: RetryRun) -> Any:
    """The answer to a retry of several pages."""
    desk.peer.sent.clear()
    await desk.ask(message)
    for _ in range(50):
        if desk.peer.sent:
            break
        await desk.world.turns(2)
    return desk.peer.sent[-1]


@pytest.mark.parametrize("page_bytes", [1, 10**6])
def test_the_chosen_are_tried_again_and_the_others_stay(
    play: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    page_bytes: int,
) -> None:
    monkeypatch.setattr(retrying, "PAGE_BYTES", page_bytes)
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        desk, run, worker = await with_letters(world, "KeyError: 1", "OSError: 2", "KeyError: 3")
        desk.peer.name = "client box/12"
        only = FailureFilter(exception="KeyError")
        assert await ask(desk, RetryRun(7, run.id, only, "mended\n")) == Accepted(7, 2)
        assert (run.state, run.dead) == ("active", 1)
        assert set(desk.runners.started) == {run.id}
        assert await report(world, worker, {}) == [1, 3]
        assert worker.peer.leases[-1].reason == "mended\n"
        assert (run.state, run.done, run.dead) == ("failed", 2, 1)

    play(scene)
    line = "run 1 (job): 2 dead letters are tried again, asked by client box/12: mended\\n"
    assert line in caplog.messages


def test_a_letter_that_dies_again_meanwhile_is_not_tried_twice(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAGE_BYTES", 1)

    async def scene(world: World) -> None:
        desk, run, worker = await with_letters(world, *["KeyError: 1"] * 6)
        lookups: list[list[tuple[int, str | None]]] = []
        known = world.turn.broker.retry

        def retry(*args: Any, **fields: Any) -> int:
            lookups.append(list(args[2]))
            for lease in worker.session.leases.values():
                world.report(worker, Failed(lease.number, lease.open[0][0], "KeyError: again"))
            world.report(worker, want=6)
            return known(*args, **fields)

        monkeypatch.setattr(world.turn.broker, "retry", retry)
        only = FailureFilter(exception="KeyError")
        assert await ask(desk, RetryRun(7, run.id, only)) == Accepted(7, 6)
        assert sorted(task for page in lookups for task, _ in page) == [1, 2, 3, 4, 5, 6]

    play(scene)


def test_very_many_are_tried_again_a_page_in_each_turn_without_a_filter_too(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAGE_BYTES", 1)
    monkeypatch.setattr(retrying, "AT_ONCE", 2)

    async def scene(world: World) -> None:
        desk, run, _ = await with_letters(world, *["KeyError: 1"] * 3)
        pages = []
        retry = world.turn.broker.retry

        def counted(*args: Any, **fields: Any) -> int:
            pages.append(retry(*args, **fields))
            return pages[-1]

        monkeypatch.setattr(world.turn.broker, "retry", counted)
        assert await ask(desk, RetryRun(7, run.id, None, "mended")) == Accepted(7, 3)
        assert (pages, run.dead, run.state) == ([1, 1, 1], 0, "active")

    play(scene)


def test_a_page_of_a_retry_is_smaller_on_a_slow_disk_and_larger_on_a_fast_one() -> None:
    first = retrying.PAGE_BYTES
    assert retrying.paced(first, 0.02) == first
    assert retrying.paced(first, 9.0) == first
    assert retrying.paced(first, 0.001) == 2 * first
    assert retrying.paced(2 * first, 0.2) == first
    assert retrying.paced(retrying.MOST_BYTES, 0.001) == retrying.MOST_BYTES


def test_a_retry_asks_for_more_at_a_time_while_its_turns_are_short(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "AT_ONCE", 2)
    monkeypatch.setattr(retrying, "LONG_S", 99.0)
    monkeypatch.setattr(retrying, "SHORT_S", 99.0)
    monkeypatch.setattr(retrying, "PAGE_BYTES", 2)
    monkeypatch.setattr(retrying, "MOST_BYTES", 8)

    async def scene(world: World) -> None:
        desk, run, _ = await with_letters(world, *["KeyError: 1"] * 4)
        sizes = []
        read = world.turn.store.read

        def noted(request: Any) -> Any:
            sizes.extend(sought.limit_bytes for sought in request.letters)
            return read(request)

        monkeypatch.setattr(world.turn.store, "read", noted)
        assert await ask(desk, RetryRun(7, run.id)) == Accepted(7, 4)
        assert sizes == [2, 4, 8, 8, 8]

    play(scene)


def test_what_went_back_before_a_refusal_is_told(
    play: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retrying, "PAGE_BYTES", 1)
    caplog.set_level(logging.INFO)

    async def scene(world: World) -> None:
        desk, run, _ = await with_letters(world, *["KeyError: 1"] * 3)
        looks = iter([None, None, RefusedError("run 1 was cancelled: submit it again")])

        def check(_: Any) -> None:
            if (error := next(looks)) is not None:
                raise error

        monkeypatch.setattr(world.turn.broker, "check_retry", check)
        refused = await ask(desk, RetryRun(7, run.id, FailureFilter(exception="KeyError")))
        told = "2 dead letters are tried again"
        assert refused == Refused(7, f"run 1 was cancelled: submit it again; before that, {told}")
        assert f"run 1 (job): {told}, asked by" in caplog.text

    play(scene)


def test_a_filter_that_chooses_none_is_told_what_there_is(play: Any) -> None:
    async def scene(world: World) -> None:
        desk, run, _ = await with_letters(world, "KeyError: 1", "OSError: 2")
        refused = await ask(desk, RetryRun(7, run.id, FailureFilter(exception="ValueError")))
        assert isinstance(refused, Refused)
        assert refused.error.startswith(
            "run 1: no dead letter is what you ask for; there are KeyError (task 1), OSError"
            " (task 2), reported by "
        )
        assert (run.state, run.dead, desk.runners.started) == ("failed", 2, [])
        empty = FailureFilter(tasks=((3, 3),))
        assert isinstance(await ask(desk, RetryRun(8, run.id, empty)), Refused)
        assert run.dead == 2, "a filter of no task is not one of all"
        only = FailureFilter(tasks=((1, 2),), exception="OSError")
        assert isinstance(await ask(desk, RetryRun(9, run.id, only)), Refused)

    play(scene)


def test_the_chosen_of_a_cancelled_run_are_not_tried_again(play: Any) -> None:
    async def scene(world: World) -> None:
        desk = Desk(world)
        run = await filled(world, 1, ended=False)
        await desk.ask(CancelRun(6, run.id))
        refused = await ask(desk, RetryRun(7, run.id, FailureFilter(tasks=((1, 2),))))
        assert refused == Refused(7, "run 1 was cancelled: submit it again")

    play(scene)

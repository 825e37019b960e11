"""What is told of failures: groups and single letters, in pages, and requests that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from master.server.failure_views import FailureViews
from queue_manager.errors import RefusedError
from queue_manager.wire.failure_groups import AskFailures, AskLetters, Failures, Letters
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import encode
from queue_manager.wire.records import FRAME_BYTES
from tests.unit.master.conftest import FakePeer, World, reply_to
from tests.unit.master.server.runs.test_retrying import with_letters

ERRORS = ["KeyError: 1", "OSError: 2", "KeyError: 3"]


def told(world: World, message: Any) -> Any:
    peer, views = FakePeer(), FailureViews(world.turn)
    show = views.groups if isinstance(message, AskFailures) else views.letters
    show(reply_to(peer, message), message)
    (answer,) = peer.sent
    return answer


def test_groups_come_in_pages_that_lead_on(play: Any) -> None:
    async def scene(world: World) -> None:
        _, run, worker = await with_letters(world, *ERRORS)
        first = told(world, AskFailures(7, limit=1))
        assert isinstance(first, Failures)
        (group,) = first.groups
        assert (group.run, group.job, group.exception, group.count) == (
            run.id,
            "job",
            "KeyError",
            2,
        )
        assert (group.task, group.error) == (3, "KeyError: 3")
        assert group.workers == {worker.name: 2}
        assert not first.complete
        rest = told(world, AskFailures(7, run.id, first.last, 1))
        assert ([g.exception for g in rest.groups], rest.complete) == (["OSError"], True)
        assert told(world, AskFailures(7, job="other")).groups == []
        only = FailureFilter(tasks=((1, 2),), exception="OSError")
        assert [g.exception for g in told(world, AskFailures(7, only=only)).groups] == ["OSError"]

    play(scene)


def test_letters_of_a_group_come_in_pages_that_lead_on(play: Any) -> None:
    async def scene(world: World) -> None:
        _, run, worker = await with_letters(world, *ERRORS)
        only = FailureFilter(exception="KeyError")
        first = told(world, AskLetters(7, run.id, only, limit=1))
        assert isinstance(first, Letters)
        (letter,) = first.letters
        assert (letter.task, letter.error, letter.worker) == (3, "KeyError: 3", worker.name)
        assert letter.died_at > 0
        rest = told(world, AskLetters(7, run.id, only, first.last))
        assert ([one.task for one in rest.letters], rest.complete) == ([1], True)
        assert [one.task for one in told(world, AskLetters(7, run.id)).letters] == [3, 2, 1]

    play(scene)


def test_a_page_of_long_errors_fits_in_a_frame(play: Any) -> None:
    async def scene(world: World) -> None:
        _, run, _ = await with_letters(world, *["E: " + "é" * 60_000] * 9)
        assert len(encode(told(world, AskLetters(7, run.id)))) < FRAME_BYTES
        (group,) = told(world, AskFailures(7)).groups
        assert len(group.error) <= 500

    play(scene)


@pytest.mark.parametrize(
    "message",
    [
        AskFailures(1, 99),
        AskLetters(1, 99),
        AskFailures(1, only=FailureFilter(since=float("nan"))),
        AskLetters(1, 1, FailureFilter(tasks=((3, 3),))),
    ],
)
def test_what_is_no_run_and_no_filter_is_refused(play: Any, message: Any) -> None:
    async def scene(world: World) -> None:
        await world.start_run()
        with pytest.raises(RefusedError, match=r"no run 99|is no time|ranges of tasks are empty"):
            told(world, message)

    play(scene)

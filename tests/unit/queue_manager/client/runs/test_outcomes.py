"""Outcomes of a run, over the loss of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from queue_manager.client.link import Link
from queue_manager.client.runs.outcomes import Outcome, Outcomes
from queue_manager.client.session import Session
from queue_manager.errors import ConnectionLostError
from queue_manager.wire.messages import Collect, OpenRun, Page, Request, RunOpened


class FakeLink:
    """A link whose session is lost at the first request. up: it is there again at once."""

    up = True

    def __init__(self) -> None:
        self.asked: list[type[Request]] = []

    async def request(self, make: Callable[[int], Request], answer: Any) -> Any:
        message = make(1)
        self.asked.append(type(message))
        if len(self.asked) == 1:
            raise ConnectionLostError("lost the master")
        if isinstance(message, OpenRun):
            return RunOpened(1, "square", [], 3, True, 0)
        return Page(1, [], {}, 0, True)


def test_a_run_is_opened_again_in_a_new_session_so_that_the_master_does_not_end_it() -> None:
    link = FakeLink()
    delivered: list[list[Outcome] | None] = []
    session = Session(cast(Link, link))
    asyncio.run(Outcomes(session, 7, delivered.append).collect())
    assert link.asked == [Collect, OpenRun, Collect]
    assert delivered == [[], None]

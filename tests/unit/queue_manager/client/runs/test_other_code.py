"""Whether a program that starts a run again is told that results are there of another function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from queue_manager.client.connection.session import Session
from queue_manager.client.runs.mapping import start_run
from queue_manager.wire.messages import RunStarted, StartRun


class FakeSession:
    """Its master has run 7. older: what it says of its results. asked: what it was asked."""

    def __init__(self, older: int) -> None:
        self.older = older
        self.asked: list[Any] = []

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        self.asked.append(make(1))
        return RunStarted(1, 7, False, self.older)

    async def call(self, make: Callable[[int], Any], answer: Any, what: str) -> Any:
        return await self.call_idempotent(make, answer)


@pytest.mark.parametrize("key", ["words", None])
@pytest.mark.parametrize("older", [0, 3_000])
def test_results_of_another_function_under_the_same_key_are_told_without_a_second_question(
    key: str | None, older: int, caplog: pytest.LogCaptureFixture
) -> None:
    session = FakeSession(older if key else 0)
    start = partial(StartRun, job="f", args=[], code={"f.py": b""})
    assert asyncio.run(start_run(cast(Session, session), start, key)) == 7
    assert session.asked == [start(1, key=key)]
    line = (
        "run 7 (f) has run other code before, and its 3,000 results stay: only what is left runs"
        " the code of now; take another key to make all of it anew"
    )
    assert caplog.messages == [line] * bool(key and older)

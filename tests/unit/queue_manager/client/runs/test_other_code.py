"""Whether a program that starts a run again is told that its function has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from queue_manager.client.connection.session import Session
from queue_manager.client.runs.other_code import tell_other_code
from queue_manager.errors import RefusedError
from queue_manager.job.files import version_of
from queue_manager.wire.messages import RunShown, StartRun
from queue_manager.wire.records import RunStatus

OLD, NEW = ({"f.py": f"work = {name}\n".encode()} for name in ("abs", "str"))
COUNTS = (5, 2, 0, 0, 3, 0, True, 0, 1.0, None)
HALF = RunStatus(7, "f", [], "active", *COUNTS, version=version_of(OLD), uploaded=True)
ENDED = msgspec.structs.replace(HALF, state="done", done=5, waiting=0, ended_at=2.0)


class FakeSession:
    """Knows one run, which has the key `words`."""

    def __init__(self, run: RunStatus) -> None:
        self.run, self.asked = run, 0

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        self.asked += 1
        if make(1).key != "words":
            raise RefusedError("no run has the key")
        return RunShown(1, self.run)


def told(
    caplog: pytest.LogCaptureFixture,
    run: RunStatus,
    code: dict[str, bytes] | None,
    key: str | None = "words",
) -> list[str]:
    session = FakeSession(run)
    start = partial(StartRun, job="f", args=[], code=code)
    asyncio.run(tell_other_code(cast(Session, session), start, key))
    assert session.asked == (code is not None and key is not None)
    return caplog.messages


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (HALF, "its 3 results stay: only what is left runs the code of now"),
        (ENDED, "its 5 results stay: take another key for new ones, or forget the run"),
    ],
)
def test_a_changed_function_under_the_same_key_is_told(
    run: RunStatus, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(caplog, run, NEW) == [f"run 7 (f) began with other code, and {line}"]


@pytest.mark.parametrize(
    ("run", "code", "key"),
    [
        (HALF, OLD, "words"),
        (HALF, NEW, "another"),
        (HALF, NEW, None),
        (HALF, None, "words"),
        (msgspec.structs.replace(HALF, done=0), NEW, "words"),
    ],
)
def test_nothing_is_told_where_all_results_are_of_one_function(
    run: RunStatus,
    code: dict[str, bytes] | None,
    key: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told(caplog, run, code, key) == []

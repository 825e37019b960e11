"""A job learns which task it runs: its run, its number, which try this is, and why again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from queue_manager import current_task

pytestmark = pytest.mark.usefixtures("patient")

PLAIN = """
from queue_manager import current_task
def work(n):
    now = current_task()
    return [now.run, now.task, now.attempt, n, now.retry_reason]
"""
COROUTINE = """
import asyncio
from queue_manager import Options, current_task
OPTIONS = Options(concurrency=3)
async def work(n):
    await asyncio.sleep(0.01 * (4 - n))
    return await inner(n)
async def inner(n):
    now = current_task()
    return [now.run, now.task, now.attempt, n, now.retry_reason]
"""


@pytest.mark.parametrize("code", [PLAIN, COROUTINE], ids=["plain", "coroutine"])
def test_a_task_knows_its_number_and_its_attempt(jobs: Any, run_worker: Any, code: str) -> None:
    jobs.write(code)

    async def scenario(rig: Any) -> None:
        whole = [jobs.lease([1, 2, 3], start=at) for at in range(3)]
        first = [msgspec.structs.replace(w, first=11, stop=at + 1) for at, w in enumerate(whole)]
        again = msgspec.structs.replace(jobs.lease([4]), first=20, attempts=2, reason="look")
        rig.give(*first, again)
        await rig.until(lambda: len(rig.done) == 4)
        told = sorted(rig.done.values(), key=lambda one: one[3])
        assert [one[1:] for one in told] == [
            [11, 1, 1, ""],
            [12, 1, 2, ""],
            [13, 1, 3, ""],
            [20, 3, 4, "look"],
        ]
        assert {one[0] for one in told} == {again.run}

    run_worker(scenario)


def test_elsewhere_there_is_no_current_task() -> None:
    with pytest.raises(LookupError, match="not running in a task of a worker"):
        current_task()

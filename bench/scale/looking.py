"""What pages of the web ask, of a store with 100,000 runs, a million failures and a month.

Each question goes through the wire, to a master that does nothing else, and each page over HTTP
through its web process. The store is made by its own verbs before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from master.changes import (
    BlockRecord,
    Changes,
    CollectCursor,
    RunCounts,
    RunRecord,
    RunState,
    TrackedRecord,
    TrackedState,
)
from master.history import FINE_S, MINUTE_S, HistoryRecord, Standing, begin_of
from queue_manager import codec
from queue_manager.client.connection.link import Link
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import RUNS_LOOKED_AT
from queue_manager.wire.messages import (
    Accepted,
    AskFailures,
    AskHistory,
    AskLetters,
    AskRuns,
    AskStatus,
    Failures,
    History,
    Letters,
    RetryRun,
    RunList,
    Status,
)
from queue_manager.wire.records import BLOCK_TASKS, RunOptions

from ..brief import sized
from ..figure import Figure
from ..rig import processes
from ..rig.session import client
from . import pages, written

RUNS = sized(100_000, 2_000)
LETTERS = sized(1_000_000, 20_000)
MINUTES = sized(31 * 24 * 60, 60)
BESIDE = sized((1_000, 60), (10, 6))
"""How many other runs have a history, and how many minutes each of them."""

ROUNDS = 5
PAGE = 50
CHART_STEPS = 120
"""How many points the charts of the pages ask for. Without a step an answer has up to 1,500."""

DAY_S = 86_400.0
MOST_S, MOST_HISTORY_S, MOST_HELD_S = 0.2, 0.05, 0.1
_STEP = 2_000
_RARE = 1_000
"""One letter in so many is of the failure that is looked for."""

Question = Callable[[Link], Awaitable[Any]]


def measure() -> list[Figure]:
    """Make the store once, and ask each question some times."""
    with processes.scratch() as folder:
        began = time.monotonic()
        written.fill(folder / "data", _changes(time.time()))
        written.prune_minutes(folder / "data", time.time() - FINE_S)
        made_s = time.monotonic() - began
        with processes.master(folder, more={"MASTER_HTTP_PORT": "0"}) as (master, port):
            figures = pages.seen(folder / "data" / "web", LETTERS)
            figures += asyncio.run(_asked(port))
            memory_mb = processes.memory_mb(master.pid, "VmHWM")
    return [
        Figure(f"{RUNS:,} runs and {LETTERS:,} dead letters are made", "s", (made_s,)),
        *figures,
        Figure("the master's memory, peak", "MB", (memory_mb,)),
    ]


async def _asked(port: int) -> list[Figure]:
    figures = []
    async with client(port) as link:
        for name, question, most_s in _questions(time.time()):
            rounds = []
            for _ in range(ROUNDS):
                began = time.monotonic()
                await question(link)
                rounds.append(time.monotonic() - began)
            figures.append(Figure(name, "s", tuple(rounds), at_most=most_s))
        figures += await _retried(link, port)
    return figures


def _questions(now: float) -> Iterator[tuple[str, Question, float]]:
    rare = FailureFilter(exception="KeyError", place="a.py:7")
    groups = partial(AskFailures, limit=PAGE)
    letters = partial(AskLetters, run=1, limit=PAGE)
    yield "groups of failures of all runs", _one(groups, Failures), MOST_S
    yield "groups of one run", _one(partial(groups, run=1), Failures), MOST_S
    yield "its newest dead letters", _one(letters, Letters), MOST_S
    yield "those of one group in a thousand", _one(partial(letters, only=rare), Letters), MOST_S
    choices: tuple[tuple[str, dict[str, Any]], ...] = (
        ("the newest runs", {}),
        ("runs of one job", {"job": "squares"}),
        ("failed runs", {"state": "failed"}),
        ("failed runs of one job", {"job": "squares", "state": "failed"}),
        ("a run by a text in its arguments", {"search": "number=17 "}),
        ("a text that no run has", {"search": "nowhere"}),
    )
    for what, choice in choices:
        yield f"a page of {what}", partial(_page, choice), MOST_S
    for what, days in (("hour", 1 / 24), ("day", 1.0), ("week", 7.0), ("month", 31.0)):
        for which, run in (("all runs", None), ("one run", 1)):
            ask = partial(AskHistory, run=run, since_at=now - days * DAY_S)
            yield f"the last {what} of {which}", _one(ask, History), MOST_HISTORY_S
    chart = partial(AskHistory, run=1, since_at=now - 31 * DAY_S, step_s=31 * DAY_S / CHART_STEPS)
    yield "the same in the steps of a chart", _one(chart, History), MOST_HISTORY_S


def _one(make: Callable[[int], Any], kind: type) -> Question:
    return lambda link: link.request(make, kind)


async def _page(choice: dict[str, Any], link: Link) -> int:
    """Ask until there is a page of runs, or there are no more."""
    found, after, complete = 0, 0, False
    while not complete and found < PAGE:
        ask = partial(AskRuns, after=after, limit=PAGE, ended=RUNS_LOOKED_AT, **choice)
        page = await link.request(ask, RunList)
        found += len(page.runs)
        after, complete = page.last, page.complete
    return found


async def _retried(link: Link, port: int) -> list[Figure]:
    """Try one group again, then all: how long it takes, and how long others wait meanwhile."""
    rare = FailureFilter(exception="KeyError", place="a.py:7")
    figures = []
    for name, only in (("one group in a thousand", rare), ("all dead letters", None)):
        async with client(port) as other:
            began, held_s = time.monotonic(), 0.0
            asked = asyncio.ensure_future(
                link.request(partial(RetryRun, run=1, only=only), Accepted)
            )
            while not asked.done():
                sent = time.monotonic()
                await other.request(AskStatus, Status)
                held_s = max(held_s, time.monotonic() - sent)
                await asyncio.sleep(0.005)
            took_s = time.monotonic() - began
            name = f"{name} of a run is tried again ({(await asked).tasks:,} tasks)"
        figures.append(Figure(name, "s", (took_s,)))
        figures.append(Figure(f"{name}: the longest wait of others", "s", (held_s,)))
    return figures


# --- what is in the store ------------------------------------------------------------------------


def _changes(now: float) -> Iterator[Changes]:
    yield from _runs(now)
    yield from _letters(now)
    yield from _history(now)


def _runs(now: float) -> Iterator[Changes]:
    """Ended runs of two jobs. Run 1 has the dead letters."""
    closed = CollectCursor(closed=True)
    for first in range(0, RUNS, _STEP):
        numbers = range(first + 1, min(first + _STEP, RUNS) + 1)
        yield Changes(
            runs={
                n: RunRecord(
                    n,
                    "squares" if n % 1_000 == 1 else "often",
                    [f"number={n} of many"],
                    f"key-{n}",
                    RunOptions(feeder="client"),
                    state=RunState.FAILED if n % 50 == 1 else RunState.DONE,
                    exhausted=True,
                    started_at=now - 60.0,
                    ended_at=now,
                    collect_cursor=closed,
                )
                for n in numbers
            },
            counts={n: RunCounts(9, 9, 9) for n in numbers},
        )


def _letters(now: float) -> Iterator[Changes]:
    body = codec.encode_batch([7] * BLOCK_TASKS)
    for number, first in enumerate(range(0, LETTERS, BLOCK_TASKS), 1):
        tasks = range(first + 1, min(first + BLOCK_TASKS, LETTERS) + 1)
        died = {(1, task): _letter(number, task, first, now) for task in tasks}
        counts = RunCounts(tasks[-1], dead=tasks[-1], last_dead=tasks[-1])
        block = BlockRecord(number, 1, first + 1, BLOCK_TASKS, body)
        yield Changes(blocks=[block], tracked=died, counts={1: counts})


def _letter(block: int, task: int, first: int, now: float) -> TrackedRecord:
    line, error = (7, "KeyError: 'x'") if task % _RARE == 0 else (5, f"ValueError: bad {task}")
    frames = "".join(
        f'  File "/app/lib/m{n}.py", line {n}, in call\n    call()\n' for n in range(4)
    )
    evidence = f'Traceback:\n{frames}  File "/app/jobs/a.py", line {line}, in work\n{error}\n'
    return TrackedRecord(
        1,
        task,
        block,
        task - first - 1,
        TrackedState.DEAD,
        3,
        0,
        due_at=now - 3_600.0 * (1 - task / LETTERS),
        error=error,
        evidence=evidence,
        worker=f"host{task % 8}/1",
        seq=task,
    )


def _history(now: float) -> Iterator[Changes]:
    """A month of run 1, and an hour of others."""
    last = begin_of(now) - MINUTE_S
    standing = Standing(1_000, 8, 0, 8, 8)
    for first in range(0, MINUTES, _STEP):
        minutes = range(first, min(first + _STEP, MINUTES))
        yield Changes(
            history=[
                HistoryRecord(1, last - n * MINUTE_S, done=600, busy_s=8.0, standing=standing)
                for n in minutes
            ]
        )
    runs, minutes_of_each = BESIDE
    for n in range(minutes_of_each):
        at = last - n * MINUTE_S
        yield Changes(
            history=[HistoryRecord(r, at, done=1, standing=standing) for r in range(2, runs + 2)]
        )

"""A store with a million groups, ten million results of the queue run and 100,000 ended runs.

Measured are the memory of the master, and how long other clients wait while it works on them. The
store is filled through its verbs, as a master fills it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from master.changes import (
    QUEUE_RUN,
    BlockRecord,
    Changes,
    CollectCursor,
    GroupRecord,
    RunCounts,
    RunRecord,
    RunState,
)
from queue_manager import codec
from queue_manager.wire.messages import AskRun, AskRuns, RunList, RunShown
from queue_manager.wire.records import (
    BLOCK_TASKS,
    GroupLimit,
    RunOptions,
    RunStatus,
)

from ..brief import sized
from ..figure import Figure
from ..rig import processes
from ..rig.session import client
from .written import fill, results, slices

GROUPS, RESULTS, ENDED = sized((1_000_000, 10_000_000, 100_000), (5_000, 100_000, 1_000))
WORK, PRUNED_S = sized((20_000, 15.0), (500, 1.0))
_PER_COMMIT = 10_000
_DAY_S = 86_400.0
_PROBE_S = 0.005
"""How often another client asks for something meanwhile."""
MOST_MB, MOST_START_S, MOST_STATUS_S, MOST_HELD_S = 100.0, 2.0, 0.3, 0.1


def measure() -> list[Figure]:
    """Measure a start, a status, work in the groups, and then the pruning of old runs."""
    with processes.scratch() as folder:
        until = folder / "until"  # nobody ever writes to it
        os.mkfifo(until)
        _fill(folder / "data", str(until))
        with processes.master(folder) as (master, port):
            figures = [Figure("start", "s", (master.start_s,), at_most=MOST_START_S)]
            figures += [_memory(master.pid, "after the start"), *_status(port)]
            with processes.worker(folder, port):
                held_s = asyncio.run(_probe(port, 1, lambda run: run.done >= WORK))
            figures.append(_held(f"{WORK:,} tasks of as many groups are done", held_s))
            figures.append(_memory(master.pid, "at work"))
        with processes.master(folder, more={"QUEUE_KEEP_DAYS": "0.01"}) as (master, port):
            end = time.monotonic() + PRUNED_S
            held_s = asyncio.run(_probe(port, QUEUE_RUN, lambda _: time.monotonic() > end))
            log = master.log.read_text()
            figures.append(_held("old runs are pruned", held_s))
            rate = log.count("was pruned") / PRUNED_S
            figures.append(Figure("runs pruned", "runs/s", (rate,)))
            figures.append(_memory(master.pid, "pruning"))
    return figures


def _memory(pid: int, when: str) -> Figure:
    mb = processes.memory_mb(pid, "VmHWM")
    return Figure(f"master, {when}, peak", "MB", (mb,), at_most=MOST_MB)


def _held(what: str, held_s: float) -> Figure:
    return Figure(f"longest answer while {what}", "s", (held_s,), at_most=MOST_HELD_S)


def _status(port: int) -> list[Figure]:
    command = [sys.executable, "-m", "master", "status"]
    environment = processes.environment_of({"QUEUE_PORT": str(port)})
    began = time.monotonic()
    subprocess.run(command, cwd=processes.ROOT, env=environment, check=True, capture_output=True)
    command_s = time.monotonic() - began
    answer_s = asyncio.run(_asked(port))
    return [
        Figure("status, the answer", "s", (answer_s,), at_most=MOST_STATUS_S),
        Figure("status, the command as a whole", "s", (command_s,)),
    ]


async def _asked(port: int) -> float:
    async with client(port) as link:
        began = time.monotonic()
        await link.request(AskRuns, RunList)
        return time.monotonic() - began


async def _probe(port: int, run: int, until: Callable[[RunStatus], bool]) -> float:
    """The longest wait for a small answer, in seconds, while `until` is false."""
    longest_s = 0.0
    async with client(port) as link:
        while True:
            began = time.monotonic()
            shown = await link.request(lambda seq: AskRun(seq, run), RunShown)
            longest_s = max(longest_s, time.monotonic() - began)
            if until(shown.run):
                return longest_s
            await asyncio.sleep(_PROBE_S)


# --- the store -----------------------------------------------------------------------------------


def _fill(data: Path, until: str) -> None:
    all_results = results(RESULTS // BLOCK_TASKS + 1, first_id=GROUPS + 1)
    fill(data, chain(_groups(until), all_results, _ended()))


def _groups(until: str) -> Iterator[Changes]:
    """A run with one task in each group. Each group has a limit of its own."""
    options = RunOptions(per_group=GroupLimit(at_once=1))
    run = RunRecord(1, "limited", [f"until={until}"], options=options, started_at=time.time())
    body = codec.encode_batch([7])
    own = GroupRecord(GroupLimit(at_once=2))
    for first, stop in slices(1, GROUPS + 1, _PER_COMMIT):
        tasks = range(first, stop)
        yield Changes(
            blocks=[BlockRecord(n, 1, n, 1, body, group=f"group {n}") for n in tasks],
            groups={(1, f"group {n}"): own for n in tasks},
            runs={1: run},
            counts={1: RunCounts(tasks=stop - 1)},
        )


def _ended() -> Iterator[Changes]:
    """Runs that ended a day ago, with nothing left to collect."""
    at = time.time() - _DAY_S
    for first, stop in slices(2, ENDED + 2, _PER_COMMIT):
        yield Changes(
            runs={
                n: RunRecord(
                    n,
                    "squares",
                    ["count=1"],
                    state=RunState.DONE,
                    exhausted=True,
                    started_at=at,
                    ended_at=at,
                    collect_cursor=CollectCursor(closed=True),
                )
                for n in range(first, stop)
            }
        )

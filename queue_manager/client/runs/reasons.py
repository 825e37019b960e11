"""Says why nothing of a run moves, in the program's log or to a person: the line of `qm status`.

A program that waits for a worker that never comes would wait in silence otherwise. So would one
whose master has no room on its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from ...errors import ConnectionLostError, QueueError, RefusedError
from ...wire.messages import AskRun, AskStatus, RunShown, Status
from ...wire.records import RunStatus
from ..connection.session import Session, is_over

log = logging.getLogger("quartermaster.client")

ASK_S = 5.2
"""How often the master is asked. It has a reason for a run of which nothing has run for 5 s."""


TELL_S = 1.0
"""How often the master is asked for a person, who looks at a terminal meanwhile."""

_FED_BY_NOBODY = "has not given all its inputs; none is connected:"
"""The master says so of a run that waits for inputs of a program that is not there."""


PASSES = "nothing to do"
"""How a line of the master ends that asks for nothing."""


_Hear = Callable[[RunStatus, list[str]], None]
"""Is given a status that was asked for, and what holds up every run."""


@contextlib.asynccontextmanager
async def saying_why(
    session: Session, run: int, waits: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    """Log why a run does not move, each reason once, as long as this context lasts.

    waits: whether the program waits for something of the run. If not, the master is not asked.
    """
    said: set[str] = set()

    def hear(status: RunStatus, troubles: list[str]) -> None:
        for line in _unsaid([*troubles, *_reasons(status)], said):
            log.warning("run %d (%s) waits: %s", run, status.job, line)

    async with _asking(_ask(session, run, waits, hear, ASK_S)):
        yield


@contextlib.asynccontextmanager
async def telling_why(
    session: Session, run: int, tell: Callable[[str], None]
) -> AsyncIterator[None]:
    """Tell a person who waits for a run why it does not move, as long as this context lasts.

    tell: is given each line of the master, also one that asks for nothing, when that line is new
        or had gone. A pending run's own lines are not among them: a watcher gets them at once.
    """
    said: set[str] = set()

    def hear(status: RunStatus, troubles: list[str]) -> None:
        lines = [*troubles, *(status.why if status.state != "pending" else ())]
        said.intersection_update(map(_kind, lines))
        for line in _unsaid(lines, said):
            tell(line)

    async with _asking(_ask(session, run, lambda: True, hear, TELL_S)):
        yield


def _kind(line: str) -> str:
    """The same for one reason: its numbers may change."""
    return re.sub(r"\d[\d.,:]*", "", line)


def _unsaid(lines: list[str], said: set[str]) -> Iterator[str]:
    """The lines whose kinds are not in `said`, which gets them."""
    for line in lines:
        if _kind(line) not in said:
            said.add(_kind(line))
            yield line


@contextlib.asynccontextmanager
async def _asking(ask: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    asking = asyncio.create_task(ask)
    try:
        yield
    finally:
        asking.cancel()


async def _ask(
    session: Session, run: int, waits: Callable[[], bool], hear: _Hear, every_s: float
) -> None:
    while True:
        await asyncio.sleep(every_s)
        if not waits():
            continue
        try:
            status = (await session.call_once(partial(AskRun, run=run), RunShown)).run
            troubles = await _troubles(session)
        except ConnectionLostError:
            continue  # the session says that itself
        except QueueError:
            return
        if is_over(status):
            return
        hear(status, troubles)


async def _troubles(session: Session) -> list[str]:
    """What holds up every run, unless it passes by itself as a restart of the master does."""
    try:
        told = await session.call_once(AskStatus, Status)
    except RefusedError:  # what the run waits for is worth knowing nevertheless
        return []
    return [line for line in told.why if not line.endswith(PASSES)]


def _reasons(status: RunStatus) -> Iterator[str]:
    """Those that a program wants to know: not that it waits for its own inputs, or as it asked."""
    for line in status.why:
        if status.state == "pending":
            if line.startswith("can't begin"):
                yield line
        elif status.waiting or status.state == "stalled" or _FED_BY_NOBODY in line:
            yield line

"""Says in the program's log why nothing of a run moves: the line that `qm status` has.

A program that waits for a worker that never comes would wait in silence otherwise. So would one
whose master has no room on its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from ...errors import ConnectionLostError, QueueError, RefusedError
from ...wire.messages import AskRun, AskStatus, RunShown, Status
from ...wire.records import RunStatus
from ..connection.session import Session, is_over

log = logging.getLogger("quartermaster.client")

ASK_S = 5.2
"""How often the master is asked. It has a reason for a run of which nothing has run for 5 s."""


_FED_BY_NOBODY = "has not given all its inputs; none is connected:"
"""The master says so of a run that waits for inputs of a program that is not there."""


PASSES = "nothing to do"
"""How a line of the master ends that asks for nothing."""


@contextlib.asynccontextmanager
async def saying_why(
    session: Session, run: int, waits: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    """Say why a run does not move, each reason once, as long as this context lasts.

    waits: whether the program waits for something of the run. If not, the master is not asked.
    """
    saying = asyncio.create_task(_say(session, run, waits))
    try:
        yield
    finally:
        saying.cancel()


async def _say(session: Session, run: int, waits: Callable[[], bool]) -> None:
    said: set[str] = set()
    while True:
        await asyncio.sleep(ASK_S)
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
        for line in [*troubles, *_reasons(status)]:
            kind = re.sub(r"\d[\d.,:]*", "", line)  # its numbers may change
            if kind not in said:
                said.add(kind)
                log.warning("run %d (%s) waits: %s", run, status.job, line)


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

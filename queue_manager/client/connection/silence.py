"""A session with one of several masters: when its master is silent, and another one is active.

A master that is merely busy is silent, too. So nobody leaves it unless another one greets as the
active master, which happens only after that one has taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Protocol

from ...wire.reach.masters import Masters
from ...wire.reach.places import Place
from .aside import aside

SILENT_S = 1.0
"""After this silence the master is asked whether it is there..."""
ANSWER_S = 0.7
"""... and after this much more the other masters are looked at."""
GRACE_S = 0.2
"""So much longer the answer may be on its way when another master has greeted."""
NAMES_S = 30.0
"""How often the name of a single master is looked up: a second one may have come."""
LOOK_S = (0.2, 0.4)
"""The time between two looks."""


class Connection(Protocol):
    """A connection that knows where it leads, when something has come, and when it has ended."""

    place: Place
    heard_at: float
    lost: asyncio.Future[str]

    def end(self, reason: str = "") -> None:
        """End it at once, for this reason."""


async def lost(stream: Connection, masters: Masters, ask: Callable[[], bool]) -> str:
    """Wait for the end of a connection. Returns its reason.

    A silent master is left if another one is active.

    ask: asks the master whether it is there; any answer will do. Returns whether it owes one.
    """
    while not masters.several:
        if not masters.may_grow:
            return await stream.lost
        await asyncio.wait([stream.lost], timeout=NAMES_S)
        if stream.lost.done():
            return stream.lost.result()
        with contextlib.suppress(OSError):
            await aside(masters.refresh)
    leaving = asyncio.create_task(_silenced(stream, masters, ask))
    try:
        await asyncio.wait([leaving, stream.lost], return_when=asyncio.FIRST_COMPLETED)
        if not stream.lost.done():
            stream.end(leaving.result())
        return await stream.lost
    finally:
        leaving.cancel()


async def _silenced(stream: Connection, masters: Masters, ask: Callable[[], bool]) -> str:
    """Wait until the master says nothing and another one is active. Returns that, for people."""
    place = stream.place
    while True:
        await _quiet(stream)
        asked_at = time.monotonic()
        if not ask():
            await asyncio.sleep(SILENT_S)
            continue
        await asyncio.sleep(ANSWER_S)
        while stream.heard_at < asked_at:
            other = await _elsewhere(masters, place)
            if other is not None:
                await asyncio.sleep(GRACE_S)
                if stream.heard_at < asked_at:
                    return f"{place.label} is silent, and {other.label} is the active master"
            await asyncio.sleep(random.uniform(*LOOK_S))


async def _quiet(stream: Connection) -> None:
    """Wait until nothing has come for a while."""
    while (left_s := stream.heard_at + SILENT_S - time.monotonic()) > 0:
        await asyncio.sleep(left_s)


async def _elsewhere(masters: Masters, place: Place) -> Place | None:
    try:
        return await aside(masters.look, place)
    except OSError:  # no thread, or out of file descriptors
        return None

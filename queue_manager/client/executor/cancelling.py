"""Takes calls back from the master, unless a worker has them. It runs in the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial

from ...errors import QueueError
from ...wire.messages import CancelRun, TasksCancelled
from ..connection.session import Session
from ..runs.feeding import Feed
from .future import QueueFuture

_RANGES = 1_000
"""How many ranges of tasks one request cancels."""


async def cancel_placed(
    session: Session, run: int, feed: Feed, placed: dict[int, QueueFuture]
) -> set[int]:
    """Cancel calls that the feed has got, by number. Returns those that no worker had.

    The others have begun. Nobody knows how a call is that is on its way to the master, so it is
    waited for. That the others are cancelled first may be what makes room for it.
    """
    gone: set[int] = set()
    left = sorted(placed)
    with contextlib.suppress(QueueError):  # how those are that are left is not known
        while left:
            accepted = feed.accepted
            there = [number for number in left if number <= accepted]
            left = left[len(there) :]
            cancelled = await _cancel(session, run, there)
            gone |= cancelled
            for number in there:
                if number not in cancelled:
                    placed[number].has_begun()
            if left:
                await feed.wait_accepted(left[0])
    return gone


async def _cancel(session: Session, run: int, numbers: list[int]) -> set[int]:
    gone: set[int] = set()
    ranges = _ranges(numbers)
    for at in range(0, len(ranges), _RANGES):
        make = partial(CancelRun, run=run, tasks=ranges[at : at + _RANGES])
        while True:
            told = await session.call_idempotent(make, TasksCancelled)
            gone.update(number for a, b in told.ranges for number in range(a, b))
            if told.complete:
                break
    return gone


async def cancel_unstarted(session: Session, run: int) -> None:
    """Cancel all calls of a run that no worker has."""
    make = partial(CancelRun, run=run, unstarted=True)
    while not (await session.call_idempotent(make, TasksCancelled)).complete:
        pass


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers in order as ranges: each has the first, and the one behind the last."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found

"""Knows which call of this program gives a run its inputs, in one session. The newest one does.

The master knows programs and sessions, not calls. Two calls that gave one run their inputs side by
side would double its tasks, and each would take results of the other's inputs for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol
from weakref import WeakValueDictionary

from ...errors import QueueError


class Holder(Protocol):
    """A call that has a run."""

    @property
    def feeds(self) -> bool:
        """Whether it still gives inputs."""
        ...

    async def cut_off(self, error: QueueError) -> None:
        """Send nothing more for the run, and have whoever waits raise the error."""
        ...


class Holders:
    """The calls that have a run each, by the run's number."""

    def __init__(self) -> None:
        self._holders: dict[int, Holder] = {}
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def taking(self, run: int, holder: Holder) -> AsyncIterator[None]:
        """Open the run within this context: no other call has it then.

        A call that still feeds it is cut off before. That may be a generator that a notebook has
        kept when its cell was run again. A call that only reads goes on.
        """
        lock = self._locks.setdefault(run, asyncio.Lock())
        async with lock:
            before = self._holders.get(run)
            if before is not None and before.feeds:
                told = f"a later call of this program has taken run {run} up, with the same key"
                await before.cut_off(QueueError(f"{told}: take another key for other inputs"))
            self._holders[run] = holder
            try:
                yield
            except BaseException:
                self.leave(run, holder)
                raise

    def leave(self, run: int, holder: Holder) -> bool:
        """A call has no more use for a run. Returns whether no later call has it."""
        if self._holders.get(run, holder) is not holder:
            return False
        self._holders.pop(run, None)
        return True

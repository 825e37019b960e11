"""The third step of a turn: what was staged becomes durable, in one transaction.

Owns the decision whether there is something to write. A store may commit within the call, or in an
awaitable that it returns; then the loop goes on meanwhile.
"""

from __future__ import annotations

import time

from ..broker import Broker
from ..store.contract import Store
from ..tally.histogram import WORK_BOUNDS_S, Histogram
from .prepare import ended


class Commit:
    """Commits what a broker has staged.

    progress_due: how far collecting has come is to be written even if nothing else is. seconds: how
    long the store took for each commit that took place.
    """

    def __init__(self, broker: Broker, store: Store) -> None:
        self._broker = broker
        self._store = store
        self.progress_due = False
        self.seconds = Histogram(WORK_BOUNDS_S)

    @property
    def is_due(self) -> bool:
        """Whether somebody waits for what is staged to be on disk."""
        broker = self._broker
        return broker.changes.must_commit or broker.delivering or self.progress_due

    async def commit(self) -> None:
        """Make durable what is staged. If it raises anything, nothing of it is on disk."""
        self._broker.add_progress()
        began = time.monotonic()
        await ended(self._store.commit(self._broker.changes))
        self.seconds.observe(time.monotonic() - began)
        self.progress_due = False

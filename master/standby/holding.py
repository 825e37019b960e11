"""What the active master's loop knows of its ownership: whether it is lost, who the others are."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from typing import TYPE_CHECKING

from queue_manager.wire.masters import MasterStatus

from ..store.contract import Store

if TYPE_CHECKING:  # psycopg is an extra
    from ..store.postgres.ownership.claim import Claim
    from ..store.postgres.ownership.watch import Watch

_LOOK_S = 0.25


def load_engine() -> None:
    """Load the modules that a store needs, before it is needed."""
    importlib.import_module("master.store.postgres.engine")


class Holding:
    """This master is the active one. Make it in the running loop.

    listening: the number of the socket that listens already, for the service. epoch: of this
    ownership. lost: is set when another master has taken over or may do so; why: the line about it.
    """

    def __init__(self, claim: Claim, watch: Watch, listening: int) -> None:
        self._claim, self._watch = claim, watch
        self.listening, self.epoch = listening, claim.epoch
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        claim.on_lost = self._note
        self._looking = self._loop.create_task(self._look())
        watch.start()

    @property
    def why(self) -> str:
        """Why it is lost."""
        return self._claim.lost

    @property
    def store_shown(self) -> str:
        """Where the store is, without a password."""
        return self._claim.me.address.shown

    def open_store(self) -> Store:
        """The store, which releases the ownership when it is closed. Raises StoreError."""
        from ..store.postgres.engine import PostgresStore

        store: Store = PostgresStore(self._claim)
        return store

    def masters(self) -> list[MasterStatus]:
        """All masters of this store, the active one first."""
        return self._watch.masters()

    def has_standby(self) -> bool:
        """Whether another master would go on at once."""
        return any(master.role == "standby" for master in self.masters())

    def release(self) -> None:
        """Give the ownership up in good order, if the store has not done so."""
        self._looking.cancel()
        self._claim.release()

    def _note(self, why: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self.lost.set)

    async def _look(self) -> None:
        while not self._claim.lost:
            self._watch.look(time.monotonic())
            await asyncio.sleep(_LOOK_S)
        self.lost.set()

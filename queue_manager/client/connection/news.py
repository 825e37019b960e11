"""What the master tells of watched runs, for all who watch them in one session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ...errors import RefusedError
from ...wire.messages import Refused, Reply, RunShown
from ...wire.records import RunStatus


class Watcher:
    """Somebody who watches a run: the newest that was told of it. Older news are dropped.

    seq: that of the request which the newest news belong to.
    """

    def __init__(self) -> None:
        self.newest: RunShown | Refused | None = None
        self.seq = 0
        self.came = asyncio.Event()

    def tell(self, message: RunShown | Refused | None) -> None:
        """Something new, or that the session was lost."""
        self.newest = message
        if message is not None:
            self.seq = message.seq
        self.came.set()


class News:
    """What is told of watched runs, for all who watch them in this session."""

    def __init__(self) -> None:
        self._watchers: dict[int, set[Watcher]] = {}
        self._runs: dict[int, int] = {}
        self.losses = 0

    def join(self, run: int) -> Watcher:
        """One more who watches a run."""
        watcher = Watcher()
        self._watchers.setdefault(run, set()).add(watcher)
        return watcher

    def leave(self, run: int, watcher: Watcher) -> bool:
        """One less. Returns whether nobody watches the run any more."""
        watchers = self._watchers[run]
        watchers.discard(watcher)
        if watchers:
            return False
        del self._watchers[run]
        self._runs = {seq: other for seq, other in self._runs.items() if other != run}
        return True

    def asked(self, seq: int, run: int) -> None:
        """A request to watch a run. The newest one counts: the master tells each session once."""
        self._runs[seq] = run

    def heard(self, message: Reply) -> None:
        """A message that answers no request."""
        if isinstance(message, RunShown):
            run = message.run.run
        elif isinstance(message, Refused):
            run = self._runs.get(message.seq, -1)
        else:
            return
        for watcher in self._watchers.get(run, ()):
            watcher.tell(message)

    def answered(self, shown: RunShown) -> None:
        """The first answer to a request to watch a run. The master tells it to nobody else.

        Later ones of the same request may have been heard already, for whoever waits for an answer
        gets it only in a later turn of the loop. Those are newer.
        """
        for watcher in self._watchers.get(shown.run.run, ()):
            if watcher.seq < shown.seq:
                watcher.tell(shown)

    def lost(self, reason: str) -> None:
        """The session has ended. Nothing more comes of the runs that it watched."""
        self.losses += 1
        self._runs.clear()
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.tell(None)

    async def of(self, watcher: Watcher, losses: int) -> AsyncIterator[RunStatus]:
        """Each new answer about a watched run, until the session is lost.

        losses: how many sessions were lost before the request to watch it.

        Raises RefusedError when the run is no more.
        """
        while self.losses == losses:
            message, watcher.newest = watcher.newest, None
            if isinstance(message, Refused):
                raise RefusedError(message.error)
            if isinstance(message, RunShown):
                yield message.run
            else:
                watcher.came.clear()
                await watcher.came.wait()

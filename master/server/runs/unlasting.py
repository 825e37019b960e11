"""Ends runs that are not lasting when their client has gone: a map of a program that was killed.

Knows which session has such a run. A client that comes back in time opens its run again.
"""

from __future__ import annotations

import asyncio
import logging
import time

from queue_manager.errors import QueueError
from queue_manager.log_lines import about, about_run
from queue_manager.server.connection import Peer

from ...broker.runs.run import Run
from ...changes import Changes
from ...turn.answer import log_failure
from ...turn.run_lookup import recall
from ...turn.turn import Turn
from .run_control import RunControl

AWAY_S = 60.0
"""How long a client may be away, as over a restart of the master or a break of its network."""

log = logging.getLogger("quartermaster.master")


class Unlasting:
    """The runs that are not lasting. control: cancels and forgets them."""

    def __init__(self, turn: Turn, control: RunControl) -> None:
        self._turn, self._control = turn, control
        self._away_since: dict[int, float] = {}
        self._peers: dict[int, Peer] = {}
        self._runs: dict[Peer, set[int]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def started(self, run: Run) -> None:
        """A run has begun: its client is to open it."""
        if run.goes_with_client:
            self._away_since[run.id] = time.monotonic()

    def restarted(self) -> None:
        """The master has started: clients are to open their runs again, those too that ended."""
        for run in self._turn.broker.runs.values():
            self.started(run)

    def opened(self, run: Run, peer: Peer) -> None:
        """A session has opened a run."""
        if run.goes_with_client:
            self._leave(run.id)
            self._away_since.pop(run.id, None)
            self._peers[run.id] = peer
            self._runs.setdefault(peer, set()).add(run.id)

    def closed(self, peer: Peer) -> None:
        """A session has ended."""
        for run in self._runs.pop(peer, ()):
            del self._peers[run]
            self._away_since[run] = time.monotonic()

    def after_commit(self, changes: Changes, now: float) -> None:
        """Drop the runs that this turn has removed."""
        for run in changes.forgotten:
            self._leave(run)
            self._away_since.pop(run, None)

    def tick(self, now: float) -> None:
        """End the runs whose clients have been away for too long."""
        for number, since in list(self._away_since.items()):
            if now - since < AWAY_S:
                continue
            self._away_since[number] = now  # if it fails, it is tried again
            task = asyncio.get_running_loop().create_task(self._end(number))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.add_done_callback(log_failure)

    async def _end(self, number: int) -> None:
        try:
            run = recall(self._turn, number)
            if run is None:
                self._away_since.pop(number, None)
                return
            what = run.id, run.job
            log.info("run %d (%s) ends: its client has not come back", *what, extra=about_run(run))
            await self._control.remove(run)
        except QueueError as error:
            log.warning("run %d can't be removed yet: %s", number, error, extra=about(run=number))

    def _leave(self, run: int) -> None:
        peer = self._peers.pop(run, None)
        if peer is not None:
            self._runs[peer].discard(run)
            if not self._runs[peer]:
                del self._runs[peer]

"""Knows which session feeds a run: that of its runner, or of the client that opened it last.

A client that comes back opens its run again and goes on behind the tasks that were accepted. Tasks
that its old session still sends are refused after that, or they would be accepted twice.
"""

from __future__ import annotations

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer

from ...broker.runs.run import Run
from ...changes import Changes
from ..dispatch import OurSession


class Feeders:
    """The sessions of clients that feed runs."""

    def __init__(self) -> None:
        self._peers: dict[int, Peer] = {}
        self._runs: dict[Peer, set[int]] = {}

    def take_up(self, run: Run, peer: Peer) -> None:
        """A session has opened a run. If a client feeds the run, that is this session from now."""
        if run.options.feeder == "client" and not run.exhausted and run.active:
            self._leave(run.id)
            self._peers[run.id] = peer
            self._runs.setdefault(peer, set()).add(run.id)

    def check(self, run: Run, peer: Peer) -> None:
        """Raise RefusedError if this session may not give tasks to a run."""
        if run.options.feeder == "clients":
            return
        if run.options.feeder == "client":
            if self._peers.get(run.id) is not peer:
                other = "another session has opened it since" if run.id in self._peers else ""
                raise RefusedError(f"run {run.id}: {other or 'open it first'}")
        elif isinstance(peer.session, OurSession) and peer.session.hello.role == "client":
            raise RefusedError(f"run {run.id} has a runner, which gives its tasks")

    def connected(self, run: Run) -> bool:
        """Whether the client that feeds a run has a session."""
        return run.id in self._peers

    def closed(self, peer: Peer) -> None:
        """A session has ended."""
        for run in self._runs.pop(peer, ()):
            del self._peers[run]

    def after_commit(self, changes: Changes, now: float) -> None:
        """Forget the runs that this turn has ended or removed."""
        for run in changes.ended | changes.forgotten:
            self._leave(run)

    def _leave(self, run: int) -> None:
        peer = self._peers.pop(run, None)
        if peer is not None:
            self._runs[peer].discard(run)
            if not self._runs[peer]:
                del self._runs[peer]

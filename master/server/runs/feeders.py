"""Knows which session feeds a run: that of its runner, or of the client that opened it last.

A client has its run from when it asks for it until it says that it has read it, or until its
session ends. No other program may ask for it or open it meanwhile.

A client that comes back opens its run again and goes on behind the tasks that were accepted. Tasks
that its old session still sends are refused after that, or they would be accepted twice.
"""

from __future__ import annotations

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer

from ...broker.runs.run import Run
from ...changes import Changes
from ..dispatch import OurSession

_WAIT = "wait for it, or take another key"
_HAS_GIVEN = "start again when that one has given its inputs, or take another key"


def _program(peer: Peer) -> object:
    """What tells a program from others: its id, or of an older one its host and its process.

    Containers on two hosts may share both names and process numbers.
    """
    session = peer.session
    if not isinstance(session, OurSession):
        return peer
    hello = session.hello
    return hello.program or (hello.host, hello.pid)


class Feeders:
    """The sessions of clients that feed runs, until they have read them.

    _asked: the runs that a session has asked for and has not opened yet. _read: those that a
    session needs no more, though they go on.
    """

    def __init__(self) -> None:
        self._peers: dict[int, Peer] = {}
        self._runs: dict[Peer, set[int]] = {}
        self._asked: set[int] = set()
        self._read: set[int] = set()

    def asked(self, run: Run, peer: Peer | None) -> None:
        """A session has asked for a run, which nobody else has: it will open it.

        Of two programs that ask at the same time, the second one would give the run its code, and
        learn only then that the first one feeds it.
        """
        if run.options.feeder != "client" or run.exhausted or not run.active:
            return
        taken = run.id in self._peers and run.id not in self._read
        if peer is not None and not (taken or peer.gone):
            self._take(run.id, peer)
            self._asked.add(run.id)

    def unasked(self, run: Run, peer: Peer | None) -> None:
        """What a session has asked for could not be made durable."""
        if run.id in self._asked and self._peers.get(run.id) is peer:
            self._leave(run.id)

    def take_up(self, run: Run, peer: Peer) -> None:
        """A session opens a run. If a client feeds the run, that is this session from now.

        Raises RefusedError if another program feeds it. Both may have asked for it, if the master
        has started again in between.
        """
        if run.options.feeder == "client":
            self.check_free(run, peer)
            self._take(run.id, peer)

    def check(self, run: Run, peer: Peer) -> None:
        """Raise RefusedError if this session may not give tasks to a run."""
        if run.options.feeder == "clients":
            return
        if run.options.feeder == "client":
            holder = self._peers.get(run.id)
            if holder is None or (holder is peer and run.id in self._asked):
                raise RefusedError(f"run {run.id}: open it first")
            if holder is not peer:
                same = _program(holder) == _program(peer)
                who = "another call of this program" if same else "another program"
                fed = f"run {run.id} is fed by {who} now ({holder.name})"
                raise RefusedError(f"{fed}, and no more by this one: {_HAS_GIVEN}")
        elif isinstance(peer.session, OurSession) and peer.session.hello.role == "client":
            raise RefusedError(f"run {run.id} has a runner, which gives its tasks")

    def check_free(self, run: Run, peer: Peer | None, *, other_code: bool = False) -> None:
        """Raise RefusedError if another program that is there has a run, and would be disturbed.

        Two programs that feed one run give it a mixture of their inputs. One that only reads what
        is left is disturbed by other code. A program that has come back in a new session is the
        same one, though the master may still have its old session.
        """
        holder = self._peers.get(run.id)
        if holder is None or holder is peer or run.id in self._read or not run.active:
            return
        if peer is None or _program(holder) == _program(peer):
            return
        if not run.exhausted or other_code:
            does = "read" if run.exhausted else "fed"
            whose = f"run {run.id} of key {run.key!r} is being {does} by another program"
            raise RefusedError(f"{whose} ({holder.name}): {_WAIT}")

    def connected(self, run: Run) -> bool:
        """Whether the client that feeds a run, or still reads it, has a session."""
        return run.id in self._peers and run.id not in self._read

    def has_read(self, run: Run, peer: Peer) -> None:
        """A session says that it needs no more of a run."""
        if self._peers.get(run.id) is not peer:
            return
        if run.active and not run.exhausted:  # the same program may have begun to feed it again
            self._read.add(run.id)
        else:
            self._leave(run.id)

    def closed(self, peer: Peer) -> None:
        """A session has ended."""
        for run in list(self._runs.get(peer, ())):
            self._leave(run)

    def after_commit(self, changes: Changes, now: float) -> None:
        """Drop the runs that this turn has removed, or ended when they were read."""
        for run in changes.forgotten | (changes.ended & self._read):
            self._leave(run)

    def _take(self, run: int, peer: Peer) -> None:
        self._leave(run)
        self._peers[run] = peer
        self._runs.setdefault(peer, set()).add(run)

    def _leave(self, run: int) -> None:
        self._asked.discard(run)
        self._read.discard(run)
        peer = self._peers.pop(run, None)
        if peer is not None:
            self._runs[peer].discard(run)
            if not self._runs[peer]:
                del self._runs[peer]

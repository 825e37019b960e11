"""Tells how a run goes on: to sessions that watch it, and to the command `run`.

A watcher is told at most every `TELL_S`. While it does not read, it is told nothing: later it gets
the newest state, never a queue of older ones. Without watchers a turn pays for one look at an empty
dict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import Refused, RunShown, WatchRun
from queue_manager.wire.records import RunStatus

from ..broker.runs.run import Run
from ..changes import Changes
from ..turn.answer import PeerReply, send
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Turn

TELL_S = 0.1

WATCHES = 1_000
"""How many runs a session may watch."""

UNREAD_BYTES = 64 * 1024
"""A session that has not read so much of what it was sent is told later."""

_GOES_ON = ("pending", "active", "finishing", "stalled")


@dataclass(slots=True, eq=False)
class _Watch:
    """One watcher of one run.

    counts: as it was last told. tell: returns False when the watcher must be told later.
    """

    run: Run
    tell: Callable[[RunStatus], bool]
    refuse: Callable[[str], None]
    peer: Peer | None = None
    counts: tuple[object, ...] = ()


class Subscriptions:
    """Answers `WatchRun`.

    Args:
        describe: how a run is.
    """

    def __init__(self, turn: Turn, describe: Callable[[Run], RunStatus]) -> None:
        self._turn = turn
        self._describe = describe
        self._watches: dict[int, list[_Watch]] = {}
        self._peers: dict[Peer, dict[int, _Watch]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def watch(self, reply: PeerReply, message: WatchRun) -> None:
        """Tell a session how a run is, now and whenever it has changed.

        This is the one request that has many answers. Each of them has its seq.
        """
        peer = reply.peer
        run = recall(self._turn, message.run) or find_run(self._turn, message.run)
        before = self._peers.get(peer, {}).get(run.id)
        if before is not None:
            self._drop(before)
        if not message.on:
            reply.send(RunShown(message.seq, self._describe(run)))
            return
        if len(self._peers.get(peer, ())) >= WATCHES:
            raise RefusedError(f"a session watches at most {WATCHES:,} runs")
        tell, refused = partial(_tell, peer, message.seq), partial(_refuse, peer, message.seq)
        self._follow(_Watch(run, tell, refused, peer))

    def follow(self, run: Run, tell: Callable[[RunStatus], None]) -> None:
        """Tell a part of this process how a run is, now and whenever it has changed."""

        def told(status: RunStatus) -> bool:
            tell(status)
            return True

        self._follow(_Watch(run, told, lambda error: None))

    def changed(self, run: Run) -> None:
        """A run was given up or is held up: watchers are told, although no count has changed."""
        for watch in self._watches.get(run.id, ()):
            watch.counts = ()
            self._tell_later()

    def closed(self, peer: Peer) -> None:
        """A session has ended."""
        for watch in list(self._peers.get(peer, {}).values()):
            self._drop(watch)

    def after_commit(self, changes: Changes, now: float) -> None:
        """Have watchers told of what this turn has changed."""
        if not self._watches:
            return
        for run in changes.forgotten & self._watches.keys():
            for watch in list(self._watches[run]):
                self._drop(watch)
                watch.refuse(f"run {run} was forgotten")
        if changes.ended & self._watches.keys():
            self._tell_all()
        else:
            self._tell_later()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._watches.clear()
        self._peers.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _follow(self, watch: _Watch) -> None:
        """Tell it once, and go on telling it unless the run has ended."""
        run, status = watch.run, self._describe(watch.run)
        if watch.tell(status):
            watch.counts = self._counts(run)
        if watch.counts and _is_over(status):
            return
        self._watches.setdefault(run.id, []).append(watch)
        if watch.peer is not None:
            self._peers.setdefault(watch.peer, {})[run.id] = watch
        self._tell_later()

    def _tell_later(self) -> None:
        if self._timer is None and self._watches:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._told_at + TELL_S)
            self._timer = loop.call_at(due, self._tell_all)

    def _tell_all(self) -> None:
        """Tell each watcher whose run has changed since it was told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._told_at = asyncio.get_running_loop().time()
        late = [self._tell_watchers(watches) for watches in list(self._watches.values())]
        if any(late):
            self._tell_later()

    def _tell_watchers(self, watches: list[_Watch]) -> bool:
        """Tell the watchers of one run. Returns whether one of them is to be told later."""
        run = watches[0].run
        counts = self._counts(run)
        due = [watch for watch in watches if watch.counts != counts]
        if not due:
            return False
        status = self._describe(run)
        told = [watch for watch in due if watch.tell(status)]
        for watch in told:
            watch.counts = counts
        if _is_over(status):
            for watch in told:
                self._drop(watch)
        return len(told) < len(due)

    def _counts(self, run: Run) -> tuple[Any, ...]:
        return _counts_of(self._turn.broker.on_disk(run))

    def _drop(self, watch: _Watch) -> None:
        number = watch.run.id
        self._watches[number].remove(watch)
        if not self._watches[number]:
            del self._watches[number]
        if watch.peer is not None:
            del self._peers[watch.peer][number]
            if not self._peers[watch.peer]:
                del self._peers[watch.peer]


def _tell(peer: Peer, seq: int, status: RunStatus) -> bool:
    if peer.unread_bytes > UNREAD_BYTES:
        return False
    send(peer, RunShown(seq, status))
    return True


def _refuse(peer: Peer, seq: int, error: str) -> None:
    send(peer, Refused(seq, error))


def _is_over(status: RunStatus) -> bool:
    return status.state not in _GOES_ON


_OTHER_NAMES = {"run", "why", "quotas", "values", "feeder"}
"""The fields of a status that a run does not have under the same name."""

_NAMES = [name for name in RunStatus.__struct_fields__ if name not in _OTHER_NAMES]

# The state "pending" ends when it waits for nothing, "finishing" when the cursor is closed.
_counts_of: Callable[[Run], tuple[Any, ...]] = attrgetter(
    *_NAMES, "collect_cursor.closed", "waits_for"
)
"""What a watcher is told of when it changes. A new field of a status needs no line here."""

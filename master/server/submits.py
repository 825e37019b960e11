"""Tasks that a runner or a client submits: their admission, and the pause of who is far ahead.

Knows nothing of keys and quotas (`admission`), nor of outcomes (`pages`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.wire.limits import SUBMIT_KEYS
from queue_manager.wire.messages import Accepted, SubmitTasks, TasksEnded

from ..broker.run import Run
from ..changes import QUEUE_RUN, Changes
from ..turn.answers import refuse, send
from ..turn.run_lookup import find_run
from ..turn.turn import Answer, Step, Turn
from .admission import FollowUps, check
from .feeders import Feeders

AHEAD_TASKS = 100_000
AHEAD_BYTES = 64 * 1024 * 1024
"""A runner pauses while more tasks than this wait in its run, or more bytes of payloads."""


@dataclass(slots=True)
class _Paused:
    """A runner that waits for the workers to catch up. tasks: how many its answer accepts."""

    peer: Peer
    seq: int
    run: Run
    tasks: int


class Submits:
    """Answers `SubmitTasks` and `TasksEnded`."""

    def __init__(self, turn: Turn, follow_ups: FollowUps, feeders: Feeders) -> None:
        self._turn = turn
        self._follow_ups = follow_ups
        self._feeders = feeders
        self._paused: dict[int, list[_Paused]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def submit(self, peer: Peer, message: SubmitTasks) -> None:
        """New tasks. The answer waits while the run is too far ahead."""
        run = find_run(self._turn, message.run)
        if sum(len(block.keys or ()) for block in message.blocks) > SUBMIT_KEYS:
            raise RefusedError(f"a submit has at most {SUBMIT_KEYS:,} keys")

        def stage(now: float, wall: float) -> Answer:
            if not run.active or run.exhausted or run.id == QUEUE_RUN:
                raise RefusedError(f"run {run.id} takes no more tasks")
            self._feeders.check(run, peer)
            for block in message.blocks:
                check(block)
            fresh = self._follow_ups.fresh(run, message.blocks)
            count = self._follow_ups.stage(run, fresh, now, wall, from_tasks=True)
            # The answer may wait for long. It does not keep the message: its payloads are on disk.
            tasks = sum(block.count for block in message.blocks)
            size = sum(len(block.body) for block in message.blocks)
            paused = _Paused(peer, message.seq, run, count)
            return partial(self._accepted, run, paused, tasks, size)

        self._post(peer, message.seq, stage)

    def tasks_ended(self, peer: Peer, message: TasksEnded) -> None:
        """The run gets no more tasks of its feeder."""
        run = find_run(self._turn, message.run)

        def stage(now: float, wall: float) -> Answer:
            if run.id == QUEUE_RUN:
                raise RefusedError("the queue run never ends")
            if not run.exhausted:  # a client that did not hear the answer says it again
                self._feeders.check(run, peer)
            self._turn.broker.exhaust(run)
            return partial(send, peer, Accepted(message.seq, 0))

        self._post(peer, message.seq, stage)

    def _post(self, peer: Peer, seq: int, stage: Callable[[float, float], Answer]) -> None:
        """Post a runner's request, which waits for a store that fails: a refusal ends a runner."""
        self._turn.post(Step(stage, partial(refuse, peer, seq), waits=True, of=peer))

    def closed(self, peer: Peer) -> None:
        """A session has ended: nobody waits there any more."""
        for run, waiting in list(self._paused.items()):
            self._paused[run] = [paused for paused in waiting if paused.peer is not peer]
            if not self._paused[run]:
                del self._paused[run]

    def turned(self, changes: Changes, now: float) -> None:
        """Answer the runners that are no longer too far ahead."""
        for run_id in changes.forgotten:
            for paused in self._paused.pop(run_id, []):
                refuse(paused.peer, paused.seq, f"run {run_id} was forgotten")
            self._sizes.pop(run_id, None)
        for run_id, waiting in list(self._paused.items()):
            if not self._is_ahead(waiting[0].run):
                del self._paused[run_id]
                for paused in waiting:
                    send(paused.peer, Accepted(paused.seq, paused.tasks))
        for run_id in changes.ended:
            self._sizes.pop(run_id, None)

    def _accepted(self, run: Run, paused: _Paused, tasks: int, size: int) -> None:
        before = self._sizes.get(run.id, (0, 0))
        self._sizes[run.id] = before[0] + tasks, before[1] + size
        if self._is_ahead(run):
            self._paused.setdefault(run.id, []).append(paused)
        else:
            send(paused.peer, Accepted(paused.seq, paused.tasks))

    def _is_ahead(self, run: Run) -> bool:
        waiting = run.waiting + run.delayed
        tasks, size = self._sizes.get(run.id, (0, 0))
        return waiting > AHEAD_TASKS or waiting * size > AHEAD_BYTES * max(1, tasks)

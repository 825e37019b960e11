"""Takes tasks that a runner or a client submits, and pauses a runner that is far ahead.

Knows nothing of keys and quotas (`admission`), nor of outcomes (`pages`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.server.connection import Peer
from queue_manager.wire.limits import SUBMIT_DELAYED, SUBMIT_KEYS
from queue_manager.wire.messages import Accepted, SubmitTasks, TasksEnded

from ...broker.runs.run import Run
from ...changes import QUEUE_RUN, Changes
from ...reads import ReadRequest
from ...turn.answer import LATER, Later, PeerReply
from ...turn.known import Known
from ...turn.run_lookup import check_run, find_run
from ...turn.steps import Publish, Step
from ...turn.turn import Turn
from .admission import Admission, check
from .feeders import Feeders

AHEAD_TASKS = 100_000
AHEAD_BYTES = 64 * 1024 * 1024
"""A runner pauses while more tasks than this wait in its run, or more bytes of payloads."""


@dataclass(slots=True)
class _Paused:
    """A runner that waits for the workers to catch up. tasks, first: what its answer accepts."""

    reply: PeerReply
    run: Run
    tasks: int
    first: int

    @property
    def answer(self) -> Accepted:
        return Accepted(self.reply.seq, self.tasks, self.first if self.tasks else 0)


def _takes_no_more(run: Run) -> str:
    """Why a run takes no tasks, and what to do."""
    text = f"run {run.id} takes no more tasks"
    if run.id == QUEUE_RUN:
        return text
    if run.state == "cancelled":
        why = "it was cancelled"
    else:
        why = f"it has {'all of its' if run.active else 'ended with'} {run.accepted:,} inputs"
    free = f"forget it (`qm forget {run.id}`), or take another key"
    return f"{text}: {why}; {free if run.options.lasting else 'begin another one'}"


class Submits:
    """Answers `SubmitTasks` and `TasksEnded`."""

    def __init__(self, turn: Turn, admission: Admission, feeders: Feeders) -> None:
        self._turn = turn
        self._feeders = feeders
        self._admission = admission
        self._paused: dict[int, list[_Paused]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def submit(self, reply: PeerReply, message: SubmitTasks) -> None:
        """Take new tasks. The answer waits while the run is too far ahead."""
        run = find_run(self._turn, message.run)
        if sum(len(block.keys or ()) for block in message.blocks) > SUBMIT_KEYS:
            raise RefusedError(f"a submit has at most {SUBMIT_KEYS:,} keys")
        if sum(block.count for block in message.blocks if block.delay_s > 0) > SUBMIT_DELAYED:
            raise RefusedError(f"a submit has at most {SUBMIT_DELAYED:,} delayed tasks")

        size = sum(len(block.body) for block in message.blocks)

        def needs(known: Known) -> Iterator[ReadRequest]:
            request = ReadRequest()
            self._admission.needs(request, run.id, message.blocks)
            yield request

        def stage(now: float, wall: float) -> Publish:
            if not run.active or run.exhausted or run.id == QUEUE_RUN:
                raise RefusedError(_takes_no_more(run))
            if run.pending:
                raise RefusedError(f"run {run.id} has not begun: it waits for others")
            self._feeders.check(run, reply.peer)
            for block in message.blocks:
                check(block)
            admitted = self._admission.admit(run, message.blocks)
            first = run.tasks + 1 if run.options.feeder == "clients" else 0
            count = self._admission.stage(run, admitted, now, wall, from_tasks=True)
            # The answer may wait for long. It must not keep the message: its payloads are on disk.
            tasks = sum(block.count for block in message.blocks)
            paused = _Paused(reply, run, count, first)
            return partial(self._accepted, run, paused, tasks, size)

        has_needs = any(block.keys or block.quota for block in message.blocks)
        self._post(reply, stage, needs if has_needs else None, size)

    def tasks_ended(self, reply: PeerReply, message: TasksEnded) -> None:
        """The feeder has no more tasks for its run."""
        run = find_run(self._turn, message.run)

        def stage(now: float, wall: float) -> Publish:
            check_run(self._turn, run)
            if run.id == QUEUE_RUN:
                raise RefusedError("the queue run never ends")
            if run.pending:
                raise RefusedError(f"run {run.id} has not begun: it waits for others")
            if not run.exhausted:  # a client that did not hear the answer says it again
                self._feeders.check(run, reply.peer)
            self._turn.broker.exhaust(run)
            return partial(Accepted, message.seq, 0)

        self._post(reply, stage)

    def _post(
        self,
        reply: PeerReply,
        stage: Callable[[float, float], Publish],
        needs: Callable[[Known], Iterator[ReadRequest]] | None = None,
        size_bytes: int = 0,
    ) -> None:
        """Post a request that waits while the store fails: a refusal would end a runner."""
        step = Step(
            stage, reply, needs, retry_on_store_error=True, of=reply.peer, size_bytes=size_bytes
        )
        self._turn.post(step)

    def taken_up(self, run: Run, peer: Peer) -> None:
        """A session has opened a run, also again: whoever fed the run before waits no longer."""
        for paused in self._paused.pop(run.id, []):
            paused.reply.send(paused.answer)

    def closed(self, peer: Peer) -> None:
        """A session has ended: nobody waits there any more."""
        for run, waiting in list(self._paused.items()):
            self._paused[run] = [paused for paused in waiting if paused.reply.peer is not peer]
            if not self._paused[run]:
                del self._paused[run]

    def after_commit(self, changes: Changes, now: float) -> None:
        """Answer the runners that are no longer too far ahead."""
        for run_id in changes.forgotten:
            for paused in self._paused.pop(run_id, []):
                paused.reply.refuse(f"run {run_id} was forgotten")
            self._sizes.pop(run_id, None)
        for run_id, waiting in list(self._paused.items()):
            if not self._is_ahead(waiting[0].run):
                del self._paused[run_id]
                for paused in waiting:
                    paused.reply.send(paused.answer)
        for run_id in changes.ended:
            self._sizes.pop(run_id, None)

    def _accepted(self, run: Run, paused: _Paused, tasks: int, size: int) -> Accepted | Later:
        before = self._sizes.get(run.id, (0, 0))
        if run.active:  # it may have ended in the same turn
            self._sizes[run.id] = before[0] + tasks, before[1] + size
        if run.options.feeder != "clients" and self._is_ahead(run):
            self._paused.setdefault(run.id, []).append(paused)
            return LATER
        return paused.answer

    def _is_ahead(self, run: Run) -> bool:
        waiting = run.waiting + run.delayed
        tasks, size = self._sizes.get(run.id, (0, 0))
        return waiting > AHEAD_TASKS or waiting * size > AHEAD_BYTES * max(1, tasks)

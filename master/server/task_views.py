"""Shows tasks: results and dead letters page by page, and all that is known of one task."""

from __future__ import annotations

import time

import msgspec

from queue_manager import codec
from queue_manager.errors import ProtocolError, RefusedError
from queue_manager.wire.messages import AskResults, AskTask, Results, TaskShown
from queue_manager.wire.records import NOBODY_COLLECTS, TaskStatus, TaskTry

from ..broker.leases.lease import Lease
from ..broker.runs.run import Run
from ..changes import OutcomeRecord, TrackedRecord
from ..observe.diagnosis import Sources
from ..reads import TaskRecord
from ..tries import TryRecord
from ..turn.answer import PeerReply
from ..turn.run_lookup import find_run
from ..turn.turn import Turn
from .choosing import checked
from .letters import cut_back, cut_front, trimmed
from .pages import PAGE_BYTES

TASK_BYTES = 512 * 1024
"""How many bytes of each text are shown of one task."""

TRIES_BYTES = 2 * 1024 * 1024
"""How many bytes the texts of the tries of one task have together: a frame takes them."""

CHOSEN_BYTES = 512 * 1024
"""About how much of the dead letters a page of chosen ones looks at: some 2,000 of them."""


class TaskViews:
    """Answers `AskResults` and `AskTask`."""

    def __init__(self, turn: Turn, sources: Sources) -> None:
        self._turn = turn
        self._sources = sources

    def results(self, reply: PeerReply, message: AskResults) -> None:
        """A page of ended tasks, or of dead letters, in task order."""
        run = find_run(self._turn, message.run)
        after = min(max(message.after, 0), NOBODY_COLLECTS)
        store = self._turn.store
        if message.dead and message.only is not None:
            only = checked(message.only)
            blocks, last, complete = store.read_chosen(run.id, after, CHOSEN_BYTES, only)
        else:
            blocks, last, complete = store.read_results(run.id, after, PAGE_BYTES, message.dead)
        told = trimmed(blocks, message.dead)
        reply.send(Results(message.seq, told, last, complete))

    def show(self, reply: PeerReply, message: AskTask) -> None:
        """All that is known of one task."""
        run = find_run(self._turn, message.run)
        task = message.task
        if message.key and not task:
            task = self._turn.store.find_task(run.id, message.key)
            if not task:
                raise RefusedError(f"run {run.id}: none of its newest tasks has this key")
        known = 0 < task <= run.tasks
        record = self._turn.store.read_task(run.id, task) if known else None
        if record is None:
            has = f"it has 1 to {run.tasks}" if run.tasks else "it has none yet"
            raise RefusedError(f"run {run.id} has no task {task}; {has}")
        try:
            status = self._status(run, task, record)
        except ProtocolError as error:  # of the one who sent those bytes, not of the one who asks
            raise RefusedError(f"run {run.id}, task {task} can't be shown: {error}") from None
        if message.tries:
            tries = _tries(self._turn.store.read_tries(run.id, task))
            status = msgspec.structs.replace(status, tries=tries)
        reply.send(TaskShown(message.seq, status))

    def _status(self, run: Run, task: int, record: TaskRecord) -> TaskStatus:
        tracked, outcome = record.tracked, record.outcome
        lease, holder = self._holder(run, record)
        now, wall = time.monotonic(), self._turn.wall
        state = _state(run, record, lease, wall)
        status = TaskStatus(
            run.id,
            run.job,
            task,
            state,
            codec.pick(record.body, [record.position]),
            0,
            record.key,
            record.group,
            record.priority,
            results=None
            if outcome is None or outcome.is_cancelled
            else _result(outcome, record.position),
            worker=holder,
            since_s=None if lease is None else now - lease.since,
        )
        return status if tracked is None else _with_tracked(status, tracked, wall)

    def _holder(self, run: Run, record: TaskRecord) -> tuple[Lease | None, str]:
        """The lease of a task and the name of who has it."""
        for worker in self._sources.workers():
            for lease in worker.session.leases.values():
                if _holds(lease, run, record):
                    return lease, worker.name
        for client in self._sources.stock():
            for lease in client.session.leases.values():
                if _holds(lease, run, record):
                    return lease, client.peer.name
        return None, ""


def _result(outcome: OutcomeRecord, position: int) -> bytes:
    return codec.pick(outcome.results, [position - outcome.start])


def _holds(lease: Lease, run: Run, record: TaskRecord) -> bool:
    same = lease.run is run and lease.block == record.block
    return same and any(start <= record.position < stop for start, stop in lease.open)


def _state(run: Run, record: TaskRecord, lease: Lease | None, wall: float) -> str:
    tracked = record.tracked
    if record.outcome is not None:
        return "cancelled" if record.outcome.is_cancelled else "done"
    if tracked is not None and tracked.state == "dead":
        return "dead"
    if run.state == "cancelled":
        return "cancelled"
    if lease is not None:
        return "leased"
    return "delayed" if tracked is not None and tracked.due_at > wall else "waiting"


def _with_tracked(status: TaskStatus, tracked: TrackedRecord, wall: float) -> TaskStatus:
    """A status with what is known of a tracked task."""
    due_s = min(tracked.due_at - wall, tracked.delay_s) if status.state == "delayed" else None
    return msgspec.structs.replace(
        status,
        attempts=tracked.attempts,
        losses=tracked.losses,
        worker=status.worker or tracked.worker,
        due_s=due_s,
        error=cut_back(tracked.error, TASK_BYTES),
        evidence=cut_front(tracked.evidence, TASK_BYTES),
        printed=cut_front(tracked.printed, TASK_BYTES),
        raised=tracked.raised,
        retries=tracked.retries,
    )


def _tries(records: list[TryRecord]) -> list[TaskTry]:
    """The tries of a task, each with its share of the texts that a frame takes."""
    limit_bytes = TRIES_BYTES // 3 // max(len(records), 1)
    return [
        TaskTry(
            record.number,
            record.fate,
            record.ended_at,
            record.took_s,
            record.worker,
            cut_back(record.error, limit_bytes),
            cut_front(record.evidence, limit_bytes),
            cut_front(record.printed, limit_bytes),
            record.raised,
        )
        for record in records
    ]

"""Shows tasks of a run by their state, page by page.

The store knows how tasks stand on disk, the run which of those that wait are leased.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.task_lists import AskTasks, TaskLine, TaskList

from ..broker.leases.lease import Lease
from ..broker.runs.run import Run
from ..observe.diagnosis import Sources
from ..task_lists import FoundTask, Stand, TasksSought
from ..turn.answer import PeerReply
from ..turn.run_lookup import find_run
from ..turn.turn import Turn
from .letters import cut_back

_MOST = 500
_ERROR_BYTES = 500
RESULT_BYTES = 2_048
"""A larger result is not in a list."""

_OVER = (Stand.WAITING, Stand.DELAYED, Stand.CANCELLED)
"""What was cancelled of a run that was cancelled as a whole: all that has not ended otherwise."""


class TaskLists:
    """Answers `AskTasks`."""

    def __init__(self, turn: Turn, sources: Sources) -> None:
        self._turn = turn
        self._sources = sources

    def show(self, reply: PeerReply, ask: AskTasks) -> None:
        """A page of tasks. Raises RefusedError if there is no such run."""
        run = find_run(self._turn, ask.run)
        after = min(max(ask.after, 0), LAST_NUMBER)
        limit = min(max(ask.limit, 1), _MOST)
        make = self._leased if ask.state == "leased" else self._on_disk
        lines, last, complete = make(run, ask.state, after, limit)
        reply.send(TaskList(ask.seq, lines, last, complete))

    def _leased(self, run: Run, _: str, after: int, limit: int) -> tuple[list[TaskLine], int, bool]:
        now = time.monotonic()
        stock = {client.session.id: client.peer.name for client in self._sources.stock()}
        found = heapq.nsmallest(limit + 1, _leased(run, after, limit + 1), key=lambda one: one[0])
        shown = found[:limit]
        lines = [
            TaskLine(task, worker=who.name or stock.get(who.id, ""), since_s=now - lease.since)
            for task, lease in shown
            for who in [lease.session]
        ]
        return lines, shown[-1][0] if shown else after, len(found) <= limit

    def _on_disk(
        self, run: Run, state: str, after: int, limit: int
    ) -> tuple[list[TaskLine], int, bool]:
        wall = self._turn.wall
        stands = {Stand(state)}
        held = {block: there.positions for block, there in run.leases.items()}
        due_by = wall
        if run.state == "cancelled":
            if state in ("waiting", "delayed"):
                return [], after, True
            if state == "cancelled":
                stands, held, due_by = set(_OVER), {}, math.inf
        sought = TasksSought(run.id, frozenset(stands), after, limit, due_by, held)
        page = self._turn.store.find_tasks(sought)
        return [_line(one, state, wall) for one in page.tasks], page.place, page.complete


def _leased(run: Run, after: int, limit: int) -> Iterator[tuple[int, Lease]]:
    """Leased tasks behind a task: of each range of a lease its first ones."""
    for there in run.leases.values():
        for lease in there.leases:
            for start, stop in lease.open:
                first = max(lease.first + start, after + 1)
                for task in range(first, min(lease.first + stop, first + limit)):
                    yield task, lease


def _line(found: FoundTask, state: str, wall: float) -> TaskLine:
    return TaskLine(
        found.task,
        found.attempts,
        found.worker,
        due_s=min(found.due_at - wall, found.delay_s) if state == "delayed" else None,
        died_at=found.due_at if state == "dead" else 0.0,
        error=cut_back(found.error, _ERROR_BYTES),
        result=_result(found) if state == "done" else None,
    )


def _result(found: FoundTask) -> bytes | None:
    """None: it has none, it is too long, or a faulty worker sent bytes that nobody can read."""
    if found.results is None:
        return None
    try:
        one = codec.pick(found.results, [found.position])
    except ProtocolError:
        return None
    return one if len(one) <= RESULT_BYTES else None

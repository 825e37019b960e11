"""Runs over the wire: asked for, opened by their runner, filled with tasks, collected, read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.peer import Peer
from queue_manager.records import (
    BLOCK_TASKS,
    Accepted,
    AskResults,
    Collect,
    Collected,
    Ended,
    Message,
    OpenRun,
    Page,
    Refused,
    Results,
    RunOpened,
    RunOptions,
    SubmitTasks,
    TasksEnded,
    encode,
)

from .changes import QUEUE_RUN, Changes
from .follow import FollowUps
from .run import Run
from .turn import Answer, Step, Turn

log = logging.getLogger("quartermaster.master")

PAGE_BYTES = 1024 * 1024
AHEAD_TASKS = 100_000
AHEAD_BYTES = 64 * 1024 * 1024
_ERRORS = 2**31
NOBODY_COLLECTS = 2**62
"""`Collect.after` of a runner whose job has no `collect`."""

RunListener = Callable[[Run], None]


@dataclass(slots=True)
class _Parked:
    """A runner that waits: for workers to catch up (submit), or for outcomes (collect)."""

    peer: Peer
    message: SubmitTasks | Collect
    tasks: int = 0


class Runs:
    """Requests about runs. on_started and on_ended are told of each."""

    def __init__(self, turn: Turn, follow_ups: FollowUps) -> None:
        self._turn = turn
        self._follow_ups = follow_ups
        self._ahead: dict[int, list[_Parked]] = {}
        self._collecting: dict[int, list[_Parked]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._told: set[int] = set()
        self.on_started: list[RunListener] = []
        self.on_ended: list[RunListener] = []

    # --- a run begins ---

    def find(self, key: str | None) -> Run | None:
        """The run with a key."""
        found = None if key is None else self._turn.store.find_run(key)
        return None if found is None else self._turn.broker.runs[found]

    def start(
        self,
        job: str,
        words: list[str],
        key: str | None,
        options: RunOptions,
        answer: Callable[[Run, bool], None],
        refuse: Callable[[str], None],
    ) -> None:
        """Begin a run, or find the one with that key; its job and words were checked before."""

        def stage(now: float, wall: float) -> Answer:
            found = self.find(key) or self._staged(key)
            if found is not None:
                return partial(answer, found, False)
            run = self._turn.broker.start_run(job, words, key, options, wall)
            return partial(self._started, run, answer)

        self._turn.post(Step(stage, refuse))

    def _staged(self, key: str | None) -> Run | None:
        staged = self._turn.broker.changes.runs.values()
        same = (r.id for r in staged if key is not None and r.key == key)
        return next((self._turn.broker.runs[run] for run in same), None)

    def _started(self, run: Run, answer: Callable[[Run, bool], None]) -> None:
        log.info("run %d (%s) started", run.id, " ".join([run.job, *run.words]))
        answer(run, True)
        for listener in self.on_started:
            listener(run)

    # --- its runner ---

    def open(self, peer: Peer, message: OpenRun) -> None:
        """A runner takes up its run; the answer stands behind what its forerunner submitted."""
        run = self._run(message.run)

        def answer() -> None:
            opened = RunOpened(
                message.seq,
                run.job,
                run.words,
                run.accepted,
                run.exhausted,
                run.collected,
                run.collected_into,
            )
            _send(peer, opened)

        self._post(peer, message.seq, lambda now, wall: answer)

    def submit(self, peer: Peer, message: SubmitTasks) -> None:
        """New tasks. The answer waits while the run is too far ahead."""
        run = self._run(message.run)

        def stage(now: float, wall: float) -> Answer:
            if not run.active or run.exhausted or run.id == QUEUE_RUN:
                raise RefusedError(f"run {run.id} takes no more tasks")
            fresh = self._follow_ups.fresh(run, message.blocks)
            count = self._follow_ups.stage(run, fresh, now, wall, from_tasks=True)
            return partial(self._accepted, run, _Parked(peer, message, count))

        self._post(peer, message.seq, stage)

    def tasks_ended(self, peer: Peer, message: TasksEnded) -> None:
        """`tasks()` has no more to give."""
        run = self._run(message.run)

        def stage(now: float, wall: float) -> Answer:
            if run.id == QUEUE_RUN:
                raise RefusedError("the queue run never ends")
            self._turn.broker.exhaust(run)
            return partial(_send, peer, Accepted(message.seq, 0))

        self._post(peer, message.seq, stage)

    def _post(self, peer: Peer, seq: int, stage: Callable[[float, float], Answer]) -> None:
        """A runner's request: while the store takes nothing it waits, a refusal would end it."""
        self._turn.post(Step(stage, partial(_refuse, peer, seq), waits=True))

    def collect(self, peer: Peer, message: Collect) -> None:
        """A runner asks for outcomes; the answer waits until there are some."""
        run = self._run(message.run)
        self._collecting.setdefault(run.id, []).append(_Parked(peer, message))
        self._turn.wake()

    def collected(self, message: Collected) -> None:
        """A runner's `collect()` has come so far."""
        run = self._run(message.run)
        seq = min(message.collected, NOBODY_COLLECTS)
        into = min(max(message.into, 0), BLOCK_TASKS)
        self._turn.broker.collected(run, seq, min(max(message.errors, 0), _ERRORS), into)
        self._turn.wake()

    def closed(self, peer: Peer) -> None:
        """A session that may have waited is gone."""
        for parked in (self._ahead, self._collecting):
            for run, waiting in list(parked.items()):
                parked[run] = [p for p in waiting if p.peer is not peer]

    # --- its results ---

    def results(self, peer: Peer, message: AskResults) -> None:
        """A page of ended tasks in task order."""
        run = self._run(message.run)
        blocks, last, over = self._turn.store.read_results(run.id, message.after, PAGE_BYTES)
        _send(peer, Results(message.seq, blocks, last, over))

    # --- after each turn ---

    def turned(self, changes: Changes, now: float) -> None:
        """Answer the runners that waited for what this turn brought; tell of runs that ended."""
        for run_id, waiting in list(self._collecting.items()):
            run = self._turn.broker.runs[run_id]
            self._collecting[run_id] = [p for p in waiting if not self._page(run, p)]
            if not self._collecting[run_id]:
                del self._collecting[run_id]
        for run_id, waiting in list(self._ahead.items()):
            if not self._is_ahead(self._turn.broker.runs[run_id]):
                del self._ahead[run_id]
                for parked in waiting:
                    _send(parked.peer, Accepted(parked.message.seq, parked.tasks))
        for run_id, record in changes.runs.items():
            if record.state != "active":
                self._sizes.pop(run_id, None)
                self._ended(self._turn.broker.runs[run_id])

    def _ended(self, run: Run) -> None:
        if run.id in self._told:
            return
        self._told.add(run.id)
        for listener in self.on_ended:
            listener(run)

    def _accepted(self, run: Run, parked: _Parked) -> None:
        assert isinstance(parked.message, SubmitTasks)
        tasks, size = self._sizes.get(run.id, (0, 0))
        for block in parked.message.blocks:
            tasks, size = tasks + block.count, size + len(block.body)
        self._sizes[run.id] = tasks, size
        if self._is_ahead(run):
            self._ahead.setdefault(run.id, []).append(parked)
        else:
            _send(parked.peer, Accepted(parked.message.seq, parked.tasks))

    def _is_ahead(self, run: Run) -> bool:
        waiting = run.waiting + run.delayed
        tasks, size = self._sizes.get(run.id, (0, 0))
        return waiting > AHEAD_TASKS or waiting * size > AHEAD_BYTES * max(1, tasks)

    def _page(self, run: Run, parked: _Parked) -> bool:
        """Answer a collector if there is something, or nothing will come any more."""
        message = parked.message
        assert isinstance(message, Collect)
        if message.after >= NOBODY_COLLECTS:
            _send(parked.peer, Page(message.seq, [], {}, message.after, True))
            return True
        over = not run.active and run.last_seq <= message.after
        if run.last_seq <= message.after and not over:
            return False
        found, bodies = self._turn.read_outcomes(run, message.after, PAGE_BYTES)
        outcomes = [Ended(o.seq, o.first, o.start, o.stop, o.results) for o in found]
        last = found[-1].seq if found else message.after
        over = not run.active and run.last_seq <= last
        _send(parked.peer, Page(message.seq, outcomes, bodies, last, over))
        return True

    def _run(self, number: int) -> Run:
        run = self._turn.broker.runs.get(number)
        if run is None:
            known = [str(r) for r in self._turn.broker.runs if r != QUEUE_RUN]
            raise RefusedError(f"no run {number}; there is {', '.join(known[-5:]) or 'none yet'}")
        return run


def _send(peer: Peer, message: Message) -> None:
    peer.send_frame(encode(message))


def _refuse(peer: Peer, seq: int, error: str) -> None:
    _send(peer, Refused(seq, error))

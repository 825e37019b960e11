"""Runs over the wire: asked for, opened by their runner, filled with tasks, collected."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from queue_manager.errors import RefusedError, StoreError
from queue_manager.server.connection import Peer
from queue_manager.terminal import harmless_line
from queue_manager.wire.limits import KEY_BYTES, SUBMIT_KEYS, WORDS, WORDS_BYTES
from queue_manager.wire.messages import (
    Accepted,
    Collect,
    Collected,
    Finished,
    OpenRun,
    Page,
    RunOpened,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.records import BLOCK_TASKS, NOBODY_COLLECTS, UNTIL_END, Ended, RunOptions

from ..broker.run import Run
from ..changes import QUEUE_RUN, Changes
from ..turn.answers import refuse, send
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Answer, Step, Turn
from .admission import FollowUps, check
from .dispatch import OurSession

log = logging.getLogger("quartermaster.master")

PAGE_BYTES = 1024 * 1024
AHEAD_TASKS = 100_000
AHEAD_BYTES = 64 * 1024 * 1024
PAGES_S = 0.02
"""So long the pages of a turn are read for collectors; the others get theirs in the next turns."""

_ASKED_AT_ONCE = 16
"""So many pages a session may wait for at a time; a runner waits for two."""

_ERRORS = 2**31
RunListener = Callable[[Run], None]


@dataclass(slots=True)
class _Parked:
    """A runner that waits: for workers to catch up (submit), or for outcomes (collect)."""

    peer: Peer
    seq: int
    run: Run
    tasks: int = 0
    after: int = 0


class Runs:
    """Requests about runs. on_started and on_ended are told of each, on_gone of its number.
    on_opened, on_lost: of each runner that takes up a run, and whose session has ended: the run's
    number, and the process id.

    A run is gone when it was forgotten or pruned.

    idle: how often the runner of a run has come to where it only waits for outcomes: so far it
    did nothing wrong.
    """

    def __init__(self, turn: Turn, follow_ups: FollowUps) -> None:
        self._turn = turn
        self._follow_ups = follow_ups
        self._ahead: dict[int, list[_Parked]] = {}
        self._collecting: dict[int, list[_Parked]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self.idle: dict[int, int] = {}
        self.on_started: list[RunListener] = []
        self.on_ended: list[RunListener] = []
        self.on_gone: list[Callable[[int], None]] = []
        self.on_opened: list[Callable[[int, int], None]] = []
        self.on_lost: list[Callable[[int, int], None]] = []
        self._opened: dict[Peer, tuple[int, int]] = {}

    # --- a run begins ---

    def find(self, key: str | None, job: str, words: list[str]) -> Run | None:
        """The run with a key.

        Raises RefusedError when that is a run of something else, or is just being forgotten, or
        when the key or the words are more than a run may have.
        """
        _check_asked(words, key)
        number = None if key is None else self._turn.store.find_run(key)
        found = None if number is None else recall(self._turn, number)
        found = found or self._staged(key)
        if found is None:
            return None
        if (found.job, sorted(found.words)) != (job, sorted(words)):
            asked = shlex.join([found.job, *found.words])
            raise RefusedError(
                f"the key {key!r} is that of run {found.id} ({asked}): take another one"
            )
        if found.id in self._turn.broker.changes.forgotten:
            raise RefusedError(f"run {found.id} is just being forgotten: ask again")
        return found

    def start(
        self,
        job: str,
        words: list[str],
        key: str | None,
        options: RunOptions,
        answer: Callable[[Run, bool], None],
        refuse: Callable[[str], None],
        version: str = "",
    ) -> None:
        """Begin a run, or find the one with that key; its job and words were checked before."""

        def stage(now: float, wall: float) -> Answer:
            found = self.find(key, job, words)
            if found is not None:
                return partial(answer, found, False)
            run = self._turn.broker.start_run(job, words, key, options, wall, version)
            return partial(self._started, run, answer)

        self._turn.post(Step(stage, refuse))

    def _staged(self, key: str | None) -> Run | None:
        staged = self._turn.broker.changes.runs.values()
        same = (r.id for r in staged if key is not None and r.key == key)
        return next((recall(self._turn, run) for run in same), None)

    def _started(self, run: Run, answer: Callable[[Run, bool], None]) -> None:
        what = harmless_line(" ".join([run.job, *run.words]))
        log.info("run %d (%s) started", run.id, what)
        answer(run, True)
        for listener in self.on_started:
            listener(run)

    # --- its runner ---

    def open(self, peer: Peer, message: OpenRun) -> None:
        """A runner takes up its run; the answer stands behind what its forerunner submitted."""
        run = self._run(message.run)
        session = peer.session
        if isinstance(session, OurSession) and session.hello.role == "runner":
            number, pid = self._opened[peer] = run.id, session.hello.pid
            for listener in self.on_opened:
                listener(number, pid)

        def answer() -> None:
            opened = RunOpened(
                message.seq,
                run.job,
                run.words,
                run.accepted,
                run.exhausted or not run.active,
                run.collected,
                run.collected_into,
            )
            send(peer, opened)

        self._post(peer, message.seq, lambda now, wall: answer)

    def submit(self, peer: Peer, message: SubmitTasks) -> None:
        """New tasks. The answer waits while the run is too far ahead."""
        run = self._run(message.run)
        if sum(len(block.keys or ()) for block in message.blocks) > SUBMIT_KEYS:
            raise RefusedError(f"a submit has at most {SUBMIT_KEYS:,} keys")

        def stage(now: float, wall: float) -> Answer:
            if not run.active or run.exhausted or run.id == QUEUE_RUN:
                raise RefusedError(f"run {run.id} takes no more tasks")
            for block in message.blocks:
                check(block)
            fresh = self._follow_ups.fresh(run, message.blocks)
            count = self._follow_ups.stage(run, fresh, now, wall, from_tasks=True)
            # The message itself is not kept: it may wait for long, and its payloads are on disk.
            tasks = sum(block.count for block in message.blocks)
            size = sum(len(block.body) for block in message.blocks)
            parked = _Parked(peer, message.seq, run, count)
            return partial(self._accepted, run, parked, tasks, size)

        self._post(peer, message.seq, stage)

    def tasks_ended(self, peer: Peer, message: TasksEnded) -> None:
        """`tasks()` has no more to give."""
        run = self._run(message.run)

        def stage(now: float, wall: float) -> Answer:
            if run.id == QUEUE_RUN:
                raise RefusedError("the queue run never ends")
            self._turn.broker.exhaust(run)
            return partial(send, peer, Accepted(message.seq, 0))

        self._post(peer, message.seq, stage)

    def _post(self, peer: Peer, seq: int, stage: Callable[[float, float], Answer]) -> None:
        """A runner's request: while the store takes nothing it waits, a refusal would end it."""
        self._turn.post(Step(stage, partial(refuse, peer, seq), waits=True, of=peer))

    def collect(self, peer: Peer, message: Collect) -> None:
        """A runner asks for outcomes; the answer waits until there are some."""
        run = self._run(message.run)
        waiting = self._collecting.get(run.id, ())
        if sum(parked.peer is peer for parked in waiting) >= _ASKED_AT_ONCE:
            raise RefusedError(f"{_ASKED_AT_ONCE} pages of run {run.id} are asked for already")
        self._collecting.setdefault(run.id, []).append(
            _Parked(peer, message.seq, run, after=message.after)
        )
        self._note_idle(run)
        self._turn.wake()

    def collected(self, message: Collected) -> None:
        """A runner's `collect()` has come so far."""
        run = self._run(message.run)
        seq = min(message.collected, NOBODY_COLLECTS)
        into = min(max(message.into, 0), BLOCK_TASKS)
        self._turn.broker.collected(run, seq, min(max(message.errors, 0), _ERRORS), into)
        self._note_idle(run)
        self._turn.wake()

    def finished(self, peer: Peer, message: Finished) -> None:
        """A runner has done all that an ended run needs of it; the answer says: on disk."""
        run = self._run(message.run)

        def stage(now: float, wall: float) -> Answer:
            self._turn.broker.finished(run, message.ended_at, wall)
            return partial(send, peer, Accepted(message.seq, 0))

        self._post(peer, message.seq, stage)

    def _note_idle(self, run: Run) -> None:
        """A runner that has only outcomes, or the end, to wait for runs no code of the user's."""
        parked = self._collecting.get(run.id, [])
        if run.exhausted and run.active and any(_only_waits(run, p.after) for p in parked):
            self.idle[run.id] = self.idle.get(run.id, 0) + 1

    def closed(self, peer: Peer) -> None:
        """A session that may have waited is gone."""
        opened = self._opened.pop(peer, None)
        if opened is not None:
            for listener in self.on_lost:
                listener(*opened)
        for parked in (self._ahead, self._collecting):
            for run, waiting in list(parked.items()):
                parked[run] = [p for p in waiting if p.peer is not peer]
                if not parked[run]:
                    del parked[run]

    # --- after each turn ---

    def turned(self, changes: Changes, now: float) -> None:
        """Answer the runners that waited for what this turn brought; tell of runs that ended."""
        for run_id in changes.forgotten:
            self._forgotten(run_id)
        pruned = {run_id for run_id, record in changes.runs.items() if record.state == "pruned"}
        for run_id in changes.forgotten | pruned:
            for gone in self.on_gone:
                gone(run_id)
        self._give_pages()
        for run_id, waiting in list(self._ahead.items()):
            if not self._is_ahead(waiting[0].run):
                del self._ahead[run_id]
                for parked in waiting:
                    send(parked.peer, Accepted(parked.seq, parked.tasks))
        for run_id in changes.ended - changes.forgotten:
            self._ended(run_id)

    def _give_pages(self) -> None:
        """Read pages for a while; who is left over is the first in the next turn."""
        until = time.monotonic() + PAGES_S
        given = over = 0
        for run_id, waiting in list(self._collecting.items()):
            late: list[_Parked] = []
            empty: list[_Parked] = []
            for parked in waiting:
                if given and time.monotonic() > until:
                    late.append(parked)
                elif self._try_page(parked.run, parked):
                    given += 1
                else:
                    empty.append(parked)
            over += len(late)
            if late or empty:
                self._collecting[run_id] = late + empty
            else:
                del self._collecting[run_id]
        if over:
            self._turn.wake()

    def _ended(self, number: int) -> None:
        self._sizes.pop(number, None)
        self.idle.pop(number, None)
        run = self._turn.broker.recall(number)
        for listener in self.on_ended:
            if run is not None:
                listener(run)

    def _forgotten(self, run: int) -> None:
        """Whoever waits for a run that is no more is told so."""
        for waiting in (self._collecting.pop(run, []), self._ahead.pop(run, [])):
            for parked in waiting:
                refuse(parked.peer, parked.seq, f"run {run} was forgotten")
        self._sizes.pop(run, None)
        self.idle.pop(run, None)

    def _accepted(self, run: Run, parked: _Parked, tasks: int, size: int) -> None:
        before = self._sizes.get(run.id, (0, 0))
        self._sizes[run.id] = before[0] + tasks, before[1] + size
        if self._is_ahead(run):
            self._ahead.setdefault(run.id, []).append(parked)
        else:
            send(parked.peer, Accepted(parked.seq, parked.tasks))

    def _is_ahead(self, run: Run) -> bool:
        waiting = run.waiting + run.delayed
        tasks, size = self._sizes.get(run.id, (0, 0))
        return waiting > AHEAD_TASKS or waiting * size > AHEAD_BYTES * max(1, tasks)

    def _try_page(self, run: Run, parked: _Parked) -> bool:
        """A read that fails holds up this one answer, nobody else's."""
        try:
            return self._page(run, parked)
        except StoreError as error:
            self._turn.read_later(str(error))
            return False

    def _page(self, run: Run, parked: _Parked) -> bool:
        """Answer a collector if there is something, or nothing will come any more."""
        if parked.after >= NOBODY_COLLECTS:
            send(parked.peer, Page(parked.seq, [], {}, parked.after, True))
            return True
        over = not run.active and run.last_seq <= parked.after
        if run.last_seq <= parked.after and not over:
            return False
        found, bodies = self._turn.read_outcomes(run, parked.after, PAGE_BYTES)
        outcomes = [Ended(o.seq, o.first, o.start, o.stop, o.results) for o in found]
        last = found[-1].seq if found else min(parked.after, run.last_seq)
        over = not run.active and run.last_seq <= last
        ended_at = run.ended_at if over else None
        send(parked.peer, Page(parked.seq, outcomes, bodies, last, over, ended_at))
        return True

    def _run(self, number: int) -> Run:
        return find_run(self._turn, number)


def _check_asked(words: list[str], key: str | None) -> None:
    """Raise RefusedError when a run is asked for with more than it may have."""
    size = len((key or "").encode())
    if size > KEY_BYTES:
        raise RefusedError(f"the key takes {size:,} bytes, and may take {KEY_BYTES:,}: shorten it")
    many = len(words) > WORDS
    size = 0 if many else sum(len(word.encode()) for word in words)
    if many or size > WORDS_BYTES:
        taken = "" if many else f" take {size:,} bytes, and"
        raise RefusedError(
            f"the {len(words):,} arguments{taken} may be {WORDS:,} and take"
            f" {WORDS_BYTES:,} bytes: put them in a file and pass its path"
        )


def _only_waits(run: Run, after: int) -> bool:
    """Whether who asks for what is behind `after` has collected all that is there."""
    return run.last_seq <= after and (after <= run.collected or after == UNTIL_END)

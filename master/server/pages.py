"""Sends outcomes to runners, in pages for `collect()`, and hears how far they have come.

Owns the list of those that wait for a page. A page that can't be read holds up nobody else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from queue_manager.errors import RefusedError, StoreError
from queue_manager.ranges import joined
from queue_manager.server.connection import UNREAD_BYTES, Peer
from queue_manager.wire.messages import Accepted, Collect, Collected, Finished, Page
from queue_manager.wire.records import (
    BLOCK_TASKS,
    NOBODY_COLLECTS,
    UNTIL_END,
    DeadLetter,
    Ended,
)

from ..broker.runs.run import Run
from ..changes import Changes, CollectCursor
from ..turn.answer import PeerReply
from ..turn.run_lookup import check_run, find_run
from ..turn.steps import Publish, Step
from ..turn.turn import Turn
from .letters import trimmed_letters
from .runs.feeders import Feeders

PAGE_BYTES = 1024 * 1024
PAGES_S = 0.02
"""How long a turn reads pages. A runner that is left over gets its page in the next turn."""

_ASKED_AT_ONCE = 16
"""How many pages of a run a session may wait for; a runner waits for two."""

_ERRORS = 2**31


@dataclass(slots=True)
class _Waiting:
    """A runner that waits for the outcomes behind a sequence number.

    dead: dead letters and cancelled tasks count as well. bodies: payloads are asked for.
    """

    reply: PeerReply
    run: Run
    after: int
    dead: bool
    bodies: bool


class Pages:
    """Answers `Collect`, `Collected` and `Finished`.

    idle: by run, how often its runner has come to the point where it only waits for outcomes. Such
    a runner has done nothing wrong so far. feeders: are told which sessions have read their runs.
    """

    def __init__(self, turn: Turn, feeders: Feeders) -> None:
        self._turn, self._feeders = turn, feeders
        self._waiting: dict[int, list[_Waiting]] = {}
        self.idle: dict[int, int] = {}

    def collect(self, reply: PeerReply, message: Collect) -> None:
        """A runner asks for outcomes; the answer waits until there are some."""
        run = find_run(self._turn, message.run)
        waiting = self._waiting.setdefault(run.id, [])
        if sum(one.reply.peer is reply.peer for one in waiting) >= _ASKED_AT_ONCE:
            raise RefusedError(f"{_ASKED_AT_ONCE} pages of run {run.id} are asked for already")
        waiting.append(_Waiting(reply, run, message.after, message.dead, message.bodies))
        reply.peer.on_read = self._turn.wake
        self._note_idle(run)
        self._turn.wake()

    def collected(self, reply: PeerReply, message: Collected) -> None:
        """A runner says how far its `collect()` has come."""
        run = find_run(self._turn, message.run)
        cursor = CollectCursor.at(message.collected, min(max(message.into, 0), BLOCK_TASKS))
        self._turn.broker.collected(run, cursor, min(max(message.errors, 0), _ERRORS))
        if cursor.closed:
            self._feeders.has_read(run, reply.peer)
            self._give_up(run, reply.peer)
        self._note_idle(run)
        self._turn.wake()

    def _give_up(self, run: Run, peer: Peer) -> None:
        """A session has closed a map early: what it has asked for has its place no longer.

        The answer is a page of nothing. If the session maps over the same run twice, the other map
        asks again.
        """
        waiting = self._waiting.get(run.id, [])
        for one in [one for one in waiting if one.reply.peer is peer]:
            waiting.remove(one)
            one.reply.send(Page(one.reply.seq, [], {}, one.after, False))
        if not waiting:
            self._waiting.pop(run.id, None)

    def finished(self, reply: PeerReply, message: Finished) -> None:
        """A runner has done all that its ended run needs. The answer says that this is on disk."""
        run = find_run(self._turn, message.run)

        def stage(now: float, wall: float) -> Publish:
            check_run(self._turn, run)
            self._turn.broker.finished(run, message.ended_at, wall)
            return partial(Accepted, message.seq, 0)

        step = Step(stage, reply, retry_on_store_error=True, of=reply.peer)
        self._turn.post(step)

    def _note_idle(self, run: Run) -> None:
        """Note a runner that only waits for outcomes or the end: it runs no code of the user."""
        waiting = self._waiting.get(run.id, [])
        if run.exhausted and run.active and any(_only_waits(run, one.after) for one in waiting):
            self.idle[run.id] = self.idle.get(run.id, 0) + 1

    def closed(self, peer: Peer) -> None:
        """A session has ended: nobody waits there any more."""
        for run, waiting in list(self._waiting.items()):
            self._waiting[run] = [one for one in waiting if one.reply.peer is not peer]
            if not self._waiting[run]:
                del self._waiting[run]

    def after_commit(self, changes: Changes, now: float) -> None:
        """Answer the runners that wait for what this turn brought."""
        for run_id in changes.forgotten:
            for one in self._waiting.pop(run_id, []):
                one.reply.refuse(f"run {run_id} was forgotten")
        self._give_pages()
        for run_id in changes.ended | changes.forgotten:
            self.idle.pop(run_id, None)

    def _give_pages(self) -> None:
        """Read pages for a while. Runners that are left over come first in the next turn."""
        until = time.monotonic() + PAGES_S
        given = left = 0
        for run_id, waiting in list(self._waiting.items()):
            late: list[_Waiting] = []
            empty: list[_Waiting] = []
            for one in waiting:
                if given and time.monotonic() > until:
                    late.append(one)
                elif (page := self._try_page(one)) is not None:
                    one.reply.send(page)
                    given += 1
                else:
                    empty.append(one)
            left += len(late)
            if late or empty:
                self._waiting[run_id] = late + empty
            else:
                del self._waiting[run_id]
        if left:
            self._turn.wake()

    def _try_page(self, one: _Waiting) -> Page | None:
        """The page, if there is something, and if its session reads.

        A session that asks for pages of many runs must not be cut off for all that waits for it.
        A read that fails holds up this one answer alone.
        """
        if one.reply.peer.unread_bytes > UNREAD_BYTES:
            return None
        try:
            return self._page(one)
        except StoreError as error:
            self._turn.read_later(str(error))
            return None

    def _page(self, one: _Waiting) -> Page | None:
        """The outcomes behind `after`. None: there are none yet, and some will come."""
        seq, run, after = one.reply.seq, one.run, one.after
        if after >= NOBODY_COLLECTS:
            return Page(seq, [], {}, after, True)
        newest = max(run.last_seq, run.last_dead) if one.dead else run.last_seq
        if newest <= after and run.active:
            return None
        records, bodies = self._turn.read_outcomes(run, after, PAGE_BYTES)
        last = records[-1].seq if records else min(after, newest)
        letters: list[DeadLetter] = []
        if one.dead and run.last_dead > after:
            letters, last = self._letters(run, after, last if last < run.last_seq else newest)
            records = [record for record in records if record.seq <= last]
        outcomes = [
            Ended(o.seq, o.first, o.start, o.stop, o.results) for o in records if not o.is_cancelled
        ]
        cancelled = joined([o.tasks for o in records if o.is_cancelled]) if one.dead else []
        bodies = bodies if one.bodies else {}
        is_last = not run.active and newest <= last
        ended_at = run.ended_at if is_last else None
        return Page(seq, outcomes, bodies, last, is_last, ended_at, letters, cancelled)

    def _letters(self, run: Run, after: int, until: int) -> tuple[list[DeadLetter], int]:
        """Dead letters behind `after` and up to `until`, and up to where they are all of them."""
        letters, complete = self._turn.store.read_letters(run.id, after, PAGE_BYTES, until)
        return trimmed_letters(letters), until if complete else letters[-1].seq


def _only_waits(run: Run, after: int) -> bool:
    """Whether a runner that asks for outcomes behind `after` has collected all that there are."""
    return run.last_seq <= after and (after <= run.collect_cursor.number or after == UNTIL_END)

"""Limits of time: tasks that take too long, those that wait behind them, slots that are stopped.

Owns when it is enough. Time passes here only while the supervisor itself turns, where that makes
a difference: a worker that was frozen as a whole must not find its slots guilty of it.
"""

from __future__ import annotations

import logging

from ..ipc.shared_page import CANCEL_S, PREPARING, Look
from .inventory import Holdings
from .lease import Held
from .slot_process import Doom, Slot

log = logging.getLogger("quartermaster.worker")

LONG_S = 1.0
"""When a task has run so long, those behind it go back."""

STOPPED_S = 5.0
"""A slot that is stopped for so long is killed."""

HINT_S, HINT_AGAIN_S = 30.0, 300.0
"""An import or `setup` that takes so long is told of, and again: nothing else ever ends it."""

LOOK_S = 0.25
"""How often it is looked whether a slot is stopped; a longer pause of ours is not counted."""


class Limits:
    """Looks at all slots, as often as it is told the time."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._looked = 0.0

    def check(self, now: float) -> None:
        """Act on what takes too long. now: monotonic."""
        alive = [slot for slot in self._holdings.slots if slot.alive]
        for slot in alive:
            for held in list(slot.held):
                if held in slot.held:
                    self._check(slot, held, now)
        if now - self._looked >= LOOK_S:
            turned_s = min(now - self._looked, 2 * LOOK_S)
            self._looked = now
            for slot in alive:
                self._check_stopped(slot, turned_s)
        queue = self._holdings.queue
        if queue and now - queue[0].since > LONG_S:
            held = queue.popleft()
            self._holdings.release(held, held.cut(0))

    def close(self, now: float) -> None:
        """All slots end now: what is late is charged, though it had time to be cancelled left."""
        self.check(now)
        for slot in self._holdings.slots:
            for held in slot.held:
                slot.doom = slot.doom or self._too_late(slot, held, now)

    @staticmethod
    def _too_late(slot: Slot, held: Held, now: float) -> Doom | None:
        """For the one task of an async slot's lease that flies: which of several is not known."""
        look, limit_s = slot.board.pages[held.page].look(), held.lease.timeout_s
        if limit_s is None or not look.step or now - look.since <= limit_s:
            return None
        flying = [p for a, b in held.left for p in range(a, min(b, look.unstarted))]
        return Doom(_told(limit_s), held, flying[0]) if len(flying) == 1 else None

    def _check(self, slot: Slot, held: Held, now: float) -> None:
        look = slot.board.pages[held.page].look()
        if look.position >= 0 and self._is_late(held, look, now) and not slot.doom:
            doom = Doom(_told(held.lease.timeout_s), held, look.position)
            self._holdings.vacate(slot, doom)
        first = held is slot.held[0]
        if (first or slot.concurrency > 1) and now - (look.since or held.since) > LONG_S:
            self._trim(slot, held, first)
        if look.position == PREPARING:
            self._hint(slot, held, now)

    @staticmethod
    def _hint(slot: Slot, held: Held, now: float) -> None:
        if now >= max(held.since + HINT_S, held.hinted_at + HINT_AGAIN_S):
            held.hinted_at = now
            told = (held.lease.job, now - held.since, slot.pid)
            log.warning("%s: import or setup() has taken %.0f s in slot %d", *told)

    @staticmethod
    def _is_late(held: Held, look: Look, now: float) -> bool:
        """An async slot ends its tasks itself; here only one that does not let go is late."""
        limit_s = held.lease.timeout_s
        if limit_s is None:
            return False
        since = look.step or look.since
        return bool(since) and now - since > limit_s + (CANCEL_S if look.step else 0.0)

    def _trim(self, slot: Slot, held: Held, first: bool) -> None:
        """A task (or import, or `setup`) takes long: what waits behind it goes back.

        A lease that waits in the pipe goes to another slot of ours, if one has nothing to do.
        """
        least = 1 if first and not held.lease.limited else 0
        self._holdings.release(held, slot.take_back(held, least=least), unstarted=True)
        if slot.concurrency > 1:
            return
        slot.quick = False
        for other in slot.held[1:]:
            ranges = slot.take_back(other)
            if any(s.fit and not s.held for s in self._holdings.slots):
                self._holdings.again(other, ranges)
            else:
                self._holdings.release(other, ranges)

    @staticmethod
    def _check_stopped(slot: Slot, turned_s: float) -> None:
        slot.stopped_s = slot.stopped_s + turned_s if slot.held and slot.stopped else 0.0
        if slot.stopped_s < STOPPED_S or slot.doom:
            return
        held = next((h for h in slot.held if slot.board.pages[h.page].look().position >= 0), None)
        slot.doom = Doom(f"its slot was stopped for {STOPPED_S:g} s", held or slot.held[0])
        slot.kill()


def _told(limit_s: float | None) -> str:
    return f"timed out after {limit_s:g} s"

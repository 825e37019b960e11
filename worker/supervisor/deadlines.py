"""Deadlines of time: tasks that take too long, those that wait behind them, slots that are stopped.

Owns when it is enough. Time passes here only while the supervisor itself turns, where that makes
a difference: a worker that was frozen as a whole must not find its slots guilty of it.
"""

from __future__ import annotations

import logging

from ..ipc.shared_page import CANCEL_S, PREPARING, Look
from .inventory import Inventory
from .lease import OpenLease
from .slot_process import KillReason, SlotProcess

log = logging.getLogger("quartermaster.worker")

LONG_S = 1.0
"""When a task has run so long, those behind it go back."""

STOPPED_S = 5.0
"""A slot that is stopped for so long is killed."""

HINT_S, HINT_AGAIN_S = 30.0, 300.0
"""An import or `setup` that takes so long is told of, and again: nothing else ever ends it."""

LOOK_S = 0.25
"""How often it is looked whether a slot is stopped; a longer pause of ours is not counted."""


class Deadlines:
    """Looks at all slots, as often as it is told the time."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._looked = 0.0

    def check(self, now: float) -> None:
        """Act on what takes too long. now: monotonic."""
        alive = [slot for slot in self._inventory.slots if slot.alive]
        for slot in alive:
            for lease in list(slot.held):
                if lease in slot.held:
                    self._check(slot, lease, now)
        if now - self._looked >= LOOK_S:
            turned_s = min(now - self._looked, 2 * LOOK_S)
            self._looked = now
            for slot in alive:
                self._check_stopped(slot, turned_s)
        queue = self._inventory.queue
        if queue and now - queue[0].since > LONG_S:
            lease = queue.popleft()
            self._inventory.release(lease, lease.cut(0))

    def close(self, now: float) -> None:
        """All slots end now: what is late is charged, though it had time to be cancelled left."""
        self.check(now)
        for slot in self._inventory.slots:
            for lease in slot.held:
                slot.kill_reason = slot.kill_reason or self._too_late(slot, lease, now)

    @staticmethod
    def _too_late(slot: SlotProcess, lease: OpenLease, now: float) -> KillReason | None:
        """For the one task of an async slot's lease that flies: which of several is not known."""
        look, limit_s = slot.page.rows[lease.row].look(), lease.given.timeout_s
        if limit_s is None or not look.step or now - look.since <= limit_s:
            return None
        flying = [p for a, b in lease.left for p in range(a, min(b, look.unstarted))]
        return KillReason(_told(limit_s), lease, flying[0]) if len(flying) == 1 else None

    def _check(self, slot: SlotProcess, lease: OpenLease, now: float) -> None:
        look = slot.page.rows[lease.row].look()
        if look.position >= 0 and self._is_late(lease, look, now) and not slot.kill_reason:
            kill_reason = KillReason(_told(lease.given.timeout_s), lease, look.position)
            self._inventory.vacate(slot, kill_reason)
        first = lease is slot.held[0]
        if (first or slot.load.concurrency > 1) and now - (look.since or lease.since) > LONG_S:
            self._trim(slot, lease, first)
        if look.position == PREPARING:
            self._hint(slot, lease, now)

    @staticmethod
    def _hint(slot: SlotProcess, lease: OpenLease, now: float) -> None:
        if now >= max(lease.since + HINT_S, lease.hinted_at + HINT_AGAIN_S):
            lease.hinted_at = now
            told = (lease.given.job, now - lease.since, slot.pid)
            log.warning("%s: import or setup() has taken %.0f s in slot %d", *told)

    @staticmethod
    def _is_late(lease: OpenLease, look: Look, now: float) -> bool:
        """An async slot ends its tasks itself; here only one that does not let go is late."""
        limit_s = lease.given.timeout_s
        if limit_s is None:
            return False
        since = look.step or look.since
        return bool(since) and now - since > limit_s + (CANCEL_S if look.step else 0.0)

    def _trim(self, slot: SlotProcess, lease: OpenLease, first: bool) -> None:
        """A task (or import, or `setup`) takes long: what waits behind it goes back.

        A lease that waits in the pipe goes to another slot of ours, if one has nothing to do.
        """
        least = 1 if first and not lease.given.limited else 0
        self._inventory.release(lease, slot.take_back(lease, least=least), unstarted=True)
        if slot.load.concurrency > 1:
            return
        slot.load.quick = False
        for other in slot.held[1:]:
            ranges = slot.take_back(other)
            if any(s.fit and not s.held for s in self._inventory.slots):
                self._inventory.requeue(other, ranges)
            else:
                self._inventory.release(other, ranges)

    @staticmethod
    def _check_stopped(slot: SlotProcess, turned_s: float) -> None:
        slot.stopped_s = slot.stopped_s + turned_s if slot.held and slot.stopped else 0.0
        if slot.stopped_s < STOPPED_S or slot.kill_reason:
            return
        lease = next((h for h in slot.held if slot.page.rows[h.row].look().position >= 0), None)
        slot.kill_reason = KillReason(
            f"its slot was stopped for {STOPPED_S:g} s", lease or slot.held[0]
        )
        slot.kill()


def _told(limit_s: float | None) -> str:
    return f"timed out after {limit_s:g} s"

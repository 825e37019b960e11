"""Deadlines of time: tasks that take too long, those that wait behind them, slots that are stopped.

Owns when something has taken too long. How long a slot is stopped is counted only while the
supervisor itself runs: a worker that was frozen as a whole must not kill its slots for it.
"""

from __future__ import annotations

import logging

from ...ipc.shared_page import CANCEL_S, PREPARING, Look
from ..slots.lease import OpenLease
from ..slots.slot_process import KillReason, SlotProcess
from .inventory import Inventory

log = logging.getLogger("quartermaster.worker")

LONG_S = 1.0
"""When a task has run this long, those behind it go back."""

STOPPED_S = 5.0
"""A slot that is stopped for this long is killed."""

HINT_S, HINT_AGAIN_S = 30.0, 300.0
"""When the log tells of a long import or `setup`, first and later: nothing ever ends it."""

LOOK_S = 0.25
"""How often slots are looked at; of a longer pause of the supervisor, twice this is counted."""


class Deadlines:
    """Looks at all slots whenever it is told the time."""

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
        """All slots end now: a task over its limit is charged, though it has `CANCEL_S` left."""
        self.check(now)
        for slot in self._inventory.slots:
            for lease in slot.held:
                slot.kill_reason = slot.kill_reason or self._too_late(slot, lease, now)

    @staticmethod
    def _too_late(slot: SlotProcess, lease: OpenLease, now: float) -> KillReason | None:
        """Only if one task alone runs of an async slot's lease: of several, which is not known."""
        look, limit_s = slot.page.rows[lease.row].look(), lease.given.timeout_s
        if limit_s is None or not look.step or now - look.since <= limit_s:
            return None
        running = [p for a, b in lease.left for p in range(a, min(b, look.unstarted))]
        return KillReason(_told(limit_s), lease, running[0]) if len(running) == 1 else None

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
        """An async slot ends its tasks itself; here only a task that goes on then is late."""
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

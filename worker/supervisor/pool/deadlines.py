"""Deadlines: of tasks, of tasks that wait behind a long one, and of suspended slots.

This module owns when something has taken too long. The time of a suspended slot counts only while
the supervisor itself runs. Otherwise a worker that was frozen as a whole would kill its slots.
"""

from __future__ import annotations

import logging

from ...ipc.shared_page import CANCEL_S, PREPARING, Look
from ..slots.lease import OpenLease
from ..slots.slot_process import KillReason, SlotProcess
from .inventory import Inventory

log = logging.getLogger("quartermaster.worker")

LONG_S = 1.0
"""When a task, or a lease in a plain slot, has run this long, the tasks behind it go back."""

SUSPENDED_S = 5.0
"""A slot that is suspended for this long is killed."""

HINT_S, HINT_AGAIN_S = 30.0, 300.0
"""When the log first, and then again, tells of a long import or `setup`. They have no time
limit."""

LOOK_S = 0.25
"""How often slots are looked at. A longer pause of the supervisor counts as twice this."""


class Deadlines:
    """Checks all slots whenever `check` is called with the time."""

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
                self._check_suspended(slot, turned_s)
        queue = self._inventory.queue
        if queue and now - queue[0].since > LONG_S:
            lease = queue.popleft()
            self._inventory.release(lease, lease.cut(0))

    def close(self, now: float) -> None:
        """All slots end now. A task over its limit is charged, also within its `CANCEL_S`."""
        self.check(now)
        for slot in self._inventory.slots:
            for lease in slot.held:
                slot.kill_reason = slot.kill_reason or self._too_late(slot, lease, now)

    @staticmethod
    def _too_late(slot: SlotProcess, lease: OpenLease, now: float) -> KillReason | None:
        """The reason to end an async slot for a late task, if only one task of the lease runs.

        If several run, it is not known which one is late.
        """
        look, limit_s = slot.page.rows[lease.row].look(), lease.given.timeout_s
        if limit_s is None or not look.step or now - look.since <= limit_s:
            return None
        running = [p for a, b in lease.left for p in range(a, min(b, look.unstarted))]
        return _timed_out(limit_s, lease, running[0]) if len(running) == 1 else None

    def _check(self, slot: SlotProcess, lease: OpenLease, now: float) -> None:
        look = slot.page.rows[lease.row].look()
        if look.position >= 0 and self._is_late(lease, look, now) and not slot.kill_reason:
            late = _timed_out(lease.given.timeout_s, lease, look.position)
            self._inventory.vacate(slot, late)
        first, several = lease is slot.held[0], slot.load.concurrency > 1
        since = look.since if several else 0.0  # a plain slot's lease of short tasks is long, too
        if (first or several) and now - (since or lease.since) > LONG_S:
            self._trim(slot, lease, first)
        if look.position == PREPARING:
            self._hint(slot, lease, now)

    @staticmethod
    def _hint(slot: SlotProcess, lease: OpenLease, now: float) -> None:
        if now >= max(lease.since + HINT_S, lease.hinted_at + HINT_AGAIN_S):
            lease.hinted_at = now
            values = (lease.given.job, now - lease.since, slot.pid)
            log.warning("%s: import or setup() has taken %.0f s in slot %d", *values)

    @staticmethod
    def _is_late(lease: OpenLease, look: Look, now: float) -> bool:
        """Whether a task is over its limit.

        An async slot cancels a late task itself. Here the task is late only if it goes on after
        that.
        """
        limit_s = lease.given.timeout_s
        if limit_s is None:
            return False
        since = look.step or look.since
        return bool(since) and now - since > limit_s + (CANCEL_S if look.step else 0.0)

    def _trim(self, slot: SlotProcess, lease: OpenLease, first: bool) -> None:
        """Take back what waits behind a long task, import or `setup`, or in a long lease.

        A lease that waits in the pipe goes to another slot of this worker, if one has nothing to
        do.
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
    def _check_suspended(slot: SlotProcess, turned_s: float) -> None:
        counts = slot.held and slot.suspended
        slot.suspended_s = slot.suspended_s + turned_s if counts else 0.0
        if slot.suspended_s < SUSPENDED_S or slot.kill_reason:
            return
        lease = next((h for h in slot.held if slot.page.rows[h.row].look().position >= 0), None)
        slot.kill_reason = KillReason(
            f"its slot was suspended for {SUSPENDED_S:g} s", lease or slot.held[0]
        )
        slot.kill()


def _timed_out(limit_s: float | None, lease: OpenLease, position: int) -> KillReason:
    return KillReason(f"timed out after {limit_s:g} s", lease, position, is_late=True)

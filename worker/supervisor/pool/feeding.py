"""Decides which slot gets which lease.

This module owns the way of a lease from its arrival to a slot. It does not know what the slot
reports later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from queue_manager.errors import BrokenEnvironmentError, JobError
from queue_manager.wire.records import Failed, Lease

from ...jobs.eligibility import Eligibility
from ..flow_control import FlowControl
from ..slots.lease import OpenLease
from ..slots.slot_process import SlotProcess
from .blame import Blame
from .inventory import Inventory


class Feeder:
    """Gives leases to slots, or back to the master.

    max_bytes: the most bytes of one result. The master says it.
    """

    def __init__(
        self, inventory: Inventory, eligibility: Eligibility, blame: Blame, flow: FlowControl
    ) -> None:
        self.max_bytes = 1024 * 1024
        self._inventory, self._eligibility = inventory, eligibility
        self._blame, self._flow = blame, flow

    def add(self, leases: Iterable[Lease]) -> None:
        """Take leases that the master gave."""
        now = time.monotonic()
        for given in leases:
            lease = OpenLease(given, now)
            if given.limited:
                self._start_or_release(lease)
            else:
                self._inventory.queue.append(lease)
        if self._inventory.stopping:
            self._inventory.give_back()

    def feed(self) -> None:
        """Give waiting leases to slots, first to those without a lease."""
        queue = self._inventory.queue
        for lease in list(queue):
            can_run = self._can_run(lease)
            if can_run is None:
                continue
            slot = self._choose(lease) if can_run else None
            if can_run and slot is None:
                break
            queue.remove(lease)
            if slot is not None:
                self._give(slot, lease)

    def _can_run(self, lease: OpenLease) -> bool | None:
        """Whether this worker can run a lease. If not, it goes back with the reason.

        None: not yet, because its code is on its way.
        """
        try:
            return self._eligibility.check(lease) or None
        except JobError as error:
            self._show(lease, error)
            self._inventory.release(lease, lease.cut(0), str(error), unstarted=True)
            return False

    def _show(self, lease: OpenLease, error: JobError) -> None:
        """Make one task a dead letter with the words of uv. All others wait for other code."""
        if not (isinstance(error, BrokenEnvironmentError) and error.evidence and lease.left):
            return
        at = lease.left[0][0]
        lease.settle(at, at + 1)
        told = str(error), error.evidence
        self._inventory.outbox.add(lease.given, Failed(lease.given.number, at, *told, reject=True))
        error.evidence = ""

    def _choose(self, lease: OpenLease) -> SlotProcess | None:
        slots = [slot for slot in self._inventory.slots if slot.takes(lease)]
        return min(slots, key=lambda s: (len(s.held), s.load.job != lease.given.job), default=None)

    def _start_or_release(self, lease: OpenLease) -> None:
        """Start a task of a limited group at once, or give it back. The master counts its start."""
        if self._inventory.outbox.full:
            # Not `refused`: the room that the master is told of says it, and when it is over.
            self._inventory.release(lease, lease.cut(0), unstarted=True)
            return
        can_run = self._can_run(lease)
        if can_run is False:
            return
        slots = [slot for slot in self._inventory.slots if can_run and slot.starts_now(lease)]
        slot = min(slots, key=lambda s: (not s.load.is_warm(lease), len(s.held)), default=None)
        if slot is None or self._inventory.stopping:
            self._flow.refused = True
            self._inventory.release(lease, lease.cut(0), unstarted=True)
        else:
            self._give(slot, lease)

    def _give(self, slot: SlotProcess, lease: OpenLease) -> None:
        lease.since = time.monotonic()
        lease.alone = self._blame.alone(lease.given.job)
        slot.give(lease, self.max_bytes)

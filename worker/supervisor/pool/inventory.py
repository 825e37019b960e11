"""All that one worker holds: its slots, the leases that wait for a slot, and its outbox.

This module owns the ways in which a task leaves a slot without an outcome. Other modules decide
which slot gets which lease, what takes too long, and which task is charged.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from queue_manager.ranges import Ranges

from ..outbox import Outbox
from ..slots.lease import OpenLease
from ..slots.slot_process import KillReason, SlotProcess


class Inventory:
    """Slots, waiting leases and the outbox of one worker."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.slots: list[SlotProcess] = []
        self.queue: deque[OpenLease] = deque()
        self.stopping = False

    def all(self) -> Iterator[OpenLease]:
        """Every lease that this worker holds."""
        yield from self.queue
        for slot in self.slots:
            yield from slot.held

    def release(
        self, lease: OpenLease, ranges: Ranges, lacks: str = "", *, unstarted: bool = False
    ) -> None:
        """Give tasks back to the master, uncharged."""
        self.outbox.release(lease.given, ranges, lacks, unstarted=unstarted)

    def requeue(self, lease: OpenLease, ranges: Ranges, *, first: bool = False) -> None:
        """Have tasks wait for another slot. If they can't wait, give them back to the master."""
        if self.stopping or lease.given.limited:
            self.release(lease, ranges, unstarted=True)
            return
        leases = lease.split(ranges, time.monotonic())
        if first:
            self.queue.extendleft(reversed(leases))
        else:
            self.queue.extend(leases)

    def give_back(self) -> None:
        """Give back all tasks that have not started, also those behind a running task."""
        while self.queue:
            self.release(self.queue[0], self.queue.popleft().cut(0))
        for slot in self.slots:
            for lease in slot.held:
                self.release(lease, slot.take_back(lease))

    def vacate(self, slot: SlotProcess, kill_reason: KillReason) -> None:
        """End a slot because of one of its leases. Its other leases go to other slots."""
        slot.terminate(kill_reason)
        for lease in slot.held:
            if lease is not kill_reason.lease:
                self.requeue(lease, slot.take_back(lease))
            else:
                self.release(lease, slot.take_back(lease))

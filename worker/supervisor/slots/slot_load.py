"""The leases of one slot, and how many more it should have.

This module owns the leases of a slot, and how fast it works them off. It knows no process and no
pipe.
"""

from __future__ import annotations

from ...ipc.shared_page import ROWS
from .lease import OpenLease


class SlotLoad:
    """The leases of one slot, the oldest first.

    job, version: those of the last lease. warm: the version of each job that the slot has imported
    and set up. folder: the folder of code from the master. The slot may import more from it. quick:
    the last lease was short, so the next one may wait in the slot's pipe. concurrency: how many
    tasks the slot runs at a time.
    """

    def __init__(self) -> None:
        self.held: list[OpenLease] = []
        self.job, self.version = "", ""
        self.warm: dict[str, str] = {}
        self.folder = ""
        self.quick = False
        self.concurrency = 1

    def add(self, lease: OpenLease) -> None:
        """Add a lease, and give it a row of its own."""
        taken = {other.row for other in self.held}
        lease.row = next(row for row in range(ROWS) if row not in taken)
        if (lease.given.job, lease.version) != (self.job, self.version):
            self.concurrency = 1  # until the slot says how many it runs at a time
        self.job, self.version = lease.given.job, lease.version
        self.folder = lease.folder or self.folder
        self.held.append(lease)

    def takes(self, lease: OpenLease) -> bool:
        """Whether this lease may be given to the slot now."""
        return not self.held or (self._joins(lease) and self._takes_more)

    def starts_now(self, lease: OpenLease) -> bool:
        """Whether this lease would probably start at once."""
        if not self.held:
            return True
        return self._joins(lease) and self.concurrency > 1 and self.places > 0

    def _joins(self, lease: OpenLease) -> bool:
        """Whether the slot can hold it beside the others: a slot runs one job at a time."""
        numbers = {other.given.number for other in self.held}
        same = (lease.given.job, lease.version) == (self.job, self.version)
        return same and len(self.held) < ROWS and lease.given.number not in numbers

    @property
    def places(self) -> int:
        """How many leases of one task would start at once."""
        if self.concurrency > 1:
            running = sum(lease.weight for lease in self.held)
            return max(0, min(self.concurrency - running, ROWS - len(self.held)))
        return 0 if self.held else 1

    @property
    def room(self) -> int:
        """How many more leases the slot should have."""
        unfinished = sum(1 for lease in self.held if lease.left)
        if self.concurrency > 1:
            return 2 if self._takes_more and len(self.held) < ROWS else 0
        return max(0, (2 if self.quick else 1) - unfinished)

    @property
    def _takes_more(self) -> bool:
        if self.concurrency > 1:
            # As many tasks again wait in the slot. Short tasks end long before the master could
            # send more.
            return sum(lease.weight for lease in self.held) < 2 * self.concurrency
        return self.quick and len(self.held) < 2

    def is_warm(self, lease: OpenLease) -> bool:
        """Whether the slot has this lease's job imported and set up."""
        return self.warm.get(lease.given.job) == lease.version

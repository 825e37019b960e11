"""The slots of a worker at work: which slot gets which lease, and what they say.

Owns the way of a lease from its arrival to a slot, and the replacing of slots. What a slot's end
means is in `blame`, what takes too long in `deadlines`; how outcomes get to the master is not
known here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from queue_manager.errors import JobError
from queue_manager.ranges import without
from queue_manager.wire.records import Done, Failed, HeldLease, Lease, Outcome, Released

from ..ipc.pipe import Report
from ..jobs.code_folder import CodeFolders
from ..jobs.eligibility import Eligibility
from ..processes.orphans import Orphans
from . import claims
from .blame import Blame
from .deadlines import LONG_S, Deadlines
from .flow_control import FlowControl
from .inventory import Inventory
from .lease import OpenLease
from .outbox import Outbox
from .output import Relays
from .slot_process import KillReason, Slot

log = logging.getLogger("quartermaster.worker")

QUICK_S = 0.2
"""A slot whose lease took less has the next one waiting in its pipe."""

TICK_S = 0.05
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

TOGETHER_S = 0.2
"""Who ends a whole control group sends SIGTERM to worker and slots within this, in any order."""

STOPPED = KillReason("stopped")


class Pool:
    """Slots and leases of one worker.

    Args:
        folder: of the jobs.
        fetched: code of jobs that comes from the master; None where that is not wanted.
        count: how many slots.
        outbox: where outcomes go.
        orphans: what is done with processes that slots leave behind.
        relays: where goes what slots print.
        flow: is told when a lease had to be refused, and when that may have changed.
        on_change: called when there are new outcomes, or more leases could be taken.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        outbox: Outbox,
        orphans: Orphans,
        relays: Relays,
        flow: FlowControl,
        on_change: Callable[[], None],
        fetched: CodeFolders | None = None,
    ) -> None:
        self.max_bytes = 1024 * 1024
        self.inventory = Inventory(outbox)
        self._folder, self._count, self._on_change = folder, count, on_change
        self._orphans, self._relays, self._flow = orphans, relays, flow
        self._eligibility = Eligibility(folder, fetched, self.code_came)
        self._blame = Blame(self.inventory, self._eligibility)
        self._deadlines = Deadlines(self.inventory)
        self._ticking = False
        if fetched is not None:
            fetched.in_use = self._folders_in_use

    def start(self) -> None:
        """Start the slots."""
        for _ in range(self._count):
            self._hire(0)

    @property
    def want(self) -> int:
        """How many leases could be taken besides those that are here; negative: too many."""
        free = sum(max(0, slot.appetite - slot.load) for slot in self.inventory.slots)
        return free - len(self.inventory.queue)

    @property
    def free(self) -> int:
        """How many leases of one task would start at once, as far as is known here."""
        if self.inventory.stopping or self._flow.refused:
            return 0
        places = sum(slot.places for slot in self.inventory.slots)
        return max(0, places - len(self.inventory.queue))

    @property
    def running(self) -> bool:
        """Whether a slot has a task in hand."""
        return any(h.left for slot in self.inventory.slots for h in slot.held)

    @property
    def ended(self) -> bool:
        """Whether no slot is left."""
        return not self.inventory.slots

    # --- leases come and go ---

    def add(self, leases: Iterable[Lease]) -> None:
        """Take leases that the master gave."""
        now = time.monotonic()
        for given in leases:
            lease = OpenLease(given, now)
            if given.limited:
                self._start_or_release(lease)
            else:
                self.inventory.queue.append(lease)
        if self.inventory.stopping:
            self.inventory.give_back()
        self._feed()

    def claimed(self) -> list[HeldLease]:
        """What is held, for the next session's hello."""
        return claims.claimed(self.inventory)

    def recognize(self, leases: Iterable[HeldLease]) -> None:
        """A new session: go on with these, end the rest."""
        claims.recognize(self.inventory, leases)
        self._feed()

    def _folders_in_use(self) -> set[str]:
        given = {lease.folder for lease in self.inventory.all()}
        return given | {slot.folder for slot in self.inventory.slots}

    def code_came(self) -> None:
        """Code of a job has come, or does not come: what waits for it can go on."""
        self._flow.refused = False
        self._feed()

    def revoke(self, numbers: Iterable[int], why: str) -> None:
        """These leases have ended by the master's word."""
        claims.revoke(self.inventory, numbers, why or "revoked")
        self._feed()

    def stop(self) -> None:
        """Take nothing more; slots without a task end."""
        self.inventory.stopping = True
        self.inventory.give_back()
        for slot in self.inventory.slots:
            if not any(lease.left for lease in slot.held):
                slot.close()

    def kill(self) -> None:
        """End all slots now; what they were running goes back uncharged, but what is too late."""
        self.inventory.stopping = True
        self._deadlines.close(time.monotonic())
        for slot in self.inventory.slots:
            slot.kill_reason = slot.kill_reason or STOPPED
            slot.kill()

    def _feed(self) -> None:
        """Hand waiting leases to slots: first to those that have nothing."""
        queue = self.inventory.queue
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
        self._keep_ticking()
        self._on_change()

    def _can_run(self, lease: OpenLease) -> bool | None:
        """Whether this worker can run a lease; if not, it goes back with the reason.

        None: not yet, its code is on its way.
        """
        try:
            return self._eligibility.check(lease) or None
        except JobError as error:
            self.inventory.release(lease, lease.cut(0), str(error), unstarted=True)
            return False

    def _choose(self, lease: OpenLease) -> Slot | None:
        rooms = [slot for slot in self.inventory.slots if slot.room(lease)]
        return min(rooms, key=lambda s: (len(s.held), s.job != lease.given.job), default=None)

    def _start_or_release(self, lease: OpenLease) -> None:
        """A task of a limited group starts at once, or goes back: the master counts its start."""
        can_run = self._can_run(lease)
        if can_run is False:
            return
        rooms = [slot for slot in self.inventory.slots if can_run and slot.starts_now(lease)]
        slot = min(rooms, key=lambda s: (not s.is_warm(lease), len(s.held)), default=None)
        if slot is None or self.inventory.stopping:
            self._flow.refused = True  # else it would be offered again at once, and again
            self.inventory.release(lease, lease.cut(0), unstarted=True)
        else:
            self._give(slot, lease)

    def _give(self, slot: Slot, lease: OpenLease) -> None:
        lease.since = time.monotonic()
        lease.alone = self._blame.alone(lease.given.job)
        slot.give(lease, self.max_bytes)

    # --- what slots say ---

    def _reported(self, slot: Slot, report: Report) -> None:
        lease = next((h for h in slot.held if h.given.number == report.lease), None)
        if lease is None:
            return
        slot.concurrency = report.concurrency
        if report.outcomes or report.over:
            self._flow.refused = False
        for outcome in report.outcomes:
            self._settle(slot, lease, outcome)
        if report.leaving and not slot.leaving:  # an async slot says so of each of its leases
            self._leaves(slot)
        if report.over:
            self._over(slot, lease)
        self._feed()

    def _settle(self, slot: Slot, lease: OpenLease, outcome: Outcome) -> None:
        if isinstance(outcome, Released):
            if outcome.lacks:
                self._eligibility.failed(lease, outcome.lacks)
            else:
                slot.warm[lease.given.job] = lease.version  # it was set up for this very lease
            self.inventory.release(lease, lease.cut(0), outcome.lacks, unstarted=True)
            return
        self._eligibility.works(slot.job, slot.version)
        slot.warm[lease.given.job] = lease.version
        slot.deaths = 0
        lease.took_s += outcome.took_s
        start, stop = (
            (outcome.start, outcome.stop)
            if isinstance(outcome, Done)
            else (outcome.position, outcome.position + 1)
        )
        lease.ending = without(lease.ending, [(start, stop)])
        if slot.kill_reason and isinstance(outcome, Failed):  # it noticed SIGTERM before its end
            if not slot.kill_reason.charges(lease, start):
                return
            outcome = msgspec.structs.replace(outcome, error=slot.kill_reason.why)
        if lease.settle(start, stop):  # else it was taken back at the very moment it started
            self.inventory.outbox.add(lease.given, outcome)

    def _over(self, slot: Slot, lease: OpenLease) -> None:
        if lease in slot.held:
            slot.held.remove(lease)
        slot.quick = lease.took_s < QUICK_S
        self.inventory.release(lease, lease.cut(0))
        if slot.held:
            slot.held[0].since = time.monotonic()
        if self.inventory.stopping and not slot.held:
            slot.close()

    def _leaves(self, slot: Slot) -> None:
        """It needs a successor: the job has changed, or cannot run in that process."""
        slot.leaving = True
        self._eligibility.versions.forget(slot.job)
        unstarted = [h for h in slot.held if not self._started(slot, h)]
        slot.held = [h for h in slot.held if h not in unstarted]
        for lease in reversed(unstarted):
            self.inventory.again(lease, lease.left, first=True)
        asyncio.get_running_loop().call_later(LONG_S, slot.kill)
        self._replace(slot)

    @staticmethod
    def _started(slot: Slot, lease: OpenLease) -> bool:
        return slot.page.rows[lease.row].look().unstarted > lease.given.start

    # --- slots come and go ---

    def _hire(self, deaths: int) -> None:
        mark = self._orphans.new_mark()
        try:
            slot = Slot(self._folder, self._relays, self._reported, self._gone, deaths, mark)
        except OSError as error:  # such as too many processes or open files
            log.error("can't start a slot: %s; trying again", error)
            asyncio.get_running_loop().call_later(LONGEST_PAUSE_S, self._return, deaths)
            return
        self.inventory.slots.append(slot)
        self._orphans.started(slot.pid, mark)

    def _replace(self, slot: Slot) -> None:
        """Put another slot in its place; at once, unless slots there die one after the other."""
        if self.inventory.stopping:
            return
        pause_s = 0.0
        if slot.deaths > 1:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (slot.deaths - 2))
        asyncio.get_running_loop().call_later(pause_s, self._return, slot.deaths)

    def _return(self, deaths: int) -> None:
        if not self.inventory.stopping:
            self._flow.refused = False
            self._hire(deaths)
            self._feed()

    def _gone(self, slot: Slot) -> None:
        """A slot's process has ended. By a SIGTERM that was perhaps the whole worker's: wait."""
        self._orphans.ended(slot.pid)
        if slot.terminated and not self.inventory.stopping:
            asyncio.get_running_loop().call_later(TOGETHER_S, self._bury, slot)
        else:
            self._bury(slot)

    def _bury(self, slot: Slot) -> None:
        self.inventory.slots.remove(slot)
        if slot.terminated and self.inventory.stopping:
            slot.kill_reason = STOPPED
        if not slot.leaving and not (slot.kill_reason and slot.kill_reason.lease is None):
            slot.deaths += 1
        self._blame.of(slot)
        if not slot.leaving:
            self._replace(slot)
        self._feed()

    # --- time ---

    def _keep_ticking(self) -> None:
        busy = self.inventory.queue or any(slot.held for slot in self.inventory.slots)
        if busy and not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._deadlines.check(time.monotonic())
        self._feed()

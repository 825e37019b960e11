"""Starts, replaces and ends the slots of a worker.

This module owns when a slot comes and goes. `feeding` decides which lease it gets, `slot_reports`
reads its reports, `blame` knows what its end means, and `deadlines` what takes too long. This
module does not know how outcomes get to the master.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from queue_manager.wire.records import HeldLease, Lease

from ...ipc.pipe import Report
from ...jobs.code_folder import CodeFolders
from ...jobs.eligibility import Eligibility
from ...jobs.job_environments import JobEnvironments
from ...processes.orphans import Orphans
from ..flow_control import FlowControl
from ..meter import Meter
from ..outbox import Outbox
from ..slots.output import Relays
from ..slots.slot_process import KillReason, SlotProcess
from . import claims
from .blame import Blame
from .deadlines import LONG_S, Deadlines
from .feeding import Feeder
from .inventory import Inventory
from .slot_reports import SlotReports

log = logging.getLogger("quartermaster.worker")

TICK_S = 0.05
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

TOGETHER_S = 0.2
"""A SIGTERM for a whole control group reaches the worker and its slots within this time."""

WORKER_ENDS = KillReason("stopped")


class Pool:
    """Slots and leases of one worker.

    Args:
        folder: the worker's own folder of jobs.
        count: how many slots.
        outbox: where outcomes go.
        orphans: ends the processes that slots leave behind.
        relays: where the output of slots goes.
        flow: notes that a lease was refused, and that this may have changed.
        on_change: is called when there are new outcomes, or room for more leases.
        fetched: code of jobs from the master; None: only the worker's own folder is used.
        environments: those that jobs ask for; None: they get none.
        meter: knows whether memory ran out; None: nobody does.
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
        environments: JobEnvironments | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.inventory = Inventory(outbox)
        self._folder, self._count, self._on_change = folder, count, on_change
        self._orphans, self._relays, self._flow = orphans, relays, flow
        self._meter = meter
        self._eligibility = Eligibility(folder, fetched, self.code_came, environments)
        self._blame = Blame(self.inventory, self._eligibility)
        self._deadlines = Deadlines(self.inventory)
        self._feeder = Feeder(self.inventory, self._eligibility, self._blame, flow)
        self._reports = SlotReports(self.inventory, self._eligibility, flow)
        self._ticking = False
        self.spare: SlotProcess | None = None
        self._keeps_spare = False
        if fetched is not None:
            fetched.in_use = self._folders_in_use

    def start(self) -> None:
        """Start the slots."""
        for _ in range(self._count):
            self._hire(0)

    @property
    def want(self) -> int:
        """How many more leases the slots should have; negative if there are too many."""
        return sum(slot.room for slot in self.inventory.slots) - len(self.inventory.queue)

    @property
    def free(self) -> int:
        """How many leases of one task would start at once."""
        if self.inventory.stopping or self._flow.refused:
            return 0
        places = sum(slot.places for slot in self.inventory.slots)
        return max(0, places - len(self.inventory.queue))

    @property
    def running(self) -> bool:
        """Whether a slot has a task in hand."""
        return any(lease.left for slot in self.inventory.slots for lease in slot.held)

    @property
    def ended(self) -> bool:
        """Whether no slot is left."""
        return not self._processes

    # --- leases come and go ---

    def add(self, leases: Iterable[Lease]) -> None:
        """Take leases that the master gave."""
        self._feeder.add(leases)
        self._feed()

    def claimed(self) -> list[HeldLease]:
        """The held leases, for the hello of the next session."""
        return claims.claimed(self.inventory)

    def recognize(self, leases: Iterable[HeldLease], max_bytes: int) -> None:
        """Begin a session: go on with these leases, end all others. max_bytes: of one result."""
        self._feeder.max_bytes = max_bytes
        claims.recognize(self.inventory, leases)
        self._feed()

    def _folders_in_use(self) -> set[str]:
        given = {lease.folder for lease in self.inventory.all()}
        return given | {slot.load.folder for slot in self.inventory.slots}

    def code_came(self) -> None:
        """Go on with leases that waited for code. It has come, or will not come."""
        self._flow.refused = False
        self._feed()

    def revoke(self, numbers: Iterable[int], why: str) -> None:
        """Drop leases that the master has ended."""
        claims.revoke(self.inventory, numbers, why or "revoked")
        self._feed()

    def stop(self) -> None:
        """Take no more leases, and end the slots without a task."""
        self.inventory.stopping = True
        self.inventory.give_back()
        for slot in self._processes:
            if not any(lease.left for lease in slot.held):
                slot.close()

    def kill(self) -> None:
        """End all slots now. Their tasks go back uncharged, except a task over its limit."""
        self.inventory.stopping = True
        self._deadlines.close(time.monotonic())
        for slot in self._processes:
            slot.kill_reason = slot.kill_reason or WORKER_ENDS
            slot.kill()

    def _feed(self) -> None:
        """Give out waiting leases after a change, and call `on_change`."""
        if self.inventory.outbox.full:  # the master reads less than slots make
            self.inventory.give_back()
        self._feeder.feed()
        self._keep_ticking()
        self._on_change()

    # --- slots come and go ---

    @property
    def _processes(self) -> list[SlotProcess]:
        """The slots, and the process that will be the next one."""
        return self.inventory.slots + [one for one in (self.spare,) if one is not None]

    def _reported(self, slot: SlotProcess, report: Report) -> None:
        if self._reports.take(slot, report):
            self._keeps_spare = self._keeps_spare or bool(slot.load.folder)
            asyncio.get_running_loop().call_later(LONG_S, slot.kill)
            self._replace(slot)
        self._feed()

    def _hire(self, deaths: int) -> None:
        try:
            slot = self.spare or self._start_one()
        except OSError as error:  # such as too many processes or open files
            log.error("can't start a slot: %s; trying again", error)
            asyncio.get_running_loop().call_later(LONGEST_PAUSE_S, self._return, deaths)
            return
        self.spare, slot.deaths = None, deaths
        self._orphans.begins(slot.pid)
        self.inventory.slots.append(slot)

    def _start_one(self) -> SlotProcess:
        """Start a process that no lease is given to yet. Raises OSError where the system can't."""
        mark = self._orphans.new_mark()
        slot = SlotProcess(self._folder, self._relays, self._reported, self._gone, mark=mark)
        self._orphans.started(slot.pid, mark)
        return slot

    def _keep_spare(self) -> None:
        """Start what the next slot will be, once a slot with code from the master has left.

        Whoever sends functions one after the other would wait for the start of a slot each time.
        """
        if self._keeps_spare and self.spare is None:
            with contextlib.suppress(OSError):  # the next slot is started when it is needed
                self.spare = self._start_one()

    def _replace(self, slot: SlotProcess) -> None:
        """Start another slot in its place, after a pause if several died there in a row."""
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
            self._keep_spare()

    def _gone(self, slot: SlotProcess) -> None:
        """A slot has ended. After a SIGTERM wait a little: the whole worker may get one."""
        self._orphans.ended(slot.pid)
        if slot is self.spare:
            self.spare = None
            self._feed()
            return
        if slot.terminated and not self.inventory.stopping:
            asyncio.get_running_loop().call_later(TOGETHER_S, self._bury, slot)
        else:
            self._bury(slot)

    def _bury(self, slot: SlotProcess) -> None:
        self.inventory.slots.remove(slot)
        if slot.terminated and self.inventory.stopping:
            slot.kill_reason = WORKER_ENDS
        if slot.killed and self._meter is not None:
            slot.killed_why = self._meter.why_killed(slot)
        if not slot.leaving and not (slot.kill_reason and slot.kill_reason.lease is None):
            slot.deaths += 1
        self._blame.assign(slot)
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

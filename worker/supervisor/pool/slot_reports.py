"""Reads the reports of slots.

This module owns what an outcome changes in the supervisor before it goes to the outbox.
"""

from __future__ import annotations

import time

import msgspec

from queue_manager.ranges import without
from queue_manager.wire.records import Done, Failed, Outcome, Released

from ...ipc.pipe import Report
from ...jobs.eligibility import Eligibility
from ..flow_control import FlowControl
from ..slots.lease import OpenLease
from ..slots.slot_process import SlotProcess
from .inventory import Inventory

QUICK_S = 0.2
"""If a slot's lease took less than this, the next one may wait in the slot's pipe."""


class SlotReports:
    """Settles leases by what slots report."""

    def __init__(self, inventory: Inventory, eligibility: Eligibility, flow: FlowControl) -> None:
        self._inventory, self._eligibility, self._flow = inventory, eligibility, flow

    def take(self, slot: SlotProcess, report: Report) -> bool:
        """Act on a report. Returns whether the slot leaves and needs a successor."""
        lease = next((one for one in slot.held if one.given.number == report.lease), None)
        if lease is None:
            return False
        slot.load.concurrency = report.concurrency
        if report.outcomes or report.finished:
            self._flow.refused = False
        for outcome in report.outcomes:
            self._settle(slot, lease, outcome)
        leaves = report.leaving and not slot.leaving  # an async slot reports it for each lease
        if leaves:
            self._leave(slot)
        if report.finished:
            self._finish(slot, lease)
        return leaves

    def _settle(self, slot: SlotProcess, lease: OpenLease, outcome: Outcome) -> None:
        if isinstance(outcome, Released):
            if outcome.lacks:
                self._eligibility.failed(lease, outcome.lacks)
            else:
                slot.load.warm[lease.given.job] = lease.version  # the job was set up for this lease
            self._inventory.release(lease, lease.cut(0), outcome.lacks, unstarted=True)
            return
        self._eligibility.works(slot.load.job, slot.load.version)
        slot.load.warm[lease.given.job] = lease.version
        slot.deaths = 0
        lease.took_s += outcome.took_s
        if isinstance(outcome, Done):
            start, stop = outcome.start, outcome.stop
        else:
            start, stop = outcome.position, outcome.position + 1
        lease.ending = without(lease.ending, [(start, stop)])
        if slot.kill_reason and isinstance(outcome, Failed):  # it raised because of our SIGTERM
            if not slot.kill_reason.charges(lease, start):
                return
            outcome = msgspec.structs.replace(outcome, error=slot.kill_reason.why)
        if lease.settle(start, stop):  # else it was taken back in the moment of its start
            self._inventory.outbox.add(lease.given, outcome)

    def _finish(self, slot: SlotProcess, lease: OpenLease) -> None:
        if lease in slot.held:
            slot.held.remove(lease)
        slot.load.quick = lease.took_s < QUICK_S
        self._inventory.release(lease, lease.cut(0))
        if slot.held:
            slot.held[0].since = time.monotonic()
        if self._inventory.stopping and not slot.held:
            slot.close()

    def _leave(self, slot: SlotProcess) -> None:
        """Another slot gets its leases, because its process can't run that job, or that version."""
        slot.leave()
        self._eligibility.versions.forget(slot.load.job)
        unstarted = [one for one in slot.held if not self._started(slot, one)]
        slot.load.held = [one for one in slot.held if one not in unstarted]
        for lease in reversed(unstarted):
            self._inventory.requeue(lease, lease.left, first=True)

    @staticmethod
    def _started(slot: SlotProcess, lease: OpenLease) -> bool:
        return slot.page.rows[lease.row].look().unstarted > lease.given.start

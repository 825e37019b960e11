"""Charges the task that was running when a slot died, and no other.

This module owns which task is charged, with what evidence, and what happens if that is not known.
"""

from __future__ import annotations

import logging
import time

from queue_manager.job.raised import TIME_LIMIT, WORKER_DIED
from queue_manager.log_lines import about
from queue_manager.wire.records import Failed

from ...ipc.outcomes import clean
from ...ipc.shared_page import PREPARING
from ...jobs.eligibility import Eligibility
from ..slots.lease import OpenLease
from ..slots.slot_process import SlotProcess
from .inventory import Inventory

log = logging.getLogger("quartermaster.worker")

ALONE_S = 60.0
"""How long a job's tasks run one at a time after one of several tasks has ended a slot."""


class Blame:
    """Charges tasks for the ends of slots."""

    def __init__(self, inventory: Inventory, eligibility: Eligibility) -> None:
        self._inventory, self._eligibility = inventory, eligibility
        self._alone_until: dict[str, float] = {}

    def alone(self, job: str) -> bool:
        """Whether the tasks of a job run, and are reported, one at a time for now."""
        return time.monotonic() < self._alone_until.get(job, 0.0)

    def assign(self, slot: SlotProcess) -> None:
        """Charge the running task of a dead slot, if it had one. All other tasks go back."""
        suspects = self._suspects(slot)
        charged = len(suspects) == 1 and self._charge(slot, *suspects[0])
        if len(suspects) > 1:
            for lease, _ in suspects:
                self._alone_until[lease.given.job] = time.monotonic() + ALONE_S
        for lease in slot.held:
            lacks = self._lacks_of(slot, lease)
            self._inventory.release(lease, lease.cut(0), lacks, unstarted=bool(lacks))
        if not (slot.leaving or slot.kill_reason or charged):
            verdict = "no task is charged"
            if len(suspects) > 1:
                verdict = f"one of {len(suspects)} tasks did it: they run one at a time now"
            log.warning("slot %d died: %s; %s", slot.pid, slot.cause, verdict)

    def _lacks_of(self, slot: SlotProcess, lease: OpenLease) -> str:
        """Why the job does not run here, if its import or `setup()` has ended too many slots."""
        look = slot.page.rows[lease.row].look()
        if look.position != PREPARING or slot.kill_reason or slot.leaving:
            return ""
        return self._eligibility.killed(lease, slot.cause)

    def _suspects(self, slot: SlotProcess) -> list[tuple[OpenLease, int]]:
        """The tasks that may have ended the slot: the running one, if it is known.

        Otherwise it may be any task that has started and was not reported. This is so if the slot
        was between two tasks, or between two steps of an async slot, or if its pipe was broken.
        """
        if slot.leaving:
            return []
        looks = [(lease, slot.page.rows[lease.row].look()) for lease in slot.held]
        suspects = [(lease, look.position) for lease, look in looks if look.position >= 0]
        if slot.broken or not suspects:
            suspects = [
                (lease, position)
                for lease, look in looks
                for start, stop in lease.left
                for position in range(start, min(stop, look.unstarted))
                if look.position != PREPARING
            ]
            if suspects and suspects[0][0].alone:  # it is the first task without a report
                del suspects[1:]
        kill_reason = slot.kill_reason
        if kill_reason is None:
            return suspects
        return [one for one in suspects if kill_reason.charges(*one)]

    def _charge(self, slot: SlotProcess, lease: OpenLease, position: int) -> bool:
        """Charge a task. False: it needs no outcome any more."""
        kill_reason = slot.kill_reason
        if not lease.settle(position, position + 1):
            return False
        error = kill_reason.why if kill_reason is not None else f"its slot died: {slot.cause}"
        given, task = lease.given, lease.given.first + position
        of = about(run=given.run, task=task, job=given.job, traceparent=given.traceparent)
        log.warning("%s: task %d: %s", given.job, task, error, extra=of)
        since = slot.page.rows[lease.row].look().since
        failed = Failed(
            lease.given.number,
            position,
            error,
            clean(slot.evidence(lease, position)),
            took_s=max(0.0, time.monotonic() - since),
            printed=slot.printed(lease, position),
            raised=TIME_LIMIT if kill_reason is not None and kill_reason.is_late else WORKER_DIED,
        )
        self._inventory.outbox.add(lease.given, failed)
        return True

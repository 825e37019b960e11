"""What the end of a slot means for its tasks: exactly the task that was running is charged.

Owns which task is charged, with what evidence, and what is done when that is not known.
"""

from __future__ import annotations

import logging
import time

from queue_manager.wire.records import Failed

from ...ipc.outcomes import clean
from ...ipc.shared_page import PREPARING
from ...jobs.eligibility import Eligibility
from ..slots.lease import OpenLease
from ..slots.slot_process import SlotProcess
from .inventory import Inventory

log = logging.getLogger("quartermaster.worker")

ALONE_S = 60.0
"""How long a job's tasks run one at a time after one of several has ended a slot."""


class Blame:
    """Charges tasks for the ends of slots."""

    def __init__(self, inventory: Inventory, lacks: Eligibility) -> None:
        self._inventory, self._eligibility = inventory, lacks
        self._alone_until: dict[str, float] = {}

    def alone(self, job: str) -> bool:
        """Whether tasks of a job should run and be reported one at a time for now."""
        return time.monotonic() < self._alone_until.get(job, 0.0)

    def assign(self, slot: SlotProcess) -> None:
        """Charge a dead slot's running task, if it had one; the rest goes back."""
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
        """Why the job is not tried here again, if its import or `setup()` has ended the slot."""
        look = slot.page.rows[lease.row].look()
        if look.position != PREPARING or slot.kill_reason or slot.leaving:
            return ""
        return self._eligibility.killed(lease, slot.cause)

    def _suspects(self, slot: SlotProcess) -> list[tuple[OpenLease, int]]:
        """The tasks that may have ended the slot: the one that was running, if that is known.

        Between two tasks, or two steps of an async slot, or when the pipe was found broken, it may
        be any task that has started and was not reported.
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
            if suspects and suspects[0][0].alone:  # it is the first whose report did not come
                del suspects[1:]
        kill_reason = slot.kill_reason
        if kill_reason is None:
            return suspects
        return [one for one in suspects if kill_reason.charges(*one)]

    def _charge(self, slot: SlotProcess, lease: OpenLease, position: int) -> bool:
        """Whether this task was still to be answered for."""
        kill_reason = slot.kill_reason
        if not lease.settle(position, position + 1):
            return False
        error = kill_reason.why if kill_reason is not None else f"its slot died: {slot.cause}"
        log.warning("%s: task %d: %s", lease.given.job, lease.given.first + position, error)
        since = slot.page.rows[lease.row].look().since
        failed = Failed(
            lease.given.number,
            position,
            error,
            clean(slot.evidence(lease, position)),
            took_s=max(0.0, time.monotonic() - since),
            printed=slot.printed(lease, position),
        )
        self._inventory.outbox.add(lease.given, failed)
        return True

"""What a slot's end means for its tasks: exactly the one that it was running is charged.

Owns who is charged, with what evidence, and what is done when nobody can tell.
"""

from __future__ import annotations

import logging
import time

from queue_manager.records import Failed

from .board import NONE, PREPARING, Look
from .held import Held
from .holdings import Holdings
from .lacks import Lacks
from .outcomes import clean
from .slots import Slot

log = logging.getLogger("quartermaster.worker")

ALONE_S = 60.0
"""How long an async job's tasks run one at a time when nobody knows which killed a slot."""


class Verdict:
    """Charges tasks for the ends of slots."""

    def __init__(self, holdings: Holdings, lacks: Lacks) -> None:
        self._holdings, self._lacks = holdings, lacks
        self._alone_until: dict[str, float] = {}

    def alone(self, job: str) -> bool:
        """Whether tasks of an async job should run one at a time for now."""
        return time.monotonic() < self._alone_until.get(job, 0.0)

    def of(self, slot: Slot) -> None:
        """Charge a dead slot's running task, if it had one; the rest goes back."""
        charged = [self._of(slot, held) for held in slot.held]
        if not (slot.leaving or slot.doom or any(charged)):
            log.warning("slot %d died: %s; no task is charged", slot.pid, slot.cause)

    def _of(self, slot: Slot, held: Held) -> bool:
        look, lacks, charged = slot.board.pages[held.page].look(), "", False
        if slot.leaving:
            pass
        elif look.position >= 0:
            charged = self._charge(slot, held, look.position)
        elif look.position == PREPARING and not slot.doom:
            lacks = self._lacks.killed(held, slot.cause)
        elif look.position == NONE and look.step:
            charged = self._blame(slot, held, look)
        self._holdings.release(held, held.cut(0), lacks, unstarted=bool(lacks))
        return charged

    def _charge(self, slot: Slot, held: Held, position: int) -> bool:
        """Whether this task was still to be answered for, and has to answer for the end."""
        doom = slot.doom
        if doom is not None and not doom.charges(held, position):
            return False
        if not held.settle(position, position + 1):
            return False
        error = doom.why if doom is not None else f"its slot died: {slot.cause}"
        log.warning("%s: task %d: %s", held.lease.job, held.lease.first + position, error)
        since = slot.board.pages[held.page].look().since
        failed = Failed(
            held.lease.number,
            position,
            error,
            clean(slot.evidence(held, position)),
            took_s=max(0.0, time.monotonic() - since),
            printed=slot.printed(held, position),
        )
        self._holdings.outbox.add(held.lease, failed)
        return True

    def _blame(self, slot: Slot, held: Held, look: Look) -> bool:
        """An async slot died between two steps: who did it is known if only one was in flight."""
        if slot.doom is not None and slot.doom.held is not held:
            return False
        flying = [p for a, b in held.left for p in range(a, min(b, look.unstarted))]
        if len(flying) == 1 and len(slot.held) == 1:
            return self._charge(slot, held, flying[0])
        if flying:
            self._alone_until[held.lease.job] = time.monotonic() + ALONE_S
        return False

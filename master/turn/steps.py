"""What came and waits for a turn: the steps, and those that are held until the store can be read.

Knows nothing of the broker; what becomes of a step is the turn's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("quartermaster.master")

HELD_S = 15.0
"""So long a step waits for what can't be read, if it does not say itself what to do about that."""

RETRY_S = 0.5

Answer = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One message's part in a turn.

    stage: changes the broker and returns what to answer once that is on disk; it may raise a
        QueueError. refuse: answers with one line when it can't be carried out. waits: it is no
        fault of the sender's that the store can't take it, or be read: it is staged again, in its
        order, until the store does. of: the sender, whose steps keep their order. lasting: nobody
        can be told that it was refused, such as the end of a session: it is tried for ever.
    """

    stage: Callable[[float, float], Answer | None]
    refuse: Callable[[str], None] = log.error
    waits: bool = False
    of: object = None
    lasting: bool = False


class HeldSteps:
    """Steps that can't be staged for now, in their order, while all others are.

    trouble: why, in one line.
    """

    def __init__(self) -> None:
        self._steps: dict[Step, float] = {}
        self._due = 0.0
        self.trouble = ""

    def hold(self, steps: list[Step], error: str, now: float) -> list[Step]:
        """Keep steps for later; returns those that have waited for too long. now: monotonic s."""
        if error != self.trouble:
            self.trouble = error
            log.error("%s; what needs it waits, all else goes on", error)
        if now >= self._due:  # else whoever comes later would put it off for all
            self._due = now + RETRY_S
        late = []
        for step in steps:
            since = self._steps.setdefault(step, now)
            if now - since > HELD_S and not step.lasting:
                late.append(step)
                del self._steps[step]
        return late

    def take(self, new: list[Step], now: float) -> list[Step]:
        """What a turn is to stage: those that are held when they are due, and what is new.

        What is new of a sender of whom something is held waits behind that.
        """
        if not self._steps:
            return new
        if now >= self._due:  # what was rolled back is among both
            return list({**self._steps, **dict.fromkeys(new, now)})
        senders = {id(step.of) for step in self._steps if step.of is not None}
        behind = [step for step in new if step.of is not None and id(step.of) in senders]
        self._steps.update(dict.fromkeys(behind, now))
        return [step for step in new if step not in self._steps]

    def staged(self, step: Step) -> bool:
        """A step is held no more; False: it was not."""
        if self._steps.pop(step, None) is None:
            return False
        if not self._steps:
            self.trouble = ""
        return True

    def due_now(self) -> None:
        """The next turn is the last one."""
        self._due = 0.0

    def __bool__(self) -> bool:
        return bool(self._steps)


def guarded(act: Callable[[], object]) -> None:
    """An error in one part must not take the others along: what is on disk is so, time goes on."""
    try:
        act()
    except Exception:
        log.exception("an error of ours")

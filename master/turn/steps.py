"""Steps: what came and waits for a turn, and what is held until the store can be read.

Knows nothing of the broker. The turn decides what becomes of a step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..reads import ReadRequest
from .answer import Reply
from .known import Known

log = logging.getLogger("quartermaster.master")

HELD_S = 15.0
"""How long a step waits for a store that can't be read, unless it says `in_part_after_s`."""

RETRY_S = 0.5

Publish = Callable[[], Any]
"""Makes visible what a step has changed, once that is on disk. Returns the answer, or LATER."""


class UnpreparedError(Exception):
    """A step that is being staged must know something that was not read: the next turn reads it."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One message's part in a turn.

    stage: changes what is in memory, the broker first of all, and waits for nothing. It raises a
        QueueError before it has changed anything, or not at all. It is given the time, monotonic
        and UTC epoch, in seconds.
    reply: is sent the answer that `Publish` returns, or None when there is nothing to publish.
    needs: yields what must be read before the step is staged; each request is answered in `Known`
        when the next one is made.
    retry_on_store_error: while the store can't be read or written, the step is staged again and
        again, in its order. The sender is not at fault.
    of: the sender, whose steps keep their order.
    lasting: the step is never refused, because nobody is there to be told, such as at the end of
        a session.
    in_part_after_s: after so long the step is staged without what can't be read. None: never.
    gathers: its turn may wait a moment for steps of other senders; see `Gathering`.
    size_bytes: about how many bytes it has for the disk.
    """

    stage: Callable[[float, float], Publish | None]
    reply: Reply = field(default_factory=Reply)
    needs: Callable[[Known], Iterator[ReadRequest]] | None = None
    retry_on_store_error: bool = False
    of: object = None
    lasting: bool = False
    in_part_after_s: float | None = None
    gathers: bool = False
    size_bytes: int = 0


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
        if now >= self._due:  # else each step that comes would put off all others
            self._due = now + RETRY_S
        late = []
        for step in steps:
            since = self._steps.setdefault(step, now)
            if now - since > HELD_S and not step.lasting:
                late.append(step)
                del self._steps[step]
        return late

    def held_s(self, step: Step, now: float) -> float:
        """How long a step has been held; 0 for one that is not."""
        return now - self._steps.get(step, now)

    def take(self, new: list[Step], now: float) -> list[Step]:
        """The steps that a turn is to stage: the new ones, and the held ones when they are due.

        A new step waits behind a held one of the same sender.
        """
        if not self._steps:
            return new
        if now >= self._due:  # a step that was rolled back is among both
            return list({**self._steps, **dict.fromkeys(new, now)})
        senders = {id(step.of) for step in self._steps if step.of is not None}
        behind = [step for step in new if step.of is not None and id(step.of) in senders]
        self._steps.update(dict.fromkeys(behind, now))
        return [step for step in new if step not in self._steps]

    def release(self, step: Step) -> bool:
        """Hold a step no more. False: it was not held."""
        if self._steps.pop(step, None) is None:
            return False
        if not self._steps:
            self.trouble = ""
        return True

    def due_now(self) -> None:
        """Have the next turn stage what is held: it is the last one."""
        self._due = 0.0

    def __bool__(self) -> bool:
        return bool(self._steps)

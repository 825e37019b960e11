"""All that one worker holds: its slots, the leases that wait for one, and what goes back.

Owns the ways in which a task leaves a slot without an outcome. Which slot gets what, when it is
time and who is charged is decided in other rooms.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from queue_manager.ranges import Ranges

from .lease import Held
from .outbox import Outbox
from .slot_process import Doom, Slot


class Holdings:
    """Slots, waiting leases and the outbox of one worker."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.slots: list[Slot] = []
        self.queue: deque[Held] = deque()
        self.stopping = False

    def all(self) -> Iterator[Held]:
        """Every lease that is here."""
        yield from self.queue
        for slot in self.slots:
            yield from slot.held

    def release(
        self, held: Held, ranges: Ranges, lacks: str = "", *, unstarted: bool = False
    ) -> None:
        """Give tasks back to the master, uncharged."""
        self.outbox.release(held.lease, ranges, lacks, unstarted=unstarted)

    def again(self, held: Held, ranges: Ranges, *, first: bool = False) -> None:
        """Give tasks to another slot; back to the master if they can't wait for one."""
        if self.stopping or held.lease.limited:
            self.release(held, ranges, unstarted=True)
            return
        found = held.afresh(ranges, time.monotonic())
        if first:
            self.queue.extendleft(reversed(found))
        else:
            self.queue.extend(found)

    def give_back(self) -> None:
        """Everything that has not started goes back, also what waits behind a running task."""
        while self.queue:
            self.release(self.queue[0], self.queue.popleft().cut(0))
        for slot in self.slots:
            for held in slot.held:
                self.release(held, slot.take_back(held))

    def vacate(self, slot: Slot, doom: Doom) -> None:
        """End a slot on account of one of its leases; what waits in it goes to another."""
        slot.terminate(doom)
        for held in slot.held:
            if held is not doom.held:
                self.again(held, slot.take_back(held))
            else:
                self.release(held, slot.take_back(held))

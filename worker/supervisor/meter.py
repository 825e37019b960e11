"""What this worker takes of its machine: looked at every few seconds, in the hunter's thread.

This module owns when that is, and what the look before has to do with it: how many processors were
used since then, and whether memory ran out since then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from queue_manager.sizes import size_text
from queue_manager.wire.limits import MOST_PROCESSORS
from queue_manager.wire.usage import LargestSlot, Usage

from ..processes.control_groups import ControlGroups, Limits
from ..processes.hunter import hunter
from ..processes.usage import Taken, taken
from .slots.slot_process import SlotProcess

EVERY_S = 4.5
"""A look is taken at most so often. A beat, which tells of it, comes every 5 s..."""

SPARING = 1_000
"""... and at most so often that it takes a thousandth of a processor: a fork bomb has thousands of
processes."""


class Look(NamedTuple):
    """What was seen in one look. at: monotonic seconds. cost_s: processor time of the look.

    kills: how often the kernel had killed as memory ran out; None: it does not tell.
    """

    taken: Taken
    limits: Limits
    kills: int | None
    at: float
    cost_s: float


class Meter:
    """Knows what the worker takes.

    slots: those of the worker. newest: what the last look has found; None: there was none, or the
    system does not tell.
    """

    def __init__(
        self, slots: Callable[[], Iterable[SlotProcess]], groups: ControlGroups | None = None
    ) -> None:
        self._slots = slots
        self._groups = ControlGroups() if groups is None else groups
        self._kills = self._kills_before = self._groups.kills()
        self._last: Look | None = None
        self._looking = False
        self._not_before = 0.0
        self.newest: Usage | None = None

    def tick(self) -> None:
        """Have a look taken soon, if it is time for it. This is called each second."""
        if self._looking or time.monotonic() < self._not_before:
            return
        self._looking = True
        loop, pids = asyncio.get_running_loop(), [slot.pid for slot in self._slots()]
        hunter.do(lambda: self._look(loop, pids))

    def _look(self, loop: asyncio.AbstractEventLoop, pids: list[int]) -> None:
        """In the hunter's thread: there may be thousands of processes."""
        began = time.thread_time()
        try:
            found = taken(os.getpid(), pids), self._groups.limits(), self._groups.kills()
        except BaseException:
            self._looking = False  # else no look would be taken any more, and the last one stay
            raise
        look = Look(*found, time.monotonic(), time.thread_time() - began)
        with contextlib.suppress(RuntimeError):  # the worker has ended
            loop.call_soon_threadsafe(self._note, look)

    def _note(self, look: Look) -> None:
        self._looking = False
        self._not_before = look.at + max(EVERY_S, SPARING * look.cost_s)
        if look.kills is not None and self._kills is not None:
            self._kills_before = max(self._kills, self._kills_before or 0)
            self._kills = look.kills
        last, self._last = self._last, look
        if look.taken.memory_bytes:
            processors = None if last is None else _used(last, look)
            limits, largest = look.limits, self._largest(look)
            values = limits.memory_bytes, processors, limits.processors, largest
            self.newest = Usage(look.taken.memory_bytes, *values)

    def _largest(self, look: Look) -> LargestSlot | None:
        there = {slot.pid: slot for slot in self._slots()}
        found = {pid: size for pid, size in look.taken.branches.items() if pid in there}
        if not found:
            return None
        pid = max(found, key=found.__getitem__)
        return LargestSlot(found[pid], *(there[pid].task or (None, None)))

    # --- a slot was killed ---

    def why_killed(self, slot: SlotProcess) -> str:
        """Why the kernel has killed a slot, as the end of a line; empty: not for memory.

        It was for memory if the kernel says that it has killed since the look before the last one,
        5 to 10 s ago, and no other slot was that one.
        """
        kills = self._groups.kills()
        if kills is None or self._kills_before is None or kills <= self._kills_before:
            return ""
        self._kills_before += 1
        told = []
        if self._last is not None:
            limit, size = self._last.limits.memory_bytes, self._last.taken.branches.get(slot.pid)
            if limit is not None:
                told.append(f"there are {size_text(limit)}")
            if size is not None:
                ago_s = time.monotonic() - self._last.at
                told.append(f"this slot had {size_text(size)} of it {ago_s:.0f} s before")
        return " as memory ran out" + f" ({'; '.join(told)})" * bool(told)


def _used(last: Look, look: Look) -> float:
    """How many processors were used between two looks, on average.

    A process that its parent did not wait for takes its time along, so the sum may become smaller.
    """
    used = max(0.0, look.taken.cpu_s - last.taken.cpu_s) / (look.at - last.at)
    return min(used, MOST_PROCESSORS)

"""The tasks of a lane that wait in memory, and where the disk goes on. No policy of leasing."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from queue_manager.ranges import Ranges, joined, without
from queue_manager.wire.records import BLOCK_TASKS

from ...changes import Place, WaitingBlock

WINDOW_TASKS = 10_000


class Range(NamedTuple):
    """Tasks `start` to `stop` of a block; first: number of the block's first task."""

    block: int
    first: int
    start: int
    stop: int


@dataclass(slots=True)
class Window:
    """Ready ranges in the order of their places: the highest priority first, then the oldest.

    most: how many tasks it holds at most. ready: by priority; order: these priorities, lowest
    first. loaded: how many tasks are in it. more_on_disk: whether others wait on disk, all of them
    behind the place `disk_cursor` (None: from the first one on).
    """

    most: int = WINDOW_TASKS
    ready: dict[int, deque[Range]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    loaded: int = 0
    more_on_disk: bool = False
    disk_cursor: Place | None = None

    @property
    def priority(self) -> int:
        """The highest priority that is ready. Call only when something is."""
        return self.order[-1]

    def admit(self, priority: int, found: Range) -> None:
        """New tasks wait; in memory, if their place is within the window.

        They are a new block, or stand behind the last task of one of which nothing was leased yet.
        """
        if found.start:
            self._lengthen(priority, found)
            return
        if self.more_on_disk and (
            self.disk_cursor is None or not Place(priority, found.block).before(self.disk_cursor)
        ):
            return
        self._deque(priority).append(found)
        self.loaded += found.stop - found.start
        self._trim()

    def _lengthen(self, priority: int, found: Range) -> None:
        """A block has grown. It is the newest one of its lane."""
        ready = self.ready.get(priority)
        if ready and (ready[-1].block, ready[-1].stop) == (found.block, found.start):
            ready[-1] = ready[-1]._replace(stop=found.stop)
            self.loaded += found.stop - found.start
            self._trim()
        else:  # the block is on disk alone
            self.leave(priority, found)

    def leave(self, priority: int, found: Range) -> None:
        """Tasks of a new block wait on disk alone."""
        self._go_on_from(Place(priority, found.block - 1))

    def put_back(self, priority: int, found: Range) -> None:
        """Tasks that were leased wait again, in front."""
        self._deque(priority).appendleft(found)
        self.loaded += found.stop - found.start
        self._trim()

    def take(self, most: int) -> tuple[Range, int]:
        """Up to so many tasks from the front, and their priority. Call only when some are ready."""
        priority = self.order[-1]
        ready = self.ready[priority]
        found = ready[0]
        if found.stop - found.start > most:
            ready[0] = found._replace(start=found.start + most)
            found = found._replace(stop=found.start + most)
        else:
            ready.popleft()
            if not ready:
                self._drop(priority)
        self.loaded -= found.stop - found.start
        return found, priority

    # --- the disk ---

    @property
    def room(self) -> int:
        """How many tasks to read ahead; the last block that is found may be a whole one.

        A window that is smaller than a block may hold one more than it should: one range, however
        many tasks are in it.
        """
        spare = BLOCK_TASKS if self.most > BLOCK_TASKS else 0
        return max(1, self.most - spare - self.loaded)

    @property
    def low(self) -> bool:
        """Whether tasks on disk should be read ahead."""
        return self.more_on_disk and self.loaded <= self.most // 2

    def refill(self, blocks: Iterable[WaitingBlock], last: Place | None, busy: Busy) -> None:
        """Take blocks from disk. last: the place of the newest one; None: nothing is behind it.

        busy: ranges of blocks that are leased.
        """
        loaded = self._blocks()
        for block in blocks:
            taken = [*busy.get(block.id, ()), *loaded.get(block.id, ())]
            for start, stop in without(block.ranges, taken):
                found = Range(block.id, block.first, start, stop)
                self._deque(block.priority).append(found)
                self.loaded += stop - start
        self.more_on_disk = last is not None
        self.disk_cursor = last

    def remove(self, gone: Busy) -> None:
        """Some tasks do not wait any more: ranges of blocks. It goes through all that is ready."""
        for priority, ready in list(self.ready.items()):
            touched = {found.block for found in ready if found.block in gone}
            if not touched:
                continue
            taken = {block: joined(gone[block]) for block in touched}
            kept: list[Range] = []
            for found in ready:
                if found.block in taken:
                    pieces = without([(found.start, found.stop)], taken[found.block])
                    kept += [found._replace(start=a, stop=b) for a, b in pieces]
                else:
                    kept.append(found)
            self.loaded += _count(kept) - _count(ready)
            self._keep(priority, kept)

    def unload(self) -> None:
        """Leave all that is ready on disk alone."""
        while self.order:
            found = min(self.ready[self.order[-1]])
            self._go_on_from(Place(self.order[-1], found.block - 1))
            self._drop(self.order[-1])
        self.loaded = 0

    def restart(self) -> None:
        """All tasks are read from disk anew."""
        self.unload()
        self.more_on_disk, self.disk_cursor = True, None

    def clear(self) -> None:
        """Nothing waits any more."""
        self.ready.clear()
        self.order.clear()
        self.loaded, self.more_on_disk, self.disk_cursor = 0, False, None

    def _blocks(self) -> Busy:
        """The ready ranges by block."""
        found: Busy = {}
        for ready in self.ready.values():
            for one in ready:
                found.setdefault(one.block, []).append((one.start, one.stop))
        return found

    def _deque(self, priority: int) -> deque[Range]:
        found = self.ready.get(priority)
        if found is None:
            found = self.ready[priority] = deque()
            insort(self.order, priority)
        return found

    def _keep(self, priority: int, ranges: list[Range]) -> None:
        if ranges:
            self.ready[priority] = deque(sorted(ranges))
        else:
            self._drop(priority)

    def _drop(self, priority: int) -> None:
        """Forget a priority without ready tasks: there may be as many of them as tasks."""
        del self.ready[priority]
        del self.order[bisect_left(self.order, priority)]

    def _trim(self) -> None:
        """Leave the last ranges on disk alone while there are too many; one always stays."""
        while self.loaded > self.most and (
            len(self.order) > 1 or len(self.ready[self.order[0]]) > 1
        ):
            priority = self.order[0]
            ready = self.ready[priority]
            found = ready.pop()
            self.loaded -= found.stop - found.start
            self._go_on_from(Place(priority, found.block - 1))
            if not ready:
                self._drop(priority)

    def _go_on_from(self, place: Place) -> None:
        """Something behind that place is on disk alone."""
        if not self.more_on_disk or (
            self.disk_cursor is not None and place.before(self.disk_cursor)
        ):
            self.more_on_disk, self.disk_cursor = True, place


Busy = dict[int, Ranges]
"""The leased ranges of blocks."""


def _count(found: Iterable[Range]) -> int:
    return sum(one.stop - one.start for one in found)

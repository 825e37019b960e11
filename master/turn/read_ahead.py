"""Reads waiting tasks from disk before they are needed: lanes that run low, groups that wait.

Owns when to read. The broker decides which lanes and groups these are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable

from queue_manager.errors import StoreError

from ..broker import Broker
from ..broker.lanes.groups import Groups
from ..broker.lanes.lane import Lane
from ..broker.runs.run import Run
from ..changes import BlockState
from ..store.contract import Store

log = logging.getLogger("quartermaster.master")

EARLY_S = 0.01
"""The two clocks differ by less. A tracked task that is read early waits in memory."""

AHEAD_S = 0.02
"""About how long a turn reads lanes of groups ahead. The loop does nothing else meanwhile."""

SOUGHT = 256
"""How many groups are looked for at a time."""


class ReadAhead:
    """Fills windows from disk. failed: why it can't, empty if it can.

    try_later: has the turn call `refill` again after a while.
    """

    def __init__(
        self,
        broker: Broker,
        store: Store,
        wall: Callable[[], float],
        try_later: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._store = store
        self._wall = wall
        self._try_later = try_later
        self.failed = ""

    def refill(self) -> None:
        """Read waiting blocks ahead where the window runs low."""
        failed = ""
        sought = self._broker.seeking(self._wall())
        for run, groups in sought:
            try:
                look_for(self._broker, self._store, run, groups, self._wall())
            except StoreError as error:
                failed = str(error)
        low = self._broker.low_lanes()
        until = time.monotonic() + AHEAD_S
        for run, lane in low:
            if time.monotonic() > until and lane is not run.lane:  # the rest comes next turn
                run.look(lane, time.monotonic())
                continue
            try:
                self._refill(run, lane)
            except StoreError as error:  # the others must not wait for it
                failed = str(error)
                run.look(lane, time.monotonic())
        if failed:
            self.read_later(failed)
        elif low or sought:  # else nothing was read, and another read may still fail
            self.failed = ""

    def _refill(self, run: Run, lane: Lane) -> None:
        broker, store = self._broker, self._store
        window, tracked = lane.window, lane.tracked
        if window.low:
            blocks, place = store.read_waiting(run.id, lane.group, window.disk_cursor, window.room)
            broker.refill(run, lane, blocks, place)
        if tracked.low:
            records, due = store.read_tracked(run.id, lane.group, tracked.disk_cursor, tracked.most)
            broker.refill_tracked(run, lane, records, due, self._wall())

    def read_later(self, error: str) -> None:
        """The store can't be read: try again in a turn after a while."""
        if error != self.failed:
            self.failed = error
            log.error("%s; what waits behind it waits until it can", error)
        self._try_later()


def seek(broker: Broker, store: Store, wall: float) -> None:
    """Look for groups that wait on disk alone, where few others may start a task."""
    for run, groups in broker.seeking(wall):
        look_for(broker, store, run, groups, wall)


def look_for(broker: Broker, store: Store, run: Run, groups: Groups, wall: float) -> None:
    """Look for groups of one run, some at a time. Raises StoreError."""
    hidden = groups.hidden
    if groups.seeks():
        page = store.next_groups(run.id, hidden.place, SOUGHT)
        know(broker, store, run, [group for _, group in page.groups], wall)
        broker.found_groups(run, page.groups, page.complete)
    if broker.tracked_due(groups):
        due = store.due_groups(run.id, hidden.due_from, wall + EARLY_S, SOUGHT)
        know(broker, store, run, due.groups, wall)
        broker.found_due(run, *due, wall)


def know(broker: Broker, store: Store, run: Run, groups: Collection[str], wall: float) -> None:
    """Read what groups have of their own, where the broker may not know it. Raises StoreError."""
    unknown = [] if run.groups is None else run.groups.unknown(groups)
    if unknown:
        broker.know_groups(run, store.own_groups(run.id, unknown), wall)


def groups_of(broker: Broker, blocks: Iterable[BlockState]) -> dict[Run, set[str]]:
    """The limited groups that blocks are of, by run."""
    groups: dict[Run, set[str]] = {}
    for block in blocks:
        run = broker.runs.get(block.run)
        if run is not None and block.group is not None:
            groups.setdefault(run, set()).add(block.group)
    return groups

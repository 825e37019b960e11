"""Sessions and the leases that they hold; how ranges are cut out of a lease. No policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_manager.ranges import Ranges

from ..lanes.lane import Lane
from ..lanes.tracked import Tracked
from ..runs.run import Run


@dataclass(slots=True, eq=False)
class Session:
    """Who may hold leases.

    wanted: how many leases it would take now; free: how many of these would start at once.

    stock: a client of the standard library, one task at a time. worker: the id of a worker's
    process, name: as people call it. tags: what its runs may need. exclusive: the lease of a task
    in quarantine, which has no neighbours, 0 if it never had one; exclusive_until: until then at
    most (monotonic).
    """

    id: int
    slots: int
    stock: bool = False
    worker: str = ""
    name: str = ""
    wanted: int = 0
    free: int = 0
    lacks: dict[str, str] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    exclusive: int = 0
    exclusive_until: float = 0.0
    tags: frozenset[str] = frozenset()

    def is_exclusive(self, now: float) -> bool:
        """Whether it is given nothing beside the quarantined task that it holds."""
        return now < self.exclusive_until and self.exclusive in self.leases


@dataclass(slots=True, eq=False)
class Lease:
    """The right of a session to try some tasks of one block once. open: the ranges not settled yet.

    may_wait: whether its worker may have it wait; else it starts at once, or is released.
    paused_from, paused_to: of its limited group, `started_at` before and after this lease.
    begun: when the first task that is open was begun, as far as is known (monotonic).
    """

    number: int
    session: Session
    run: Run
    lane: Lane
    block: int
    first: int
    open: list[tuple[int, int]]
    priority: int
    tracked: Tracked | None
    since: float
    may_wait: bool = True
    paused_from: float = 0.0
    paused_to: float = 0.0
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.since
        self.enter()

    def enter(self) -> None:
        """Its session holds it, and its run knows of it."""
        self.session.leases[self.number] = self
        there = self.run.leases.get(self.block)
        if there is None:
            there = self.run.leases[self.block] = BlockLeases()
        there.leases[self] = None
        there.positions |= positions(self.open)

    def leave(self) -> None:
        """Nobody holds it any more."""
        self.session.leases.pop(self.number, None)
        there = self.run.leases.get(self.block)
        if there is not None and self in there.leases:
            del there.leases[self]
            there.positions &= ~positions(self.open)
            if not there.leases:
                del self.run.leases[self.block]

    @property
    def held(self) -> int:
        """How many tasks of it are not settled."""
        return sum(stop - start for start, stop in self.open)

    @property
    def limited(self) -> bool:
        """Whether it is of a limited group."""
        return self.lane is not self.run.lane

    def cut(self, start: int, stop: int) -> bool:
        """Take a range out of what is open. False: it is not open as a whole."""
        within = next((r for r in self.open if r[0] <= start < stop <= r[1]), None)
        if within is None:
            return False
        index = self.open.index(within)
        around = ((within[0], start), (stop, within[1]))
        self.open[index : index + 1] = [(low, high) for low, high in around if low < high]
        self.run.leases[self.block].positions &= ~positions([(start, stop)])
        if not self.open:
            self.leave()
        return True

    def reopen(self, ranges: list[tuple[int, int]], begun: float) -> None:
        """Undo `cut` and `leave`: these ranges are open again."""
        self.open, self.begun = ranges, begun
        self.enter()


@dataclass(slots=True)
class BlockLeases:
    """All leases of one block. positions: what they hold, one bit a task, to compare it quickly."""

    leases: dict[Lease, None] = field(default_factory=dict)
    positions: int = 0


def positions(ranges: Ranges) -> int:
    """Ranges of a block as bits. A block has at most 1,024 tasks."""
    found = 0
    for start, stop in ranges:
        found |= ((1 << (stop - start)) - 1) << start
    return found

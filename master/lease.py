"""Who may hold leases, and what of a lease is not settled yet. No policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from .run import Run, Stray


@dataclass(slots=True)
class Session:
    """Who may hold leases. wanted: leases that it would take now.

    stock: a client of the standard library, one task at a time.
    """

    id: int
    slots: int
    stock: bool = False
    wanted: int = 0
    lacks: dict[str, str] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)


@dataclass(slots=True)
class Lease:
    """The right of a session to try some tasks of one block once. open: what it has not settled."""

    number: int
    session: Session
    run: Run
    block: int
    first: int
    open: list[tuple[int, int]]
    priority: int
    stray: Stray | None
    since: float

    @property
    def held(self) -> int:
        """How many tasks of it are not settled."""
        return sum(stop - start for start, stop in self.open)

    def cut(self, start: int, stop: int) -> bool:
        """Take a range out of what is not settled. False: it is not in there."""
        within = next((r for r in self.open if r[0] <= start < stop <= r[1]), None)
        if within is None:
            return False
        index = self.open.index(within)
        around = ((within[0], start), (stop, within[1]))
        self.open[index : index + 1] = [(low, high) for low, high in around if low < high]
        if not self.open:
            del self.session.leases[self.number]
        return True

    def reopen(self, ranges: list[tuple[int, int]]) -> None:
        """It is as it was when these ranges were not settled."""
        self.open = ranges
        self.session.leases[self.number] = self

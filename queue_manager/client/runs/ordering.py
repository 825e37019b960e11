"""Puts outcomes in the order in which they are to be given out.

A task that was tried again after a failure has two outcomes. The newest counts, unless the failure
was given out already. An outcome whose input was not read yet waits for that: a run that is there
already may have results of more inputs than this program has. So waits an outcome whose turn has
not come.

What waits takes no more than `WAITING_BYTES`. Outcomes of later tasks are left with the master, and
read again when their turn comes: see `Order.missing`. Knows nothing of sessions, threads or loops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from heapq import heappop, heappush

from ...ranges import Ranges
from ...wire.records import DeadLetter
from .outcomes import Cancelled, Outcome, Part, bytes_of, count_of, divided

WAITING_BYTES = 40 * 1024 * 1024
"""How many bytes the outcomes that wait take together."""

NONE_LEFT = 2**63
"""Behind the last task of any run."""

_AT_ONCE = 1_024
"""So many cancelled tasks are given out together. A block of results has no more."""


class _Waiting:
    """Outcomes that wait, by their first task.

    left: from this task on outcomes were left with the master. Cancelled tasks never are: they
    take no room, and no result is there to read again.
    """

    def __init__(self) -> None:
        self._held: dict[int, Outcome] = {}
        self._bytes = 0
        self.left = NONE_LEFT

    def __contains__(self, task: int) -> bool:
        return task in self._held

    def __len__(self) -> int:
        return len(self._held)

    @property
    def tasks(self) -> list[int]:
        """The first task of each, in order."""
        return sorted(self._held)

    def put(self, outcome: Outcome) -> None:
        """Hold an outcome, in the place of an older one of that task."""
        known = outcome.task in self._held or isinstance(outcome, Cancelled)
        if outcome.task >= self.left and not known:
            return
        outcome = _newest(self.pop(outcome.task), outcome)
        self._held[outcome.task] = outcome
        self._bytes += bytes_of(outcome)
        if self._bytes > WAITING_BYTES:
            self._leave_some()

    def pop(self, task: int) -> Outcome | None:
        """The outcome that begins with a task; None if it is not held. It is held no longer."""
        outcome = self._held.pop(task, None)
        if outcome is not None:
            self._bytes -= bytes_of(outcome)
        return outcome

    def end(self, last: int) -> None:
        """Hold nothing behind a task."""
        for task in [task for task in self._held if task > last]:
            self.pop(task)
        self.left = min(self.left, last + 1)

    def _leave_some(self) -> None:
        """Leave those of the last tasks, but never the first: it may be the next, however large."""
        for task in reversed(self.tasks[1:]):
            if self._bytes <= WAITING_BYTES // 2:
                return
            if not isinstance(self._held[task], Cancelled):
                self.pop(task)
                self.left = min(self.left, task)


class Order(ABC):
    """Gives outcomes out, each once."""

    def __init__(self) -> None:
        self._waiting = _Waiting()

    @abstractmethod
    def add(self, outcome: Outcome) -> None:
        """An outcome that came, maybe not for the first time."""

    @abstractmethod
    def ready(self, last: int) -> bool:
        """Whether there is one to take."""

    @property
    @abstractmethod
    def holds(self) -> bool:
        """Whether one is here that may wait for nothing but its input."""

    @abstractmethod
    def take(self, last: int) -> Outcome | None:
        """The next outcome. None: it has not come, or begins behind the task `last`."""

    @abstractmethod
    def missing(self, last: int) -> int | None:
        """The task, `last` or before, from which on outcomes are to be read again now.

        None: what is to be given next was not left with the master.
        """

    def reopen(self) -> None:
        """Outcomes are read again: those that come from now on are not left with the master."""
        self._waiting.left = NONE_LEFT

    def left_from(self, first: int) -> None:
        """What was read again ends before the task `first`."""
        self._waiting.left = min(self._waiting.left, first)

    def end(self, last: int) -> None:
        """No outcome behind the task `last` will be taken."""
        self._waiting.end(last)


class InOrder(Order):
    """Gives outcomes out in the order of their tasks, from the first on."""

    def __init__(self, first: int = 1) -> None:
        super().__init__()
        self._next = first

    def add(self, outcome: Outcome) -> None:
        """As `Order.add`."""
        if outcome.task < self._next:
            if outcome.task + count_of(outcome) <= self._next:
                return
            _, outcome = divided(outcome, self._next - outcome.task)
        self._waiting.put(outcome)

    def ready(self, last: int) -> bool:
        """As `Order.ready`."""
        return self._next <= last and self.holds

    @property
    def holds(self) -> bool:
        """As `Order.holds`."""
        return self._next in self._waiting

    def take(self, last: int) -> Outcome | None:
        """As `Order.take`."""
        outcome = self._waiting.pop(self._next) if self._next <= last else None
        if outcome is None:
            return None
        outcome, rest = _some(outcome)
        self._next += count_of(outcome)
        if rest is not None:
            self._waiting.put(rest)
        return outcome

    def missing(self, last: int) -> int | None:
        """As `Order.missing`."""
        is_left = self._waiting.left <= self._next <= last and not self.holds
        return self._next if is_left else None


class AsCompleted(Order):
    """Gives outcomes out as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._new: OrderedDict[int, Outcome] = OrderedDict()
        self._early: list[int] = []  # a heap of the tasks that wait
        self._given = _Given()

    def add(self, outcome: Outcome) -> None:
        """As `Order.add`."""
        task, end = outcome.task, outcome.task + count_of(outcome)
        if self._given.free(task, end)[0] >= end:
            return
        if task in self._waiting:
            self._waiting.put(outcome)
        else:
            self._new[task] = _newest(self._new.get(task), outcome)

    def ready(self, last: int) -> bool:
        """As `Order.ready`."""
        return bool(self._new) or self._next_early(last)

    @property
    def holds(self) -> bool:
        """As `Order.holds`."""
        return bool(self._new) or len(self._waiting) > 0

    def take(self, last: int) -> Outcome | None:
        """As `Order.take`. One that begins before `last` and ends behind is divided."""
        while (outcome := self._take(last)) is not None:
            start, stop = self._given.free(outcome.task, last + 1)
            if start >= outcome.task + count_of(outcome):
                continue
            if start > outcome.task:
                _, outcome = divided(outcome, start - outcome.task)
            if start > last:
                self._wait(outcome)
                continue
            outcome, rest = _some(outcome, stop - start)
            if rest is not None:
                self._wait(rest)
            self._given.add(start, start + count_of(outcome))
            return outcome
        return None

    def missing(self, last: int) -> int | None:
        """As `Order.missing`."""
        left = self._waiting.left
        return left if left <= last and not self.ready(last) else None

    def end(self, last: int) -> None:
        """As `Order.end`."""
        super().end(last)
        self._early = self._waiting.tasks

    def _take(self, last: int) -> Outcome | None:
        if self._next_early(last):
            return self._waiting.pop(heappop(self._early))
        while self._new:
            task, outcome = self._new.popitem(last=False)
            if task <= last:
                return outcome
            self._wait(outcome)
        return None

    def _next_early(self, last: int) -> bool:
        while self._early and self._early[0] not in self._waiting:  # it was left with the master
            heappop(self._early)
        return bool(self._early) and self._early[0] <= last

    def _wait(self, outcome: Outcome) -> None:
        """Hold an outcome until its input is read, if there is room."""
        left = self._waiting.left
        self._waiting.put(outcome)
        if self._waiting.left < left:  # others were left with the master
            self._early = self._waiting.tasks  # a list in order is a heap
        elif outcome.task in self._waiting:
            heappush(self._early, outcome.task)


class _Given:
    """Which tasks have had their result.

    These are few ranges, however many tasks there are: only inputs that were read and have no
    result yet lie between them.
    """

    def __init__(self) -> None:
        self._ranges: Ranges = []

    def free(self, start: int, stop: int) -> tuple[int, int]:
        """The first tasks from `start` to `stop` that have had none. Maybe there is no such."""
        at = bisect_right(self._ranges, (start, NONE_LEFT))
        if at:
            start = max(start, self._ranges[at - 1][1])
        if at < len(self._ranges):
            stop = min(stop, self._ranges[at][0])
        return start, stop

    def add(self, start: int, stop: int) -> None:
        """These tasks have had theirs now, and had none before."""
        at = bisect_right(self._ranges, (start, stop))
        if at < len(self._ranges) and self._ranges[at][0] == stop:
            stop = self._ranges.pop(at)[1]
        if at and self._ranges[at - 1][1] == start:
            at -= 1
            start = self._ranges.pop(at)[0]
        self._ranges.insert(at, (start, stop))


def _newest(held: Outcome | None, outcome: Outcome) -> Outcome:
    """The one that counts of a task. A result is final; what was read again may be from before."""
    if isinstance(outcome, DeadLetter) and isinstance(held, Part):
        return held
    return outcome


def _some(outcome: Outcome, most: int = NONE_LEFT) -> tuple[Outcome, Outcome | None]:
    """As much of an outcome as is given out together, and the rest. most: so many tasks of it."""
    if isinstance(outcome, Cancelled):
        most = min(most, _AT_ONCE)
    return divided(outcome, most) if count_of(outcome) > most else (outcome, None)

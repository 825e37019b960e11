"""Memory that the supervisor and one slot share: which task runs, since when, and up to which one.

This module owns the layout of the shared page and the order in which it is read and written. It
knows nothing of leases. A shared page has `ROWS` rows, one for each lease that a slot can hold at a
time.

- Before each task, the slot writes `position`, then reads `limit`, and stops if it is reached. - To
take tasks back, the supervisor writes `limit`, then reads `position`, and takes the tasks behind
  both.

Each side writes before it reads, so at least one of them sees what the other wrote. So no task is
both taken back and run. A processor may still let a read overtake its own write for some
nanoseconds (Intel SDM vol. 3A, 8.2.3.4). Then a task is run twice, but recorded once: the master
refuses the outcome of a range that was given back.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from typing import NamedTuple

ROWS = 64

CANCEL_S = 2.0
"""How many seconds a cancelled coroutine has to end. Then its slot ends without it."""

OUT, ERR = 0, 1
TAIL_BYTES = 4 * 1024
"""How many bytes of the end of an output are kept."""

NONE = -1
PREPARING = -2

LIMIT, OPENED, POSITION, STARTED, STEP = range(5)
LEASE, TASK, STARTS, ENDS = 0, 1, 2, 4
_CELLS = 8  # a row is one cache line: rows don't slow each other down
_SIZE_BYTES = (ROWS + 1) * _CELLS * 8


class Look(NamedTuple):
    """The contents of a row at one moment.

    position: the position of the running task; NONE, or PREPARING during import and `setup`.
    unstarted: the first position that has not been started.
    since: monotonic start of the running task; in an async slot that of the oldest. 0 before the
        first one.
    step: monotonic time from which the limit counts for the present step of an async slot. It is
        the start of the step's task, or later, so that no step is late when it begins. 0 in a plain
        slot.
    """

    position: int
    unstarted: int
    since: float
    step: float


class Row:
    """One lease's part of a shared page."""

    def __init__(self, numbers: memoryview[int], times: memoryview[float], index: int) -> None:
        base = index * _CELLS
        self.numbers = numbers[base : base + _CELLS]
        self.times = times[base : base + _CELLS]

    def reset(self, start: int, stop: int) -> None:
        """Prepare the row for a lease, before the slot gets the lease."""
        numbers = self.numbers
        numbers[LIMIT], numbers[OPENED], numbers[POSITION] = stop, start, NONE
        self.times[STARTED] = self.times[STEP] = 0.0

    def look(self) -> Look:
        """Read the row. If a task has ended meanwhile, read it again."""
        numbers, times = self.numbers, self.times
        while True:
            position, since, step = numbers[POSITION], times[STARTED], times[STEP]
            opened = numbers[OPENED]
            if position == numbers[POSITION]:
                return Look(position, max(opened, position + 1), since, step)

    def lower(self, limit: int) -> int:
        """Let no task start at or behind `limit`. Returns the first position that did not start."""
        self.numbers[LIMIT] = min(limit, self.numbers[LIMIT])
        return max(limit, self.look().unstarted)

    def close(self, position: int) -> None:
        """Note that the slot starts no task at or behind `position`."""
        self.numbers[OPENED] = position
        self.numbers[POSITION] = NONE


class Output:
    """Which task printed last, and where in the slot's two pipes its output began and ended.

    If the slot dies, this tells which part of the output in the pipes is the running task's. Only
    the slot writes here, after each write to a pipe.
    """

    def __init__(self, numbers: memoryview[int]) -> None:
        self._numbers = numbers[ROWS * _CELLS : (ROWS + 1) * _CELLS]

    def wrote(self, lease: int, position: int, stream: int, size_bytes: int) -> None:
        """Note that a task has written so many bytes to a stream (OUT or ERR)."""
        numbers = self._numbers
        if numbers[TASK] != position or numbers[LEASE] != lease:
            numbers[STARTS], numbers[STARTS + 1] = numbers[ENDS], numbers[ENDS + 1]
            numbers[LEASE], numbers[TASK] = lease, position
        numbers[ENDS + stream] += size_bytes

    def starts(self, lease: int, position: int) -> tuple[int, int]:
        """Where in the two streams a task's output begins. If it wrote nothing, that is the end."""
        numbers = self._numbers
        wrote = (numbers[LEASE], numbers[TASK]) == (lease, position)
        base = STARTS if wrote else ENDS
        return numbers[base], numbers[base + 1]


class SharedPage:
    """The rows of one slot, in memory that both processes map."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _SIZE_BYTES)
        numbers, times = memoryview(self._memory).cast("q"), memoryview(self._memory).cast("d")
        self.rows = [Row(numbers, times, index) for index in range(ROWS)]
        self.output = Output(numbers)

    @classmethod
    def create(cls) -> SharedPage:
        """Make a shared page in memory that has no path."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create(
                "quartermaster-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
            )
        else:
            import tempfile

            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, _SIZE_BYTES)
        # If a task shortened it, the supervisor's next look would end by SIGBUS.
        with contextlib.suppress(AttributeError, OSError):  # no memory of that kind
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return cls(descriptor)

    def free(self) -> None:
        """Close the descriptor. The memory is freed with the last reference to a row."""
        os.close(self.descriptor)

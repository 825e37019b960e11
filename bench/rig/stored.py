"""A store with a run that waits, its master, and starting another master on what that one left."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ..brief import sized
from ..figure import Figure
from . import processes, session
from .backlog import Backlog

STARTS = sized(3, 1)
MOST_MB, MOST_START_S = 60, 2


@dataclass(frozen=True)
class _Start:
    """After a kill -9: seconds until it listens, and until the first lease; the memory then."""

    listening_s: float
    lease_s: float
    present_mb: float
    peak_mb: float


class Stored:
    """A store with one run, and the master that serves it. kind: of the run's tasks."""

    def __init__(self, stack: ExitStack, **kind: Any) -> None:
        self._stack = stack
        self.folder = stack.enter_context(processes.scratch())
        self.master, self.port = stack.enter_context(processes.master(self.folder))
        # The same one comes back each time: a master waits for a worker that it knew.
        self._worker = uuid.uuid4().hex
        self.backlog = Backlog(self.folder, self.port, **kind)

    def memory(self, where: str) -> list[Figure]:
        """The memory of the master, now and at its peak."""
        return _memory(where, [self._mb("VmRSS")], [self._mb("VmHWM")])

    def fill(self, where: str, waiting: int) -> list[Figure]:
        """Let so many tasks wait. Tells how fast that was, and what memory the master took."""
        began = time.monotonic()
        self.backlog.fill(waiting)
        rate = waiting / (time.monotonic() - began)
        return [Figure(f"{where}: submitted", "tasks/s", (rate,)), *self.memory(where)]

    def work_off(self, left: int) -> None:
        """Do here all tasks that wait, and submit as many again."""
        asyncio.run(session.work_off(self.port, self._worker, self.backlog.status().waiting))
        self.backlog.catch_up()
        self.backlog.fill(left)

    def starts(self, where: str, *, leases: bool = True) -> list[Figure]:
        """Kill and start again. leases: there is something to lease, until the first is given."""
        starts = [self._start_again(leases) for _ in range(STARTS)]
        listening = Figure(
            f"{where}: killed, until it listens",
            "s",
            tuple(s.listening_s for s in starts),
            most=MOST_START_S,
        )
        lease = Figure(
            f"{where}: until the first lease",
            "s",
            tuple(s.lease_s for s in starts),
            most=MOST_START_S,
        )
        present, peak = [s.present_mb for s in starts], [s.peak_mb for s in starts]
        memory = _memory(f"{where}, restarted", present, peak)
        return [listening, *([lease] if leases else []), *memory]

    def _start_again(self, leases: bool) -> _Start:
        self.master.process.kill()
        self.master.process.wait()
        again = processes.master(self.folder, port=self.port)
        self.master, _ = self._stack.enter_context(again)
        if leases:
            asyncio.run(session.first_lease(self.port, self._worker))
        lease_s = time.monotonic() - self.master.began
        return _Start(self.master.start_s, lease_s, self._mb("VmRSS"), self._mb("VmHWM"))

    def _mb(self, what: str) -> float:
        return processes.memory_mb(self.master.pid, what)


def _memory(where: str, present: list[float], peak: list[float]) -> list[Figure]:
    return [
        Figure(f"{where}: master's memory", "MB", tuple(present), most=MOST_MB),
        Figure(f"{where}: the same, peak", "MB", tuple(peak), most=MOST_MB),
    ]

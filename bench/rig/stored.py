"""A store with one run, its master, and further masters that start on what the first one left."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..brief import sized
from ..figure import Figure
from . import processes, session
from .backlog import Backlog

STARTS = sized(3, 1)
MOST_MB, MOST_START_S = 60, 2


@dataclass(frozen=True)
class _Start:
    """One start after a kill -9.

    listening_s: until the master listens. lease_s: until it gives the first lease. present_mb,
    peak_mb: its memory then.
    """

    listening_s: float
    lease_s: float
    present_mb: float
    peak_mb: float


class Stored:
    """A store with one run, and the master that serves it. kind: arguments of `Backlog`."""

    def __init__(
        self,
        stack: ExitStack,
        *,
        before: Callable[[Path], None] | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
        **kind: Any,
    ) -> None:
        """before: fills the folder of the data before the master starts.

        more: further settings of the master. kind: of `Backlog`.
        """
        self._stack, self._more = stack, more
        self.folder = stack.enter_context(processes.scratch())
        if before is not None:
            before(self.folder / "data")
        self.master, self.port = stack.enter_context(processes.master(self.folder, more=more))
        # One id for all sessions: a restarted master waits for the workers that it knew.
        self._worker = uuid.uuid4().hex
        self.backlog = Backlog(self.folder, self.port, **kind)

    def memory(self, where: str) -> list[Figure]:
        """Measure the memory of the master, now and at its peak."""
        return _memory(where, [self._mb("VmRSS")], [self._mb("VmHWM")])

    def fill(self, where: str, waiting: int) -> list[Figure]:
        """Submit until `waiting` tasks wait. Measures the rate, and the memory of the master."""
        began = time.monotonic()
        self.backlog.fill(waiting)
        rate = waiting / (time.monotonic() - began)
        return [Figure(f"{where}: submitted", "tasks/s", (rate,)), *self.memory(where)]

    def work_off(self, left: int) -> None:
        """Do all waiting tasks in this process, then submit `left` new ones."""
        asyncio.run(session.work_off(self.port, self._worker, self.backlog.status().waiting))
        self.backlog.catch_up()
        self.backlog.fill(left)

    def starts(self, where: str, *, leases: bool = True) -> list[Figure]:
        """Kill the master and start another, a few times. leases: wait for a first lease, too."""
        starts = [self._restart(leases) for _ in range(STARTS)]
        listening = Figure(
            f"{where}: killed, until it listens",
            "s",
            tuple(s.listening_s for s in starts),
            at_most=MOST_START_S,
        )
        lease = Figure(
            f"{where}: until the first lease",
            "s",
            tuple(s.lease_s for s in starts),
            at_most=MOST_START_S,
        )
        present, peak = [s.present_mb for s in starts], [s.peak_mb for s in starts]
        memory = _memory(f"{where}, restarted", present, peak)
        return [listening, *([lease] if leases else []), *memory]

    def start_again(self) -> float:
        """Kill the master and start it again; seconds until it listens."""
        return self._restart(leases=False).listening_s

    @property
    def peak_mb(self) -> float:
        """The memory of the master at its peak."""
        return self._mb("VmHWM")

    def _restart(self, leases: bool) -> _Start:
        self.master.process.kill()
        self.master.process.wait()
        another = processes.master(self.folder, port=self.port, more=self._more)
        self.master, _ = self._stack.enter_context(another)
        if leases:
            asyncio.run(session.first_lease(self.port, self._worker))
        lease_s = time.monotonic() - self.master.began
        return _Start(self.master.start_s, lease_s, self._mb("VmRSS"), self._mb("VmHWM"))

    def _mb(self, what: str) -> float:
        return processes.memory_mb(self.master.pid, what)


def _memory(where: str, present: list[float], peak: list[float]) -> list[Figure]:
    return [
        Figure(f"{where}: master's memory", "MB", tuple(present), at_most=MOST_MB),
        Figure(f"{where}: the same, peak", "MB", tuple(peak), at_most=MOST_MB),
    ]

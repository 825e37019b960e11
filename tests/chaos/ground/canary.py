"""How busy the machine is: for how long it keeps a thread waiting that could run."""

from __future__ import annotations

import threading
import time

_SPIN_S = 0.03


def slowness() -> float:
    """How many times longer everything takes here than on a quiet machine, at least 1.

    What processes share a core with others waits for it: so long does a moment's work take, by the
    clock on the wall, for each second of the processor's.
    """
    cpu, wall = time.thread_time(), time.monotonic()
    while time.thread_time() - cpu < _SPIN_S:
        pass
    return max(1.0, (time.monotonic() - wall) / _SPIN_S)


class Canary(threading.Thread):
    """Notes how long a ready thread of this machine waits for its turn."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lags: list[tuple[float, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        before = time.monotonic()
        while not self.over.wait(0.01):
            now = time.monotonic()
            if now - before > 0.03:
                self.lags.append((now, now - before - 0.01))
            before = now

    def longest(self, begin: float, end: float) -> float:
        """The longest that it waited in that time."""
        return max((lag for at, lag in self.lags if begin <= at <= end), default=0.0)

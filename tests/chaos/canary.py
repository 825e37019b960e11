"""How busy the machine is: for how long it keeps a thread waiting that could run."""

from __future__ import annotations

import threading
import time


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

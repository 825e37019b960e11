"""Reads the large frames of stock clients one after the other, a portion at a time.

This module knows nothing of what a frame means. A large frame delays other clients by a few
milliseconds, and all large frames together take the memory of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

log = logging.getLogger("quartermaster.server")


class LargeFrames:
    """A queue of large frames."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], bool]] = deque()

    def add(self, read: Callable[[], bool]) -> None:
        """Add a frame. read: reads a portion of it, and returns whether that was the last."""
        self._waiting.append(read)
        if len(self._waiting) == 1:
            self._read_soon()

    def _read_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        done = True
        try:
            done = self._waiting[0]()
        except Exception:
            log.exception("a large frame could not be carried out")
        if done:
            self._waiting.popleft()
        if self._waiting:
            self._read_soon()

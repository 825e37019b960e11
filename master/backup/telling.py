"""Tells how far a copy is: people in lines, and the master in a file beside its store."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from queue_manager.sizes import size_text

from .records import Position
from .states import FOLDER, CopyState

LATE_S = 5.0
"""A copy that is so far behind is told of at once."""

_EACH_S = 60.0


class Telling:
    """Tells of one copy. say: prints a line for people. now: UTC epoch in seconds."""

    def __init__(self, folder: Path, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self._folder = folder / FOLDER
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        self._path = self._folder / f"{digest}.json"
        self._say = say
        self._complete_at = time.time()
        self._trouble = ""
        self._noted = self._told = -_EACH_S
        self._bytes = self._size = 0
        self._since = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line for people."""
        self._say(line)

    def begin(self, size_bytes: int) -> None:
        """All of the store is copied now."""
        self._size = size_bytes
        self._say(f"copying the whole store, {size_text(size_bytes)}")
        self._told = time.monotonic()

    def copied(self, count: int) -> None:
        """So many bytes of it are there."""
        if time.monotonic() - self._told > _EACH_S:
            self._told = time.monotonic()
            self._say(f"copied {size_text(count)} of {size_text(self._size)}")
        self._note()

    def is_whole(self, at: float, position: Position) -> None:
        """All of the store is in the copy, as of this time."""
        self._say(f"{self.name} has the whole store, and follows")
        self._told = time.monotonic()
        self.complete(at, position, self._size)

    def complete(self, at: float, position: Position, written: int = 0) -> None:
        """What was committed by that time is in the copy. written: bytes that this took."""
        if self._trouble:
            self._trouble = ""
            self._say(f"{self.name} follows again")
            self._noted = -_EACH_S
        behind = time.time() - at
        self._complete_at = at
        self._bytes += written
        now = time.monotonic()
        if now - self._told >= _EACH_S or (behind > LATE_S and now - self._told >= LATE_S):
            rate = size_text(self._bytes / max(now - self._since, 0.001))
            self._say(
                f"{behind:.1f} s behind, at frame {position.frames:,} of turn {position.turn:,}"
                f" of the log, {rate}/s"
            )
            self._told = self._since = now
            self._bytes = 0
        self._note()

    def trouble(self, error: Exception) -> None:
        """The copy is not followed now. The same trouble is told once."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._say(f"{error}; trying again")
            self._noted = -_EACH_S
        self._note()

    def is_due(self, each_s: float) -> bool:
        """Whether it is time to say that nothing has changed."""
        return time.monotonic() - self._noted >= each_s

    def end(self) -> None:
        """The follower was told to stop: the master does not wait for this copy."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _note(self) -> None:
        if not self.is_due(1.0):
            return
        self._noted = time.monotonic()
        with contextlib.suppress(OSError):  # the store is gone: its master hears of nothing
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_bytes(
                msgspec.json.encode(CopyState(self.name, self._complete_at, self._trouble))
            )
            part.replace(self._path)

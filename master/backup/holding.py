"""How long the log of a store may be held: not longer than its disk has room for."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

from .source import LostTrackError, Source

_LOOK_S = 0.5
_SHARE = 0.5
"""How much of the room that was there at first the log may take."""


class Holding:
    """Holds the log of a store, and lets it go when it gets too long, also while a copy hangs."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._most_bytes = 0.0
        self._given_up = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="holding", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._source.let_go()

    @property
    def is_held(self) -> bool:
        """Whether the log is held now."""
        return self._source.is_held

    def hold(self) -> None:
        """Keep the log from beginning again."""
        self._given_up = False
        if not self._source.is_held:
            self._most_bytes = self._source.log_bytes + _SHARE * self._free_bytes()
            self._source.hold()

    def let_go(self) -> None:
        """Let the log begin again."""
        self._source.let_go()

    def check(self) -> None:
        """Raise LostTrackError if the log was let go since `hold` because it got too long."""
        if self._given_up:
            raise LostTrackError("the copy is slow, and the store's log takes half of the room")

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            if self._source.is_held and self._source.log_bytes > self._most_bytes:
                self._given_up = True
                self._source.let_go()

    def _free_bytes(self) -> int:
        room = os.statvfs(self._source.path.parent)
        return room.f_bavail * room.f_frsize

"""Pages of a long list: the entries that fit into one answer."""

from __future__ import annotations

from typing import Generic, TypeVar

from queue_manager.wire.messages import encode

PAGE_ENTRIES = 500
PAGE_BYTES = 1024 * 1024
"""How much one answer holds. A frame holds 8 MiB."""

T = TypeVar("T")


class Page(Generic[T]):
    """The entries that fit into one answer, by their encoded size.

    told: the entries. first: the place of the first of them. last: the place of the last one that
    was looked at. more: how many are behind that place. limit: how many there may be.
    """

    def __init__(self, after: int, limit: int | None = None) -> None:
        self.told: list[T] = []
        self.first = 0
        self.last = after
        self.more = 0
        self._limit = PAGE_ENTRIES if limit is None else limit
        self._bytes = 0

    @property
    def room(self) -> int:
        """How many more entries it may have."""
        return self._limit - len(self.told)

    def add(self, entry: T, place: int) -> bool:
        """Add the entry at that place, if there is room. The first one always fits."""
        size_bytes = len(encode(entry))
        full = self._bytes + size_bytes > PAGE_BYTES or not self.room
        if self.told and full:
            return False
        self.first = self.first if self.told else place
        self.told.append(entry)
        self._bytes += size_bytes
        self.last = place
        return True

    def skip(self, place: int) -> None:
        """Pass over the entry at that place."""
        self.last = place

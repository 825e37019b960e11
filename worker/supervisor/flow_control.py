"""Flow control: what the master knows of the room on this worker, and what it has to be told.

This module owns the counts of one session. It knows no slots, no connection and no clock.
"""

from __future__ import annotations

from typing import NamedTuple


class Room(NamedTuple):
    """What this worker could take now.

    leases: how many more leases; negative if it has more than it wants. places: how many leases of
    one task would start at once. draining: whether it takes nothing any more.
    """

    leases: int
    places: int
    draining: bool


class Demand(NamedTuple):
    """The fields of the next `Exchange` that tell the master of the room."""

    want: int
    draining: bool
    free: int
    got: int


class FlowControl:
    """Counts the leases that were asked for and the leases that came, in one session.

    refused: a limited lease went back because no slot could start it, and nothing has changed since
    then. Until something changes, no place counts as free. Otherwise the master would offer the
    same lease again at once.
    """

    def __init__(self) -> None:
        self.begin_session()

    def begin_session(self) -> None:
        """Begin a session. The master knows nothing of requests in the session before."""
        self.refused = False
        self._received = 0
        self._outstanding = 0
        self._told = Demand(0, False, 0, 0)

    def received(self, count: int) -> None:
        """Count leases that have come. Limited ones come even if none was asked for."""
        self._received += count
        self._outstanding = max(0, self._outstanding - count)

    def has_news(self, room: Room) -> bool:
        """Whether the master has to be told of this room, even without outcomes to report."""
        return (
            self._want(room) > 0
            or room.draining != self._told.draining
            or room.places > self._known_places
        )

    def tell(self, room: Room) -> Demand:
        """Return what the next exchange says. From now on the master counts as knowing it."""
        self._told = Demand(self._want(room), room.draining, room.places, self._received)
        self._outstanding += self._told.want
        return self._told

    @property
    def _known_places(self) -> int:
        """How many places are free for the master. Each lease since the last exchange took one."""
        return max(0, self._told.free - (self._received - self._told.got))

    def _want(self, room: Room) -> int:
        return 0 if room.draining else max(0, room.leases - self._outstanding)

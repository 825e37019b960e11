"""Flow control: what the master knows of the room on this worker, and what it should be told.

Owns the accounts of one session. Knows no slots, no connection and no clock.
"""

from __future__ import annotations

from typing import NamedTuple


class Room(NamedTuple):
    """What this worker could take now.

    leases: besides those that are here; negative: more are here than it wants. places: how many
    leases of one task would start at once. draining: it takes nothing any more.
    """

    leases: int
    places: int
    draining: bool


class Demand(NamedTuple):
    """What an exchange says of this, in the words of the message: see `Exchange`."""

    want: int
    draining: bool
    free: int
    got: int


class FlowControl:
    """Leases that were asked for and leases that came, in one session.

    refused: a limited lease went back because nothing here could start it, and nothing has changed
    since then. Until something does, no place counts as free: the master would offer the same lease
    again at once.
    """

    def __init__(self) -> None:
        self.begin_session()

    def begin_session(self) -> None:
        """The master knows nothing of what was asked in the session before."""
        self.refused = False
        self._received = 0
        self._outstanding = 0
        self._told = Demand(0, False, 0, 0)

    def received(self, count: int) -> None:
        """Leases have come, perhaps more than were asked for: limited ones only need a place."""
        self._received += count
        self._outstanding = max(0, self._outstanding - count)

    def has_news(self, room: Room) -> bool:
        """Whether the master should hear of this room, even if there is nothing else to say."""
        return (
            self._want(room) > 0
            or room.draining != self._told.draining
            or room.places > self._known_places
        )

    def tell(self, room: Room) -> Demand:
        """What the next exchange says; from here on the master counts as knowing it."""
        self._told = Demand(self._want(room), room.draining, room.places, self._received)
        self._outstanding += self._told.want
        return self._told

    @property
    def _known_places(self) -> int:
        """How many places the master believes to be free: each lease since then has taken one."""
        return max(0, self._told.free - (self._received - self._told.got))

    def _want(self, room: Room) -> int:
        return 0 if room.draining else max(0, room.leases - self._outstanding)

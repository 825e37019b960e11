"""Connections that have not proved the key: how many there may be, and who makes room.

Owns the counts; knows nothing of sockets and handshakes. Nobody is turned away for coming late: a
newcomer takes the place of who has been silent longest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from ..settings import is_loopback

MOST = 1_024
"""Of all together; in a burst more of them wait in the kernel's backlog for `GRACE_S`."""

MOST_OF_AN_ADDRESS = 64
"""Of one address off loopback, once they are older than `GRACE_S`."""

GRACE_S = 0.25
"""So much time everybody has: a host that connects a thousand sessions at once loses none."""


class Visitor:
    """One of them. send_away: ends the connection; who makes it sets that."""

    def __init__(self, address: str, since: float) -> None:
        self.address, self.since = address, since
        self.send_away: Callable[[], object] = bool


class Door:
    """Counts visitors. most: of all together, fewer where this process may open few files."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._all: dict[Visitor, None] = {}  # in the order of coming
        self._of: dict[str, dict[Visitor, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def wait_s(self, now: float) -> float:
        """How long nobody may be let in, in seconds; 0 if there is room, or somebody makes it."""
        if len(self._all) < self._most:
            return 0.0
        oldest = next(iter(self._all))
        return max(0.0, oldest.since + GRACE_S - now)

    def enter(self, address: str, now: float) -> Visitor:
        """Let somebody in. now: in seconds, monotonic."""
        visitor = Visitor(_kin(address), now)
        crowd = self._of.setdefault(visitor.address, {})
        if visitor.address and len(crowd) >= MOST_OF_AN_ADDRESS:
            self._make_room(crowd, now)
        if len(self._all) >= self._most:
            self._make_room(self._all, now)
        self._all[visitor] = self._of.setdefault(visitor.address, {})[visitor] = None
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """It has proved the key, or is gone. Once more is nothing."""
        if self._all.pop(visitor, visitor) is visitor:
            return
        crowd = self._of[visitor.address]
        del crowd[visitor]
        if not crowd:
            del self._of[visitor.address]

    def _make_room(self, crowd: dict[Visitor, None], now: float) -> None:
        oldest = next(iter(crowd))
        if now - oldest.since >= GRACE_S:
            self.leave(oldest)
            oldest.send_away()


def _kin(address: str) -> str:
    """Whom an address is counted with: nobody on loopback, its /64 in IPv6."""
    if is_loopback(address):
        return ""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address

"""Connections that have not proved the key: how many there may be, and which one makes room.

This module owns the counts, and knows nothing of sockets and handshakes. A newcomer is never turned
away. It takes the place of the visitor that has been silent longest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from ...settings import is_loopback

MOST_VISITORS = 1_024
"""The most visitors of all addresses. In a burst, others wait in the kernel's backlog for
`GRACE_S`."""

MOST_OF_AN_ADDRESS = 64
"""The most visitors of one address off loopback, once the oldest is older than `GRACE_S`."""

GRACE_S = 0.25
"""How long a visitor keeps its place, so that a host can open a thousand sessions at once."""


class Visitor:
    """One such connection. send_away: ends it. The maker of the connection sets it."""

    def __init__(self, address: str, since: float) -> None:
        self.address, self.since = address, since
        self.send_away: Callable[[], object] = bool


class Door:
    """Counts visitors.

    limit: the most visitors of all addresses. It is lower if this process may open few files.
    """

    def __init__(self, limit: int = MOST_VISITORS) -> None:
        self._limit = limit
        self._all: dict[Visitor, None] = {}  # in the order of coming
        self._of: dict[str, dict[Visitor, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def wait_s(self, now: float) -> float:
        """How many seconds a newcomer has to wait; 0 if there is room, or the oldest can go."""
        if len(self._all) < self._limit:
            return 0.0
        oldest = next(iter(self._all))
        return max(0.0, oldest.since + GRACE_S - now)

    def enter(self, address: str, now: float) -> Visitor:
        """Let a visitor in. now: in seconds, monotonic."""
        visitor = Visitor(_counted_as(address), now)
        crowd = self._of.setdefault(visitor.address, {})
        if visitor.address and len(crowd) >= MOST_OF_AN_ADDRESS:
            self._make_room(crowd, now)
        if len(self._all) >= self._limit:
            self._make_room(self._all, now)
        self._all[visitor] = self._of.setdefault(visitor.address, {})[visitor] = None
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """A visitor has proved the key, or is gone. A second call does nothing."""
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


def _counted_as(address: str) -> str:
    """The address under which a visitor counts: empty on loopback, its /64 in IPv6."""
    if is_loopback(address):
        return ""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address

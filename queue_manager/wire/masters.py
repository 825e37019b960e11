"""What a status tells of the masters of one queue, where several stand by for each other."""

from __future__ import annotations

import msgspec

AWAY_S = 5.0
"""A master that was not seen for so long is away. Each is seen once a second."""


class MasterStatus(msgspec.Struct, frozen=True):
    """One master.

    name, address: its MASTER_NAME and MASTER_ADDRESS; the address may be empty. active: it has the
    queue. since: when it became the active one, or began to stand by; UTC epoch in seconds by the
    clock of the database. lag_s: how long ago it was seen there. version: that of its program.
    """

    name: str
    address: str
    active: bool
    since: float
    lag_s: float
    version: str = ""

    @property
    def role(self) -> str:
        """What it does: active, standby or away."""
        return "away" if self.lag_s > AWAY_S else "active" if self.active else "standby"

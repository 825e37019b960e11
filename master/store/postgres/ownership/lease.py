"""When a standby may take over: a rule about what it sees, without connection and clock.

The active master has a lock, which the server frees when it sees that master's connection end, and
writes a number that grows (`beats`) each second. A frozen master keeps its lock, and its number
stands still. The standby counts the time by its own monotonic clock, so a clock that is set, here
or on the server, ends no lease.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import NamedTuple

LEASE_S = 3.0
"""How long the number of the active master may stand still."""

GAP_S = 1.0
"""A standby that has not looked for longer knows nothing of that time, and counts anew."""

RECLAIM_S = 1.0
"""How long a standby that has lost its own connection leaves the lock to the active master.

The server was restarted, then, and all have lost theirs: nobody gains by another master.
"""


class Look(NamedTuple):
    """What a standby sees.

    epoch: None: nobody was ever active. beats: of the active master; None: it has left. watched:
    the session in which it writes them is there. holder, held_since: the session that has the lock.
    """

    epoch: int | None
    beats: int | None
    watched: bool
    holder: int | None
    held_since: datetime | None


class Verdict(enum.Enum):
    """What a standby does next."""

    WAIT = enum.auto()
    TAKE = enum.auto()
    END = enum.auto()
    """End the session that has the lock, then take it."""


class Lease:
    """What one standby has seen so far. All times are seconds of its monotonic clock."""

    def __init__(self) -> None:
        self._seen: Look | None = None
        self._since = self._looked = 0.0
        self._patient_until = 0.0

    def reconnected(self, now: float) -> None:
        """The standby had no connection for a while, and has one again."""
        self._patient_until = now + RECLAIM_S

    def judge(self, look: Look, now: float) -> Verdict:
        """What to do after a look."""
        if look != self._seen or now - self._looked > GAP_S:
            self._seen, self._since = look, now
        self._looked = now
        has_run_out = now - self._since >= LEASE_S
        if look.holder is not None:
            return Verdict.END if has_run_out else Verdict.WAIT
        if look.epoch is None or look.beats is None or has_run_out:
            return Verdict.TAKE
        # The lock is free. Either that master is gone, or it is about to take its lock again.
        lives = look.watched or now < self._patient_until
        return Verdict.WAIT if lives else Verdict.TAKE

"""The machine's clocks: which boot this is, whether the wall clock can be right, when it was set.

Its monotonic clock begins anew with each boot, and a machine without a battery has a wall clock of
1970 until the network has told it the time.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Protocol

from queue_manager.errors import StoreError

log = logging.getLogger("quartermaster.master")

RELEASED_AT = 1_767_225_600.0
"""2026-01-01: no clock that is right says less."""

JUMP_S = 86_400.0
"""So far from the newest time that was noted a clock is believed at once, and an hour behind it."""

HOLD_S = 3_600.0
"""So long nothing is pruned by a clock that has jumped."""

NOTE_S = 3_600.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BITS = 62  # what a store keeps as a number


def boot_number(path: Path = _BOOT_ID) -> int:
    """A number of this boot; 0 where the system does not tell.

    Source: Linux, Documentation/admin-guide/sysctl/kernel.rst, "random".
    """
    try:
        return uuid.UUID(path.read_text().strip()).int >> (128 - _BITS)
    except (OSError, ValueError):
        return 0


class Notes(Protocol):
    """Where it is noted how the clocks are."""

    def note_clock(self, wall: float, off_s: float) -> None:
        """As a store's verb of that name."""


class ClockWatch:
    """Whether times may be compared with those that were recorded before.

    wall: UTC epoch as it goes on from the master's start, which is what is recorded. ahead_s: by
    how much it is before the machine's clock now.
    """

    def __init__(self, notes: Notes, now: float, wall: float, seen_at: float) -> None:
        self._notes = notes
        self._noted_at = now
        self._noted_s = self.ahead_s = 0.0
        self._held_until = now
        if not is_plausible(wall, seen_at):
            self._hold(now, "the clock is not where it was left, or can't be right")

    def tick(self, now: float, wall: float, real: float) -> None:
        """Look whether somebody has set the clock. real: what it says, UTC epoch in seconds."""
        jumped = abs(wall - real - self.ahead_s)
        self.ahead_s = wall - real
        if jumped > JUMP_S:
            self._hold(now, "the clock was set")
        if abs(self.ahead_s - self._noted_s) >= 1.0 or now - self._noted_at >= NOTE_S:
            try:
                self._notes.note_clock(wall, -self.ahead_s)
            except StoreError:  # the disk is full, and others say so
                return
            self._noted_at, self._noted_s = now, self.ahead_s

    def may_prune(self, now: float) -> bool:
        """Whether nothing is known against the clock."""
        return now >= self._held_until

    def oldest(self, wall: float) -> float:
        """The earlier of both clocks: what is to be deleted is old by either."""
        return wall - max(0.0, self.ahead_s)

    def _hold(self, now: float, why: str) -> None:
        self._held_until = now + HOLD_S
        log.warning("%s: nothing is pruned for an hour", why)


def is_plausible(wall: float, seen_at: float) -> bool:
    """Whether a clock can be right, by the newest time that was recorded (0: none was)."""
    if wall < RELEASED_AT:
        return False
    return not seen_at or -HOLD_S <= wall - seen_at <= JUMP_S

"""The machine's clocks: which boot this is, whether the wall clock can be right, when it was set.

The monotonic clock begins anew with each boot. A machine without a battery has a wall clock of 1970
until the network has told it the time.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Protocol

from queue_manager.errors import StoreError

from ..released import RELEASED_AT

log = logging.getLogger("quartermaster.master")

JUMP_S = 86_400.0
"""A clock is believed at once if it is at most this far ahead of the newest noted time, and at most
an hour behind it."""

HOLD_S = 3_600.0
"""How long nothing is pruned after a jump of the clock."""

NOTE_S = 3_600.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BITS = 62  # a store keeps such a number


def boot_number(path: Path = _BOOT_ID) -> int:
    """A number of this boot; 0 where the system does not tell.

    Source: Linux, Documentation/admin-guide/sysctl/kernel.rst, "random".
    """
    try:
        return uuid.UUID(path.read_text().strip()).int >> (128 - _BITS)
    except (OSError, ValueError):
        return 0


class Notes(Protocol):
    """Keeps notes on the clocks."""

    def note_clock(self, wall: float, off_s: float) -> None:
        """As `Store.note_clock`."""


class ClockWatch:
    """Tells whether the clock is believed: old things are pruned by it only then.

    wall: UTC epoch in seconds, counted on from the master's start. All recorded times are of this
    clock. ahead_s: how far it is ahead of the machine's clock now.
    """

    def __init__(self, notes: Notes, now: float, wall: float, seen_at: float) -> None:
        self._notes = notes
        self._noted_at = now
        self._noted_s = self.ahead_s = 0.0
        self._held_until = now
        if not is_plausible(wall, seen_at):
            self._hold(now, "the clock is not where it was left, or can't be right")

    def tick(self, now: float, wall: float, real: float) -> None:
        """Find out whether the clock was set. real: the machine's clock, UTC epoch in seconds."""
        jumped = abs(wall - real - self.ahead_s)
        self.ahead_s = wall - real
        if jumped > JUMP_S:
            self._hold(now, "the clock was set")
        if abs(self.ahead_s - self._noted_s) >= 1.0 or now - self._noted_at >= NOTE_S:
            try:
                self._notes.note_clock(wall, -self.ahead_s)
            except StoreError:  # the disk is full, which other parts of the master say
                return
            self._noted_at, self._noted_s = now, self.ahead_s

    def may_prune(self, now: float) -> bool:
        """Whether the clock is believed."""
        return now >= self._held_until

    def oldest(self, wall: float) -> float:
        """The earlier of both clocks. What is deleted is old by each of them."""
        return wall - max(0.0, self.ahead_s)

    def _hold(self, now: float, why: str) -> None:
        self._held_until = now + HOLD_S
        log.warning("%s: nothing is pruned for an hour", why)


def is_plausible(wall: float, seen_at: float) -> bool:
    """Whether a clock can be right, by the newest time that was recorded (0: none was)."""
    if wall < RELEASED_AT:
        return False
    return not seen_at or -HOLD_S <= wall - seen_at <= JUMP_S

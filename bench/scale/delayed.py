"""A million tasks are due in an hour. Each is a row of its own, and none is in memory."""

from __future__ import annotations

from contextlib import ExitStack

from ..brief import sized
from ..figure import Figure
from ..rig.stored import Stored

TASKS = sized(1_000_000, 50_000)
DELAY_S = 3600.0


def measure() -> list[Figure]:
    """Measure the submitting, and starts of a master on these tasks."""
    where = f"{TASKS:,} delayed"
    with ExitStack() as stack:
        stored = Stored(stack, delay_s=DELAY_S)
        return [*stored.fill(where, TASKS), *stored.starts(where, leases=False)]

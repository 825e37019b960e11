"""How long a client waits before it looks for the master again."""

from __future__ import annotations

import random
from collections.abc import Collection

from ...errors import StandbyError

FIRST_PAUSE_S = 0.05
LASTED_S = 5.0
"""After a session of at least this length the pauses begin with the first one again. A shorter
session may end because of something that this client sends each time."""
LONGEST_PAUSE_S = 4.0
"""It is below the 5 s for which a restarted master waits for the workers that it knew."""
REFUSED_PAUSE_S = 0.5
"""The longest pause while the host is there and nobody listens on the port: the master restarts.
Such a try costs the host one packet, and the master nothing."""
STANDBY_PAUSE_S = (0.2, 0.5)
"""While a master stands by and none is active, a take-over is under way."""


class Pauses:
    """The pauses of one client. They double up to a limit, with jitter."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def next_s(self, lasted_s: float, failures: Collection[Exception | None]) -> float:
        """How long to wait now.

        lasted_s: the length of the session that has ended; 0 if there was none. failures: what was
            wrong at the last look for a master.
        """
        if lasted_s >= LASTED_S:
            self._next_s = FIRST_PAUSE_S
        if any(isinstance(one, StandbyError) for one in failures):
            self._next_s = FIRST_PAUSE_S
            return random.uniform(*STANDBY_PAUSE_S)
        now_s = random.uniform(self._next_s / 2, self._next_s)
        restarts = any(isinstance(one, ConnectionRefusedError) for one in failures)
        self._next_s = min(self._next_s * 2, REFUSED_PAUSE_S if restarts else LONGEST_PAUSE_S)
        return now_s

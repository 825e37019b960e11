"""Which request is at fault when one session after another ends behind it."""

from __future__ import annotations

import time

from ...errors import ConnectionLostError
from .pauses import LASTED_S

_TRIES = 10
"""How often a request may end its session. If it does so each time, it is at fault."""


class FaultyRequestError(ConnectionLostError):
    """The master has ended the session because of a request, and would do so each time."""


class Suspicion:
    """How often in a row a session has ended soon behind the same request.

    A session that lasts for a while behind a request was ended by something else, such as a restart
    of the master. So the losses of a wait that takes days do not add up.
    """

    def __init__(self) -> None:
        self._losses, self._since = 0, time.monotonic()

    def sent(self) -> None:
        """The request is sent now."""
        self._since = time.monotonic()

    def cleared(self) -> None:
        """Something was answered."""
        self._losses = 0

    def lost(self, error: ConnectionLostError) -> None:
        """The session was lost before the answer.

        Raises ConnectionLostError if it was so too often, or the master can't read the request.
        """
        if isinstance(error, FaultyRequestError):
            raise error
        lasted = time.monotonic() - self._since >= LASTED_S
        self._losses = 1 if lasted else self._losses + 1
        if self._losses >= _TRIES:
            raise ConnectionLostError(f"{error}; {_TRIES} times at the same request") from None

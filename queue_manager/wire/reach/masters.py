"""The masters of a client: where they may be, which one was the active one, and the way to it.

The functions block, so an event loop calls them in a thread. Whoever reads a standby's answer, a
wrong key or a refusal goes on with the next master.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...addresses import Address, shown
from ...errors import (
    ConnectionLostError,
    QueueError,
    StandbyError,
    TlsError,
    WrongKeyError,
)
from .. import tls
from ..opening import agree
from .places import Place, is_in_numbers, places_of
from .race import Race

if TYPE_CHECKING:
    import ssl

LIMIT_S = 5.0
"""How long one look at several masters takes at most."""

LOOK_S = 1.0


@dataclass(frozen=True)
class Opened:
    """A connection to a master. If context is None, the key is proved; else TLS proves it."""

    place: Place
    sock: socket.socket
    context: ssl.SSLContext | None

    def close(self) -> None:
        """Close it."""
        self.sock.close()


class Masters:
    """All places where the active master may be.

    Args:
        addresses: at least one. A name may have several addresses.

    Attributes:
        failures: what was wrong with each of them at the last look, by its label.
        last: where the last session was.
    """

    def __init__(self, addresses: Iterable[Address]) -> None:
        self.addresses = tuple(addresses)
        self.failures: dict[str, Exception] = {}
        self.last: Place | None = None
        self._useless: dict[Place, Exception] = {}
        self._places: set[Place] = set()

    def __str__(self) -> str:
        return shown(self.addresses)

    @property
    def several(self) -> bool:
        """Whether the active master may be at more than one place."""
        return len(self.addresses) > 1 or len(self._places) > 1

    @property
    def may_grow(self) -> bool:
        """Whether a name may have more addresses later, as that of a service with one master."""
        return any(not is_in_numbers(host) for host, _ in self.addresses)

    def refresh(self) -> None:
        """Look the names up again, for `several`. A name that can't be looked up stays as it was.

        It waits for a name server.
        """
        found: set[Place] = set()
        for address in self.addresses:
            with contextlib.suppress(OSError, UnicodeError):
                found |= set(places_of(address))
        if found:
            self._places = found

    def open(self, authkey: bytes, mode: tls.Mode = "auto") -> Opened:
        """Connect to the active master, up to the first request or the TLS handshake.

        The connecting and the stretching of the key block.

        Raises:
            WrongKeyError: a master refuses the key or does not have it, and no other is active.
            TlsError: one side demands encryption, and the other can't or won't.
            ProtocolError: the other side is no master of ours.
            StandbyError: all that answer stand by.
            OSError: none can be reached, or all are silent.
        """
        limit_s = LIMIT_S if self.several else math.inf
        with Race(self.addresses, self.last, self._useless, limit_s=limit_s) as race:
            self.failures, self._places = race.failures, race.places
            for place, sock, frame in race:
                try:
                    context = agree(sock, frame, authkey, mode, place.label)
                except (QueueError, OSError) as error:
                    sock.close()
                    race.failed(place, error)
                except BaseException:
                    sock.close()
                    raise
                else:
                    return Opened(place, sock, context)
        self.failures |= {place.label: error for place, error in self._useless.items()}
        self._useless.clear()
        raise self._trouble()

    def reached(self, place: Place) -> None:
        """There is a session with the master at this place."""
        self.last = place
        self.failures = {}
        self._useless.clear()

    def useless(self, place: Place, error: Exception) -> bool:
        """A connection that was opened is no use. Returns whether there is another one to try."""
        self._useless[place] = error
        if self.several:
            return True
        self._useless.clear()
        return False

    def look(self, but: Place | None = None, limit_s: float = LOOK_S) -> Place | None:
        """Look for a place where a master greets as the active one. Nobody proves a key here.

        but: this place does not count, such as that of a silent master.

        Returns None if there is none within `limit_s`. Raises OSError if this process lacks
        something, such as file descriptors.
        """
        without = [] if but is None else [but]
        with Race(self.addresses, None, without, stagger_s=0.0, limit_s=limit_s) as race:
            for place, sock, _ in race:
                sock.close()
                return place
        return None

    def why(self) -> str:
        """What is wrong with each of them, on one line; empty if nothing is known."""
        if len(self.addresses) == 1 and len(self.failures) == 1:
            return str(next(iter(self.failures.values())))
        return "; ".join(_told(label, error) for label, error in self.failures.items())

    def _trouble(self) -> Exception:
        """The error of a look that has found no active master."""
        errors = sorted(self.failures.values(), key=_rank)
        if not errors:
            return ConnectionLostError("its name has no address")
        worst = errors[0]
        if len(self.addresses) == 1 and (len(errors) == 1 or not isinstance(worst, StandbyError)):
            return worst
        kinds = (WrongKeyError, TlsError, StandbyError)
        kind = next((one for one in kinds if isinstance(worst, one)), ConnectionLostError)
        return kind(self.why())


def _told(label: str, error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if label in text else f"{label}: {text}"


def _rank(error: Exception) -> int:
    """How much an error tells: waiting does not mend the first ones."""
    kinds = (WrongKeyError, TlsError, StandbyError, QueueError, ConnectionRefusedError)
    return next((n for n, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))

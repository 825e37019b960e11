"""What a connection asks of others: of its server, and of the objects on the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..wire import handshake
from .large_frames import LargeFrames

if TYPE_CHECKING:
    from .connection import Peer


class Served(Protocol):
    """An object on the network. It answers a call by `answer` or `fail` of its connection."""

    @property
    def exposed(self) -> tuple[str, ...]:
        """The methods that clients may call."""

    def call(
        self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """A stock client calls a method. The answer may be sent in a later turn."""

    def frame(self, peer: Peer, body: bytes) -> None:
        """One of our own sessions sends a message."""

    def ended(self, peer: Peer, reset: bool) -> None:
        """A connection has ended. reset: it did not end with a clean EOF."""


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    authkey: bytes
    keys: handshake.Keys
    stock_frame_bytes: int
    large: LargeFrames
    peers: set[Peer]
    is_late: Callable[[], bool]

    def served(self, typeid: str) -> Served:
        """Find the object of a name. Raises KeyError for a name that is not registered."""

    def log_unknown(self, host: str, typeid: str) -> None:
        """Log that a client has asked for a name that is not registered."""

    def reject(self, where: str, why: str) -> None:
        """Count and log a connection that is turned away."""

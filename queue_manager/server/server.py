"""The serving side of `QueueManager`: one event loop that speaks BaseManager's protocol.

This module owns the listening socket, the connections that were let in, and the counts of those
that were not. `reception` decides who is let in, a `Peer` is one connection, `registry` has the
names.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..addresses import Address
from ..wire import handshake, tls
from ..wire.records import FRAME_BYTES
from ..wire.transport import Listener
from .arriving.reception import Reception, Security
from .connection import Peer
from .large_frames import LargeFrames
from .registry import Registry
from .served import Served

log = logging.getLogger("quartermaster.server")

_STOCK_EXTRA_BYTES = 64 * 1024
ALL_UNREAD_BYTES = 128 * 1024 * 1024
"""How many bytes all clients together may leave unread."""


class LoopServer:
    """The server that `QueueManager.get_server()` returns.

    `serve_forever()` runs it in a loop of its own, `start()` in the running loop.

    Args:
        registry: by typeid (callable, exposed, ...), as `BaseManager.register` fills it.
        address: host and port. Port 0 takes a free one, and `address` has it then.
        authkey: the key that both sides have.
        serializer: BaseManager passes it; it is not used here.
        max_bytes: the most bytes that one payload may have. A stock client gets an error for a
            larger frame.
        mode: `auto` accepts plain and encrypted clients, `required` only encrypted ones, `off` only
            plain ones. If this Python can't encrypt, `auto` is `off`.
        salt: the installation's salt, for the keys that are made of the authkey; None makes one.
        listening: the number of a socket that listens already, in the place of the address.

    Raises TlsError if it has to demand TLS, and this Python can't encrypt.
    """

    def __init__(
        self,
        registry: Mapping[str, tuple[Any, ...]],
        address: Address,
        authkey: bytes,
        serializer: str,
        max_bytes: int = FRAME_BYTES,
        mode: tls.Mode = "auto",
        salt: bytes | None = None,
        listening: int | None = None,
    ) -> None:
        salt = salt or os.urandom(handshake.SALT_BYTES)
        self.authkey = bytes(authkey)
        self.keys = handshake.stretched(self.authkey, salt)
        self.keys_told = handshake.told(salt, self.keys)
        self.plain_only = mode == "off" or (mode == "auto" and not tls.has_psk())
        self.encrypted_only = mode == "required"
        context = None if self.plain_only else tls.server_context(self.keys.psk)
        self.listener = Listener(address, taken=listening)
        self.address = self.listener.address
        self.stock_frame_bytes = max_bytes + _STOCK_EXTRA_BYTES
        self.rejected: dict[str, int] = {}
        self.large = LargeFrames()
        self.peers: set[Peer] = set()
        self.is_late: Callable[[], bool] = lambda: False
        self._registry = Registry(registry)
        security = Security(salt, self.keys, context, self.encrypted_only)
        self._reception = Reception(self.listener.socket, security, self._make_peer, self.reject)
        self._unread: dict[Peer, int] = {}

    def serve_forever(self) -> None:
        """Serve in a loop of its own until the process is told to stop."""

        async def forever() -> None:
            self.start()
            await asyncio.Event().wait()

        asyncio.run(forever())

    def start(self) -> None:
        """Begin to accept, in the running loop."""
        self._reception.open()

    def stop(self) -> None:
        """Stop accepting and close every connection after what was written to it."""
        self._reception.close()
        self.listener.close()
        for peer in list(self.peers):
            peer.close()

    def hand_on(self) -> int:
        """As `stop`, but the socket still listens: returns its number, for whoever serves next.

        A child process or an `exec` gets it only if it is made inheritable.
        """
        self._reception.close()
        number = self.listener.socket.detach()
        self.stop()
        return number

    def served(self, typeid: str) -> Served:
        """Find the object of a name. Raises KeyError for a name that is not registered."""
        return self._registry.served(typeid)

    def log_unknown(self, host: str, typeid: str) -> None:
        """Log that a client asked for an unknown name, once for each host and name."""
        self._registry.log_unknown(host, typeid)

    def reject(self, where: str, why: str) -> None:
        """Count a connection that was turned away. Log three of a reason, then each 100th."""
        seen = self.rejected.get(why, 0)
        self.rejected[why] = seen + 1
        if seen < 3 or seen % 100 == 99:
            log.warning("refused a connection from %s: %s (%d so far)", where, why, seen + 1)

    def relieve(self) -> None:
        """Cut off clients that read nothing, if all unread bytes together take too much memory.

        The master calls this about once a second. A client that has read something since the last
        call stays.
        """
        before, self._unread = self._unread, {p: p.unread_bytes for p in self.peers}
        excess = sum(self._unread.values()) - ALL_UNREAD_BYTES
        stuck = [p for p, size in self._unread.items() if 0 < before.get(p, 0) <= size]
        for peer in sorted(stuck, key=self._unread.__getitem__, reverse=True):
            if excess <= 0:
                return
            excess -= self._unread.pop(peer)
            log.warning("%s: cut off: it reads nothing, and much is on its way", peer.name)
            peer.abort()

    def _make_peer(
        self, where: str, greeting: bytes = b"", arrived: Callable[[], None] = lambda: None
    ) -> Peer:
        return Peer(self, where, greeting, arrived)

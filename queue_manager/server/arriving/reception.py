"""Accepts connections, and makes a `Peer` of each that may go on.

This module owns the door, the first frame and the TLS handshakes. A client in clear proves the key
to its `Peer` (`key_check`). Its first byte shows here that it is in clear.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import resource
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...errors import WrongKeyError
from ...wire import handshake, tls
from ...wire.framing import frame, tune
from ...wire.opening import HANDSHAKE_S
from ..connection import Peer
from .client_hello import proves
from .door import MOST_VISITORS, Door, Visitor
from .first_bytes import CLIENT_HELLO, close_with_alert, first_bytes

_ACCEPT_AT_ONCE = 64
_ACCEPT_PAUSE_S = 0.2
_GOODBYE_S = 1.0
_HANDSHAKES_AT_ONCE = 32
_CROWDED_HANDSHAKE_S = 1.0
_FILES_A_VISITOR = 4  # strangers get at most a quarter of all files that may be open


@dataclass(frozen=True)
class Security:
    """How a server has its clients prove the key. context: None if it does not encrypt."""

    salt: bytes
    keys: handshake.Keys
    context: ssl.SSLContext | None
    encrypted_only: bool

    def greeting(self) -> bytes:
        """Make the first frame of a connection. No two are the same."""
        if self.encrypted_only:
            return handshake.refusal(self.salt)
        challenge = handshake.new_challenge(self.salt, encrypts=self.context is not None)
        return handshake.CHALLENGE + challenge


class MakePeer(Protocol):
    """Makes the `Peer` of a connection. `Peer` describes the arguments."""

    def __call__(
        self, where: str, greeting: bytes = b"", arrived: Callable[[], None] = ...
    ) -> Peer: ...


@dataclass
class _Arrival:
    """A connection that has sent nothing yet. where: the other side's address, for people."""

    sock: socket.socket
    where: str
    greeting: bytes
    visitor: Visitor


class Reception:
    """Accepts connections in the running loop.

    Args:
        listening: the listening socket.
        security: how clients prove the key.
        make_peer: makes the `Peer` of a connection.
        reject: is called with an address and a reason for each connection that is turned away.
    """

    def __init__(
        self,
        listening: socket.socket,
        security: Security,
        make_peer: MakePeer,
        reject: Callable[[str, str], None],
    ) -> None:
        self._listening, self._security = listening, security
        self._make_peer, self._reject = make_peer, reject
        self._door = Door(min(MOST_VISITORS, _raise_file_limit() // _FILES_A_VISITOR))
        self._handshakes: set[asyncio.Task[None]] = set()
        self._encrypting = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)

    def open(self) -> None:
        """Begin to accept."""
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting, and end the handshakes. The owner of the socket closes it."""
        if self._listening.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
        for task in self._handshakes:
            task.cancel()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPT_AT_ONCE):
            wait_s = self._door.wait_s(loop.time())
            if wait_s > 0:
                self._pause(wait_s)
                return
            try:
                sock, where = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._reject("anybody", "out of file descriptors")
                self._pause(_ACCEPT_PAUSE_S)
                return
            self._greet(sock, where[0], f"{where[0]}:{where[1]}")

    def _pause(self, pause_s: float) -> None:
        # The socket stays readable. Without a pause this would be a busy loop.
        if self._listening.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        loop.call_later(pause_s, self._resume)

    def _resume(self) -> None:
        if self._listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept)

    def _greet(self, sock: socket.socket, address: str, where: str) -> None:
        loop = asyncio.get_running_loop()
        greeting = self._security.greeting()
        try:
            sock.setblocking(False)
            tune(sock)
            sock.send(frame(greeting))
        except OSError:
            sock.close()
            return
        arrival = _Arrival(sock, where, greeting, self._door.enter(address, loop.time()))
        task = loop.create_task(self._welcome(arrival))
        arrival.visitor.send_away = functools.partial(self._crowded_out, where, task.cancel)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _crowded_out(self, where: str, end: Callable[[], object]) -> None:
        self._reject(where, "too many have not shown the key, and it is the slowest")
        end()

    async def _welcome(self, arrival: _Arrival) -> None:
        """Read the first bytes, and go on in clear or with TLS."""
        sock, where = arrival.sock, arrival.where
        peer: Peer | None = None
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(HANDSHAKE_S):
                first = await first_bytes(loop, sock)
            if first[:1] == CLIENT_HELLO:
                await self._encrypt(arrival, first)
            elif self._security.encrypted_only:
                # A client of the standard library has read the reason and closes the connection.
                self._reject(where, "not encrypted, and QUEUE_TLS=required")
                sock.close()
            elif first:
                peer = self._clear_peer(arrival)
                await loop.connect_accepted_socket(lambda: peer, sock)
            else:
                sock.close()
        except TimeoutError:
            self._reject(where, "silent during the handshake")
            sock.close()
        except (OSError, asyncio.CancelledError):
            if peer is None:
                sock.close()
        finally:
            if peer is None:
                self._door.leave(arrival.visitor)

    def _clear_peer(self, arrival: _Arrival) -> Peer:
        leave = functools.partial(self._door.leave, arrival.visitor)
        peer = self._make_peer(arrival.where, arrival.greeting, leave)
        arrival.visitor.send_away = functools.partial(self._crowded_out, arrival.where, peer.abort)
        return peer

    async def _encrypt(self, arrival: _Arrival, hello: bytes) -> None:
        """Do the TLS handshake, which proves the key. Few run at a time: each has an SSL object.

        Once the handshake has begun, the transport closes the socket.
        """
        if self._security.context is None:
            why = "QUEUE_TLS=off" if tls.has_psk() else tls.lacking()
            self._reject(arrival.where, f"it wants to encrypt: {why}")
            close_with_alert(arrival.sock, tls.NO_TLS_ALERT)
            return
        identity = tls.identity(arrival.greeting).encode()
        if not proves(hello, self._security.keys.psk, identity):
            self._reject(arrival.where, "wrong authkey")
            close_with_alert(arrival.sock, tls.WRONG_KEY_ALERT)
            return
        async with self._encrypting:
            # While others wait the time is short. A man in the middle who passes a client's
            # ClientHello on gets this far, once for each of them.
            timeout_s = _CROWDED_HANDSHAKE_S if self._encrypting.locked() else HANDSHAKE_S
            await self._finish_tls(arrival, self._security.context, timeout_s)

    async def _finish_tls(
        self, arrival: _Arrival, context: ssl.SSLContext, timeout_s: float
    ) -> None:
        # asyncio closes a failed handshake without OpenSSL's alert. With a copy of the socket we
        # can send one, so that the other side knows the reason.
        with arrival.sock.dup() as copy:
            try:
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self._make_peer(arrival.where),
                    arrival.sock,
                    ssl=context,
                    ssl_handshake_timeout=timeout_s,
                    ssl_shutdown_timeout=_GOODBYE_S,
                )
            except asyncio.CancelledError:
                pass
            except OSError as error:
                if isinstance(tls.meaning(error, arrival.where), WrongKeyError):
                    self._reject(arrival.where, "wrong authkey")
                    close_with_alert(copy, tls.WRONG_KEY_ALERT)
                else:
                    self._reject(arrival.where, "its TLS handshake failed")


def _raise_file_limit() -> int:
    """Raise the soft limit of descriptors to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize

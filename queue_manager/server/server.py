"""The serving side of `QueueManager`: one event loop that speaks BaseManager's protocol.

Owns listening, accepting and what is registered; a connection, once accepted, is a `Peer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .. import names
from ..errors import WrongKeyError
from ..wire import handshake, tls
from ..wire.framing import frame, tune
from ..wire.records import FRAME_BYTES
from ..wire.transport import HANDSHAKE_S, Address, Listener
from .client_hello import RECORD_HEADER_BYTES, proves
from .connection import LargeFrames, Peer, Served
from .door import MOST, Door, Visitor

log = logging.getLogger("quartermaster.server")

_ACCEPT_AT_ONCE = 64
_ACCEPT_PAUSE_S = 0.2
_GOODBYE_S = 1.0
_UNREAD_BYTES = 64 * 1024
_CLIENT_HELLO = bytes([tls.CLIENT_HELLO])
_LONGEST_HELLO_BYTES = 16 * 1024  # of a TLS record
_HANDSHAKES_AT_ONCE = 32
_CROWDED_HANDSHAKE_S = 1.0
_FILES_A_VISITOR = 4  # of all that may be open, no more than a quarter for strangers
_STOCK_EXTRA_BYTES = 64 * 1024
_OF_QUEUES: dict[names.QueueName, str] = {
    "task": names.TASK_QUEUE[0],
    "result": names.RESULT_QUEUE[0],
}
ALL_UNREAD_BYTES = 128 * 1024 * 1024
"""What all clients together may leave unread."""

_HOSTS_LOGGED, _NAMES_LOGGED = 256, 8
"""Of so many hosts, and of so many names of each, it is remembered what they asked for in vain."""


class LoopServer:
    """What `QueueManager.get_server()` gives: `serve_forever()`, or `start()` in a running loop.

    Args:
        registry: typeid to (callable, exposed, ...), as `BaseManager.register` fills it.
        address: host and port; port 0 takes a free one, `address` says which.
        authkey: what both sides have.
        max_bytes: the most that one payload may have; larger frames of stock clients are answered
            with an error.
        mode: `auto` takes plain and encrypted clients, `required` encrypted ones only, `off` plain
            ones only; `auto` without TLS in this Python is `off`.
        salt: of this installation, for the keys that are made of the authkey; None is a new one.

    Raises TlsError when it is to demand TLS, and this Python has none.
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
    ) -> None:
        self.authkey = bytes(authkey)
        self.salt = salt or os.urandom(handshake.SALT_BYTES)
        self.keys = handshake.stretched(self.authkey, self.salt)
        self.plain_only = mode == "off" or (mode == "auto" and not tls.has_psk())
        self.encrypted_only = mode == "required"
        self._context = None if self.plain_only else tls.server_context(self.keys.psk)
        self.listener = Listener(address)
        self.address = self.listener.address
        self.stock_frame_bytes = max_bytes + _STOCK_EXTRA_BYTES
        self.rejected: dict[str, int] = {}
        self.large = LargeFrames()
        self._registry = registry
        self._served: dict[str, Served] = {}
        self._asked_in_vain: dict[str, set[str]] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._door = Door(min(MOST, _raise_file_limit() // _FILES_A_VISITOR))
        self._encrypting = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)
        self.peers: set[Peer] = set()
        self.is_late: Callable[[], bool] = lambda: False
        self._unread: dict[Peer, int] = {}

    def serve_forever(self) -> None:
        """Serve in a loop of its own until the process is told to stop."""

        async def forever() -> None:
            self.start()
            await asyncio.Event().wait()

        asyncio.run(forever())

    def start(self) -> None:
        """Begin to accept, in the running loop."""
        self.listener.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.listener.socket.fileno(), self._accept, loop)

    def stop(self) -> None:
        """Stop accepting and close every connection after what was written to it."""
        loop = asyncio.get_running_loop()
        if self.listener.socket.fileno() >= 0:
            loop.remove_reader(self.listener.socket.fileno())
            self.listener.close()
        for task in self._handshakes:
            task.cancel()
        for peer in list(self.peers):
            peer.close()

    def served(self, typeid: str) -> Served:
        """The one object of a name: a registered one, or another that scripts use for a queue.

        Raises KeyError, with a line for whoever asked, for a name that is not on offer.
        """
        registered = self._registry.get(typeid)
        if registered is None:
            queue = names.queue_named(typeid)
            typeid = typeid if queue is None else _OF_QUEUES[queue]
            registered = self._registry.get(typeid)
        if registered is None or registered[0] is None:
            raise KeyError(names.unknown(typeid, self._added()))
        if typeid not in self._served:
            self._served[typeid] = registered[0]()
        return self._served[typeid]

    def asked_in_vain(self, host: str, typeid: str) -> None:
        """A client asked for a name that is not on offer: the log says so, once for each client."""
        asked = self._asked_in_vain.setdefault(host, set())
        if typeid in asked or len(asked) >= _NAMES_LOGGED:
            return
        asked.add(typeid)
        if len(self._asked_in_vain) > _HOSTS_LOGGED:
            self._asked_in_vain.pop(next(iter(self._asked_in_vain)))
        log.warning(
            "%s asks for a name that is not here: %s", host, names.unknown(typeid, self._added())
        )

    def _added(self) -> dict[str, names.QueueName]:
        """The names beside those that are always here, and the queue behind each."""
        here = {name: self.served(name) for name, entry in self._registry.items() if entry[0]}
        queues = {here[name]: queue for queue, name in _OF_QUEUES.items() if name in here}
        others = {name: served for name, served in here.items() if name not in names.ALWAYS}
        return {name: queues[served] for name, served in others.items() if served in queues}

    def reject(self, where: str, why: str) -> None:
        """Count a connection that was turned away, and log the first of each kind and host."""
        seen = self.rejected.get(why, 0)
        self.rejected[why] = seen + 1
        if seen < 3 or seen % 100 == 99:
            log.warning("refused a connection from %s: %s (%d so far)", where, why, seen + 1)

    def relieve(self) -> None:
        """Cut off who reads nothing, where all that is left unread takes too much memory.

        It is called about once a second; who has read something since is not among them.
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

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            wait_s = self._door.wait_s(loop.time())
            if wait_s > 0:
                self._pause_accepting(loop, wait_s)
                return
            try:
                sock, where = self.listener.socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self.reject("anybody", "out of file descriptors")
                self._pause_accepting(loop, _ACCEPT_PAUSE_S)
                return
            self._begin(loop, sock, where[0], f"{where[0]}:{where[1]}")

    def _pause_accepting(self, loop: asyncio.AbstractEventLoop, pause_s: float) -> None:
        # The socket stays readable: without a pause this is a busy loop.
        fileno = self.listener.socket.fileno()
        if fileno < 0:
            return
        loop.remove_reader(fileno)
        loop.call_later(pause_s, self._resume_accepting, loop)

    def _resume_accepting(self, loop: asyncio.AbstractEventLoop) -> None:
        fileno = self.listener.socket.fileno()
        if fileno >= 0:
            loop.add_reader(fileno, self._accept, loop)

    def _begin(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: str, where: str
    ) -> None:
        try:
            sock.setblocking(False)
            tune(sock)
            greeting = self._greeting()
            sock.send(frame(greeting))
        except OSError:
            sock.close()
            return
        visitor = self._door.enter(address, loop.time())
        task = loop.create_task(self._welcome(loop, sock, where, greeting, visitor))
        visitor.send_away = functools.partial(self._crowded_out, where, task.cancel)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _greeting(self) -> bytes:
        """The first frame of a connection; there are no two of the same."""
        if self.encrypted_only:
            return handshake.refusal(self.salt)
        challenge = handshake.new_challenge(self.salt, encrypts=not self.plain_only)
        return handshake.CHALLENGE + challenge

    def _crowded_out(self, where: str, end: Callable[[], object]) -> None:
        self.reject(where, "too many have not shown the key, and it is the slowest")
        end()

    async def _welcome(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        where: str,
        greeting: bytes,
        visitor: Visitor,
    ) -> None:
        """Let the first byte decide between a client in clear and one that speaks TLS."""
        leave = functools.partial(self._door.leave, visitor)
        peer: Peer | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                first = await _first_words(loop, sock)
            if first[:1] == _CLIENT_HELLO:
                await self._encrypt(loop, sock, where, greeting, first)
            elif self.encrypted_only:
                # A client of the standard library has read why, and left without a word.
                self.reject(where, "not encrypted, and QUEUE_TLS=required")
                sock.close()
            elif first:
                peer = Peer(self, where, greeting, leave)
                visitor.send_away = functools.partial(self._crowded_out, where, peer.abort)
                await loop.connect_accepted_socket(lambda: peer, sock)
            else:
                sock.close()
        except TimeoutError:
            self.reject(where, "silent during the handshake")
            sock.close()
        except (OSError, asyncio.CancelledError):
            if peer is None:
                sock.close()
        finally:
            if peer is None:
                leave()

    async def _encrypt(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        where: str,
        greeting: bytes,
        hello: bytes,
    ) -> None:
        """The TLS handshake, which proves the key by itself; few at a time, each has an SSL object.

        Once it has begun the socket is the transport's to close.
        """
        if self._context is None:
            why = "QUEUE_TLS=off" if tls.has_psk() else tls.lacking()
            self.reject(where, f"it wants to encrypt: {why}")
            _last_word(sock, tls.NO_TLS_ALERT)
        elif not proves(hello, self.keys.psk, tls.identity(greeting).encode()):
            self.reject(where, "wrong authkey")
            _last_word(sock, tls.WRONG_KEY_ALERT)
        else:
            async with self._encrypting:
                # Where others wait nobody may dawdle: somebody who passes on what a client says
                # gets as far as here, once for each ClientHello of that client.
                timeout_s = _CROWDED_HANDSHAKE_S if self._encrypting.locked() else HANDSHAKE_S
                await self._finish_tls(loop, sock, where, timeout_s)

    async def _finish_tls(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, where: str, timeout_s: float
    ) -> None:
        # asyncio closes a failed handshake without sending OpenSSL's alert; the other side shall
        # know why.
        with sock.dup() as other:
            try:
                await loop.connect_accepted_socket(
                    lambda: Peer(self, where),
                    sock,
                    ssl=self._context,
                    ssl_handshake_timeout=timeout_s,
                    ssl_shutdown_timeout=_GOODBYE_S,
                )
            except asyncio.CancelledError:
                pass
            except OSError as error:
                if isinstance(tls.meaning(error, where), WrongKeyError):
                    self.reject(where, "wrong authkey")
                    _last_word(other, tls.WRONG_KEY_ALERT)
                else:
                    self.reject(where, "its TLS handshake failed")


def _last_word(sock: socket.socket, alert: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.send(alert)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_UNREAD_BYTES)  # a close with something unread is a reset, which takes the alert
    sock.close()


async def _first_words(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """What the other side begins with: a byte, or a whole ClientHello. None of it is taken.

    Empty at its end, or when it begins as TLS and goes on as something else. While a ClientHello is
    incomplete it stays in the kernel; SO_RCVLOWAT makes the socket readable when it is whole. So
    it costs no SSL object, which is 0.3 MiB with its buffers, before there is something to check.
    """
    need = 1
    while True:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, need)
        await _readable(loop, sock)
        seen = sock.recv(need, socket.MSG_PEEK)
        if len(seen) < need:
            return b""
        if seen[:1] != _CLIENT_HELLO or need > RECORD_HEADER_BYTES:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            return seen
        length = int.from_bytes(seen[3:5], "big")  # RFC 8446, 5.1
        if need == RECORD_HEADER_BYTES and (seen[1] != 3 or not 0 < length <= _LONGEST_HELLO_BYTES):
            return b""
        need = RECORD_HEADER_BYTES if need == 1 else RECORD_HEADER_BYTES + length


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    readable = loop.create_future()
    loop.add_reader(sock.fileno(), _set, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock.fileno())


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _raise_file_limit() -> int:
    """Have as many descriptors as this process may have, and say how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize

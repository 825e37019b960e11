"""The serving side of `QueueManager`: one event loop that speaks BaseManager's protocol.

Owns accepting, the handshake and the requests that every manager answers; what the registered
objects do is theirs (`Served`). Source of the protocol: `Server` of CPython's
`Lib/multiprocessing/managers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from . import handshake, pickles
from .errors import QueueError
from .framing import FrameProtocol, frame, tune
from .names import EXCHANGE
from .records import FRAME_BYTES
from .transport import HANDSHAKE_S, Address, Listener

log = logging.getLogger("quartermaster.server")

_PICKLE = 0x80
_TLS_CLIENT_HELLO = 0x16
_ACCEPT_AT_ONCE = 64
_ACCEPT_PAUSE_S = 0.2
_STOCK_EXTRA_BYTES = 64 * 1024


class Served(Protocol):
    """An object on the network. It answers a call by `answer` or `fail` of its connection."""

    @property
    def exposed(self) -> tuple[str, ...]:
        """The methods that are on the network."""

    def call(
        self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """A stock client calls a method; the answer may come later, in another turn."""

    def frame(self, peer: Peer, body: bytes) -> None:
        """One of our own sessions sends a message."""

    def ended(self, peer: Peer, reset: bool) -> None:
        """A session is over. reset: it did not end in a clean EOF."""


class LoopServer:
    """What `QueueManager.get_server()` gives: `serve_forever()`, or `start()` in a running loop.

    Args:
        registry: typeid to (callable, exposed, ...), as `BaseManager.register` fills it.
        address: host and port; port 0 takes a free one, `address` says which.
        authkey: what both sides have.
        max_bytes: the most that one payload may have; larger frames of stock clients are answered
            with an error.
    """

    def __init__(
        self,
        registry: Mapping[str, tuple[Any, ...]],
        address: Address,
        authkey: bytes,
        serializer: str,
        max_bytes: int = FRAME_BYTES,
    ) -> None:
        self.authkey = bytes(authkey)
        self.listener = Listener(address)
        self.address = self.listener.address
        self.stock_frame_bytes = max_bytes + _STOCK_EXTRA_BYTES
        self.rejected: dict[str, int] = {}
        self._registry = registry
        self._served: dict[str, Served] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self.peers: set[Peer] = set()

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
        """The one object of a registered name. Raises KeyError for a name that is not on offer."""
        if typeid not in self._served:
            registered = self._registry.get(typeid)
            if registered is None or registered[0] is None:
                raise KeyError(typeid)
            self._served[typeid] = registered[0]()
        return self._served[typeid]

    def reject(self, where: str, why: str) -> None:
        """Count a connection that was turned away, and log the first of each kind and host."""
        seen = self.rejected.get(why, 0)
        self.rejected[why] = seen + 1
        if seen < 3 or seen % 100 == 99:
            log.warning("refused a connection from %s: %s (%d so far)", where, why, seen + 1)

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, where = self.listener.socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._pause_accepting(loop, error)
                return
            self._begin(loop, sock, f"{where[0]}:{where[1]}")

    def _pause_accepting(self, loop: asyncio.AbstractEventLoop, error: OSError) -> None:
        # Out of descriptors the socket stays readable: without a pause this is a busy loop.
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self.reject("anybody", "out of file descriptors")
        fileno = self.listener.socket.fileno()
        if fileno < 0:
            return
        loop.remove_reader(fileno)
        loop.call_later(_ACCEPT_PAUSE_S, self._resume_accepting, loop)

    def _resume_accepting(self, loop: asyncio.AbstractEventLoop) -> None:
        fileno = self.listener.socket.fileno()
        if fileno >= 0:
            loop.add_reader(fileno, self._accept, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, where: str) -> None:
        challenge = handshake.new_challenge()
        try:
            sock.setblocking(False)
            tune(sock)
            sock.send(frame(handshake.CHALLENGE + challenge))
        except OSError:
            sock.close()
            return
        task = loop.create_task(self._welcome(loop, sock, where, challenge))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _welcome(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, where: str, challenge: bytes
    ) -> None:
        """Let the first byte decide between a plain client and (later) one that speaks TLS."""
        try:
            first = await asyncio.wait_for(_peek(loop, sock), HANDSHAKE_S)
        except TimeoutError:
            self.reject(where, "silent during the handshake")
            sock.close()
            return
        except (OSError, asyncio.CancelledError):
            sock.close()
            return
        if not first:
            sock.close()
        elif first[0] == _TLS_CLIENT_HELLO:
            self.reject(where, "speaks TLS, which this master does not")
            sock.close()
        else:
            await loop.connect_accepted_socket(lambda: Peer(self, where, challenge), sock)


async def _peek(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    readable = loop.create_future()
    loop.add_reader(sock.fileno(), _set, readable)
    try:
        await readable
        return sock.recv(1, socket.MSG_PEEK)
    finally:
        loop.remove_reader(sock.fileno())


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Peer(FrameProtocol):
    """One connection of the server, from its first byte to its end."""

    def __init__(self, server: LoopServer, where: str, challenge: bytes) -> None:
        super().__init__(handshake.HANDSHAKE_BYTES)
        self.server = server
        self.where = where
        self.name = where
        self.session: Any = None  # whatever the served objects keep with this connection
        self._challenge = challenge
        self._receive: Callable[[bytes], None] = self._answer_received
        self._deadline: asyncio.TimerHandle | None = None
        self._talks_to: set[str] = set()
        self._eof = False
        self._stock = False

    # --- the life of the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.server.peers.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.peers.discard(self)
        self._cancel_deadline()
        for typeid in self._talks_to:
            self.server.served(typeid).ended(self, exc is not None and not self._eof)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def frame_received(self, body: bytes) -> None:
        try:
            self._receive(body)
        except Exception:
            log.exception("%s: closed after an error of ours", self.name)
            self.close()

    def frame_started(self) -> None:
        if self._stock:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Have the kernel send its ACK now.

        A stock client writes a message over 16 KiB, and its last word of the handshake with its
        request, in two parts; its Nagle holds the second back until the first is acknowledged.
        """
        if self.transport is not None and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1
                )

    def too_long(self, size_bytes: int) -> None:
        if self._receive != self._call_received:
            self._turn_away(f"a frame over {self.max_bytes:,} bytes")

    def oversized(self, size_bytes: int) -> None:
        self.fail(
            ValueError(
                f"a message of {size_bytes:,} bytes is over the limit of "
                f"{self.max_bytes:,}: pass a path on the shared disk instead"
            )
        )

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once, with a reset."""
        if self.transport is not None:
            self.transport.abort()

    def _too_late(self) -> None:
        self.server.reject(self.where, "silent during the handshake")
        self.abort()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _turn_away(self, why: str) -> None:
        self.server.reject(self.where, why)
        self.close()

    # --- the handshake, a state a frame ---

    def _answer_received(self, body: bytes) -> None:
        if not handshake.is_answer(self.server.authkey, self._challenge, body):
            self.send_frame(handshake.FAILURE)
            self._turn_away("wrong authkey")
            return
        self.send_frame(handshake.WELCOME)
        self._receive = self._challenge_received

    def _challenge_received(self, body: bytes) -> None:
        try:
            self.send_frame(handshake.answer_to(self.server.authkey, body))
        except QueueError as error:
            self._turn_away(str(error))
            return
        self._receive = self._welcome_received

    def _welcome_received(self, body: bytes) -> None:
        if body != handshake.WELCOME:
            self._turn_away("it does not take our answer to its challenge")
            return
        self.max_bytes = self.server.stock_frame_bytes
        self._receive = self._request_received
        self._acknowledge()

    # --- requests: one of every manager's, then calls ---

    def _request_received(self, body: bytes) -> None:
        self._cancel_deadline()
        try:
            _, name, args, kwargs = pickles.loads(body)
            result = self._request(name, args, kwargs)
        except (QueueError, ValueError, TypeError, LookupError, AttributeError) as error:
            self._reply("#ERROR", _built_in(error))
            self.close()
            return
        self._reply("#RETURN", result)
        if self._receive == self._request_received:
            self.close()

    def _request(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if name == "accept_connection":
            self.name = f"{args[0]} ({self.where})" if args else self.where
            self._receive = self._call_received
            self._stock = True
            return None
        if name == "create":
            return args[0], self._served(args[0]).exposed
        if name == "get_methods":
            return self._served(args[0].id).exposed
        if name in ("dummy", "incref", "decref"):
            return None
        raise ValueError(f"{name!r} is not on this network")

    def _served(self, typeid: str) -> Served:
        try:
            return self.server.served(typeid)
        except KeyError:
            raise ValueError(f"no {typeid!r} is registered on this network") from None

    def _call_received(self, body: bytes) -> None:
        if body and body[0] != _PICKLE:
            self._stock = False
            self.max_bytes = 2 * FRAME_BYTES
            self._talks_to.add(EXCHANGE)
            self.server.served(EXCHANGE).frame(self, body)
            return
        try:
            ident, method, args, kwargs = pickles.loads(body)
            served = self._served(ident)
            if method not in served.exposed:
                raise AttributeError(f"{ident} has no {method!r} on this network")
        except (QueueError, ValueError, TypeError, AttributeError) as error:
            self.fail(_built_in(error))
            return
        self._talks_to.add(ident)
        served.call(self, method, args, kwargs)

    def answer(self, value: Any) -> None:
        """The result of a stock client's call."""
        self._reply("#RETURN", value)

    def fail(self, error: Exception) -> None:
        """Raise a built-in exception at the stock client's side of its call."""
        self._reply("#ERROR", error)

    def _reply(self, kind: str, value: Any) -> None:
        self.send_frame(pickles.dumps((kind, value)))


def _built_in(error: Exception) -> Exception:
    """An exception that a client with nothing but the standard library can unpickle."""
    if isinstance(error, QueueError):
        kind: type[Exception] = next(
            (k for k in (TypeError, ValueError) if isinstance(error, k)), RuntimeError
        )
        return kind(str(error))
    if isinstance(error, LookupError):
        return ValueError(str(error))
    return error

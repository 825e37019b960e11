"""One connection of the server: its handshake, the requests of every manager, then calls.

What the registered objects do is theirs (`Served`). Source of the protocol: `Server` of CPython's
`Lib/multiprocessing/managers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import QueueError, TooLargeError
from ..names import EXCHANGE
from ..wire import handshake, pickles
from ..wire.framing import FrameProtocol
from ..wire.limits import NAME_CHARS, REQUEST_BYTES, WALK_BYTES, is_name
from ..wire.records import FRAME_BYTES
from ..wire.transport import HANDSHAKE_S

if TYPE_CHECKING:
    from .server import LoopServer

log = logging.getLogger("quartermaster.server")

_PICKLE = 0x80
UNREAD_BYTES = 2 * 1024 * 1024
"""With more answers than this on their way, nothing more is heard of who does not read them."""

_NOT_OURS = (
    "sessions of Quartermaster begin encrypted, or with a proof of their own: see 'Handshake' in"
    " docs/protocol.md"
)


_OWED = 16
"""With so many answers that take a while under way, nothing more is heard of who asks for more."""


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


class LargeFrames:
    """The large frames of stock clients, read one after the other and each in portions.

    So one of them costs the others a few milliseconds, and all together the memory of one.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], bool]] = deque()

    def add(self, read: Callable[[], bool]) -> None:
        """Stand in line. read: reads the next portion, and says whether it was the last."""
        self._waiting.append(read)
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        over = True
        try:
            over = self._waiting[0]()
        except Exception:
            log.exception("a large frame could not be carried out")
        if over:
            self._waiting.popleft()
        if self._waiting:
            self._go_on()


class Peer(FrameProtocol):
    """One connection of the server, from its first byte to its end.

    Args:
        server: what it belongs to.
        where: the other side's address, for people.
        greeting: what was sent to it first; empty when TLS has proved the key already.
        arrived: called when it has proved the key, and at its end.

    Attributes:
        encrypted: nobody on the way can read or change what is said.
        ours: the key was proved in a way that can't be had of a client of the standard library, so
            this may be one of our own sessions.
        on_read: called when it has read on, after more than a little had been left unread.
    """

    in_a_row_s = 0.005

    def __init__(
        self,
        server: LoopServer,
        where: str,
        greeting: bytes = b"",
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(handshake.HANDSHAKE_BYTES)
        self.encrypted = self.ours = not greeting
        self.server = server
        self.where = where
        self.name = where
        self.on_read: Callable[[], None] = lambda: None
        self.session: Any = None  # whatever the served objects keep with this connection
        self._greeting, self._arrived = greeting, arrived
        self._receive: Callable[[bytes], None] = self._answer_received
        if self.encrypted:
            self._await_request()
        self._deadline: asyncio.TimerHandle | None = None
        self._talks_to: set[Served] = set()
        self._eof = False
        self._stock = False
        self._owed = 0

    # --- the life of the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(UNREAD_BYTES)
        self.server.peers.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.peers.discard(self)
        self._arrived()
        self._cancel_deadline()
        for served in self._talks_to:
            served.ended(self, exc is not None and not self._eof)

    def pause_writing(self) -> None:
        """It asks faster than it reads: what it asks for next waits in its kernel."""
        self.hold()

    def resume_writing(self) -> None:
        self.go_on()
        self.on_read()

    @property
    def unread_bytes(self) -> int:
        """What was sent to it and is still in this process: its end does not take it."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def is_late(self) -> bool:
        return self.server.is_late() and self._receive == self._call_received

    def owe(self) -> None:
        """An answer takes a while, and memory meanwhile."""
        self._owed += 1
        if self._owed == _OWED:
            self.hold()

    def settled(self) -> None:
        """One that was owed was given."""
        self._owed -= 1
        if self._owed == _OWED - 1:
            self.go_on()

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
        if handshake.is_hello(body):
            self._prove(body)
            return
        challenge = self._greeting.removeprefix(handshake.CHALLENGE)
        if not handshake.is_answer(self.server.authkey, challenge, body):
            self.send_frame(handshake.FAILURE)
            self._turn_away("wrong authkey")
            return
        self.send_frame(handshake.WELCOME)
        self._receive = self._challenge_received

    def _prove(self, hello: bytes) -> None:
        """Our own client, in clear, checks our proof before it gives its own."""
        key, greeting = self.server.keys.proof, self._greeting
        self.send_frame(handshake.proof(key, "server", greeting, hello))

        def proof_received(body: bytes) -> None:
            if not handshake.is_proof(body, key, "client", greeting, hello):
                self.send_frame(handshake.FAILURE)
                self._turn_away("wrong authkey")
                return
            self.send_frame(handshake.WELCOME)
            self.ours = True
            self._await_request()

        self._receive = proof_received

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
        self._await_request()
        self._acknowledge()

    def _await_request(self) -> None:
        self._arrived()
        self.max_bytes = REQUEST_BYTES
        self._receive = self._request_received

    # --- requests: one of every manager's, then calls ---

    def _request_received(self, body: bytes) -> None:
        self._cancel_deadline()
        try:
            result = self._request(*_asked(pickles.loads(body))[1:3])
        except (QueueError, ValueError, TypeError, LookupError, AttributeError) as error:
            self._reply("#ERROR", _built_in(error))
            self.close()
            return
        self._reply("#RETURN", result)
        if self._receive == self._request_received:
            self.close()

    def _request(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == "accept_connection":
            said = _name(args[0], "the name of a session") if args else ""
            self.name = f"{said} ({self.where})" if said else self.where
            self._receive = self._call_received
            self.max_bytes = self.server.stock_frame_bytes
            self._stock = True
            return None
        if name == "create":
            return args[0], self._served(args[0]).exposed
        if name == "get_methods":
            if type(args[0]) is not pickles.Token:
                raise TypeError("get_methods is asked with a Token")
            return self._served(args[0].id).exposed
        if name in ("dummy", "incref", "decref"):
            return None
        raise ValueError(f"{name!r} is not on this network")

    def _served(self, typeid: object) -> Served:
        name = _name(typeid, "a name")
        if name == EXCHANGE and not self.ours:
            raise ValueError(_NOT_OURS)
        try:
            return self.server.served(name)
        except KeyError as error:
            self.server.asked_in_vain(self.where.rpartition(":")[0], name)
            raise ValueError(error.args[0]) from None

    def _call_received(self, body: bytes) -> None:
        if body and body[0] != _PICKLE:
            if not self.ours:
                self.fail(ValueError(_NOT_OURS))
                self._turn_away("a session of ours by the handshake of the standard library")
                return
            self._stock = False
            self.max_bytes = 2 * FRAME_BYTES
            served = self.server.served(EXCHANGE)
            self._talks_to.add(served)
            served.frame(self, body)
            return
        reading = pickles.reading(body)
        if len(body) <= WALK_BYTES:
            self._read_call(reading)
        else:  # while it is read, in portions, others are served; of this client nothing more is
            self.hold()
            self.server.large.add(partial(self._read_large, reading))

    def _read_large(self, reading: Iterator[Any]) -> bool:
        """Read the next portion of a call; whether that was the last."""
        over = True
        try:
            over = self._closing() or self._read_call(reading)
        except Exception:
            log.exception("%s: closed after an error of ours", self.name)
            self.close()
        finally:
            if over:
                self.go_on()
        return over

    def _read_call(self, reading: Iterator[Any]) -> bool:
        """Read a portion of a call, and carry it out when it is whole."""
        try:
            call = next(reading, ())
            if call is None:
                return False
            ident, method, args, kwargs = _asked(call)
            served = self._served(ident)
            if method not in served.exposed:
                raise AttributeError(
                    f"{ident} has no {method!r} on this network, only {', '.join(served.exposed)}"
                )
        except (QueueError, ValueError, TypeError, AttributeError) as error:
            self.fail(_built_in(error))
            return True
        self._talks_to.add(served)
        served.call(self, method, args, kwargs)
        return True

    def answer(self, value: Any) -> None:
        """The result of a stock client's call."""
        self._reply("#RETURN", value)

    def fail(self, error: Exception) -> None:
        """Raise a built-in exception at the stock client's side of its call."""
        self._reply("#ERROR", error)

    def _reply(self, kind: str, value: Any) -> None:
        try:
            body = pickles.dumps((kind, value))
        except TooLargeError as error:
            body = pickles.dumps(("#ERROR", _built_in(error)))
        self.send_frame(body)


def _name(value: object, what: str) -> str:
    """A name of a stranger, which may be hashed and shown from here on. Raises ValueError."""
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"{what} is a text of at most {NAME_CHARS} printable characters")
    return value


def _asked(request: object) -> tuple[Any, str, tuple[Any, ...], Mapping[str, Any]]:
    """What is asked for: an ident, a name, arguments. Nothing of it was looked at before.

    Raises TypeError, and ValueError for a name that is none.
    """
    if type(request) is not tuple or len(request) != 4:
        raise TypeError("a request is a tuple of four: ident, name, args, kwargs")
    ident, name, args, kwargs = request
    if type(args) not in (tuple, list) or type(kwargs) is not dict:
        raise TypeError("a request has a tuple of arguments and a dict of named ones")
    for key in kwargs:
        _name(key, "the name of an argument")
    return ident, _name(name, "the name of a method"), tuple(args), kwargs


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

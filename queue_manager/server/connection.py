"""One connection of the server: its handshake, one request of every manager, then calls.

The registered objects (`Served`) answer the calls. Source of the protocol: `Server` of CPython's
`Lib/multiprocessing/managers.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..errors import QueueError, TooLargeError
from ..names import EXCHANGE
from ..wire import handshake
from ..wire.framing import FrameProtocol, acknowledge
from ..wire.limits import REQUEST_BYTES, WALK_BYTES
from ..wire.opening import HANDSHAKE_S
from ..wire.records import FRAME_BYTES
from ..wire.stock import pickles
from ..wire.tls import carries_code
from .arriving.key_check import KeyCheck
from .served import Host, Served
from .stock_request import RepeatedCall, StockRequest, built_in, checked_name, manage, parse

log = logging.getLogger("quartermaster.server")

_PICKLE = 0x80
UNREAD_BYTES = 2 * 1024 * 1024
"""While more bytes than this wait for a client, the server reads nothing more from it."""

_NOT_OURS = (
    "sessions of Quartermaster begin encrypted, or with a proof of their own: see 'Handshake' in"
    " docs/protocol.md"
)
_RETURN_NONE = pickles.dumps(("#RETURN", None))
"""The answer to each `put`, which is the same bytes each time."""

_OWED = 16
"""While this many slow answers to a client are under way, the server reads nothing more from it."""


class Peer(FrameProtocol):
    """One connection of the server, from its first byte to its end.

    Args:
        server: the server of this connection.
        where: the other side's address, for people.
        greeting: the first frame that was sent to it; empty if TLS has proved the key already.
        arrived: is called when the other side has proved the key, and at the connection's end.

    Attributes:
        encrypted: whether the connection is encrypted.
        ours: whether the key was proved by TLS or by our own proof. Only then may this be one of
            our own sessions.
        on_read: is called when the other side has read most of what waited for it.
        gone: whether the connection has ended.
    """

    in_a_row_s = 0.005
    most_unread_bytes = 64 * 1024 * 1024

    def __init__(
        self,
        server: Host,
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
        self.session: Any = None  # the served objects may keep anything here
        self.gone = False
        self._arrived = arrived
        self._receive: Callable[[bytes], None]
        if self.encrypted:
            self._await_request()
        else:
            check = KeyCheck(self, server.authkey, server.keys.proof, greeting)
            self._receive = check.frame_received
        self._deadline: asyncio.TimerHandle | None = None
        self._talks_to: set[Served] = set()
        self._eof = False
        self._stock = False
        self._owed = 0
        self._repeated = RepeatedCall()

    @property
    def carries_code(self) -> bool:
        """Whether code of jobs may travel on this connection, either way."""
        return carries_code(self.encrypted, self.transport)

    # --- the life of the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(UNREAD_BYTES)
        self.server.peers.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.server.peers.discard(self)
        self._arrived()
        self._cancel_deadline()
        for served in self._talks_to:
            served.ended(self, exc is not None and not self._eof)

    def pause_writing(self) -> None:
        """The other side asks faster than it reads. Its next requests wait in the kernel."""
        self.hold()

    def resume_writing(self) -> None:
        self.go_on()
        self.on_read()

    @property
    def unread_bytes(self) -> int:
        """How many bytes for the other side are still here, because it does not read."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def is_late(self) -> bool:
        return self.server.is_late() and self._receive == self._call_received

    def owe(self) -> None:
        """A request begins whose answer takes a while. It takes memory meanwhile."""
        self._owed += 1
        if self._owed == _OWED:
            self.hold()

    def settled(self) -> None:
        """Such an answer was given."""
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
        if self.transport is not None:
            acknowledge(self.transport.get_extra_info("socket"))

    def too_long(self, size_bytes: int) -> None:
        if self._receive != self._call_received:
            self.turn_away(f"a frame over {self.max_bytes:,} bytes")

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

    def turn_away(self, why: str) -> None:
        """Close after what was written has been sent, and count the connection as refused."""
        self.server.reject(self.where, why)
        self.close()

    # --- one request of every manager, then calls ---

    def let_in(self, *, ours: bool) -> None:
        """The other side has proved the key in clear."""
        self.ours = ours
        self._await_request()
        if not ours:
            self._acknowledge()

    def _await_request(self) -> None:
        self._arrived()
        self.max_bytes = REQUEST_BYTES
        self._receive = self._request_received

    def _request_received(self, body: bytes) -> None:
        self._cancel_deadline()
        try:
            request = parse(pickles.loads(body))
            result = self._request(request.name, request.args)
        except (QueueError, ValueError, TypeError, LookupError, AttributeError) as error:
            self._reply("#ERROR", built_in(error))
            self.close()
            return
        self._reply("#RETURN", result)
        if self._receive == self._request_received:
            self.close()

    def _request(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == "accept_connection":
            said = checked_name(args[0], "the name of a session") if args else ""
            self.name = f"{said} ({self.where})" if said else self.where
            self._receive = self._call_received
            self.max_bytes = self.server.stock_frame_bytes
            self._stock = True
            return None
        return manage(name, args, lambda typeid: self._served(typeid).exposed)

    def _served(self, typeid: object) -> Served:
        name = checked_name(typeid, "a name")
        if name == EXCHANGE and not self.ours:
            raise ValueError(_NOT_OURS)
        try:
            return self.server.served(name)
        except KeyError as error:
            self.server.log_unknown(self.where.rpartition(":")[0], name)
            raise ValueError(error.args[0]) from None

    def _call_received(self, body: bytes) -> None:
        if body and body[0] != _PICKLE:
            if not self.ours:
                self.fail(ValueError(_NOT_OURS))
                self.turn_away("a session of ours by the handshake of the standard library")
                return
            self._stock = False
            self.max_bytes = 2 * FRAME_BYTES
            served = self.server.served(EXCHANGE)
            self._talks_to.add(served)
            served.frame(self, body)
            return
        again = self._repeated.again(body)
        if again is not None:
            served, method, args = again
            served.call(self, method, args, {})
            return
        reading = pickles.reading(body)
        if len(body) <= WALK_BYTES:
            self._read_call(reading, body)
        else:  # other clients are served between two portions, and this one waits for its frame
            self.hold()
            self.server.large.add(partial(self._read_large, reading))

    def _read_large(self, reading: Iterator[Any]) -> bool:
        """Read the next portion of a call. Returns whether it was the last."""
        is_last = True
        try:
            is_last = self._closing() or self._read_call(reading)
        except Exception:
            log.exception("%s: closed after an error of ours", self.name)
            self.close()
        finally:
            if is_last:
                self.go_on()
        return is_last

    def _read_call(self, reading: Iterator[Any], frame: bytes | None = None) -> bool:
        """Read a portion of a call. If the call is whole, carry it out and return True."""
        try:
            call = next(reading, ())
            if call is None:
                return False
            request = parse(call)
        except (QueueError, ValueError, TypeError) as error:
            self.fail(built_in(error))
            return True
        self._carry_out(request, frame)
        return True

    def _carry_out(self, request: StockRequest, frame: bytes | None) -> None:
        ident, method, args, kwargs = request
        try:
            served = self._served(ident)
            if method not in served.exposed:
                raise AttributeError(
                    f"{ident} has no {method!r} on this network, only {', '.join(served.exposed)}"
                )
        except (QueueError, ValueError, TypeError, AttributeError) as error:
            self.fail(built_in(error))
            return
        if frame is not None:
            self._repeated.note(frame, request, served)
        self._talks_to.add(served)
        served.call(self, method, args, kwargs)

    def answer(self, value: Any) -> None:
        """Send the result of a stock client's call."""
        if value is None:
            self.send_frame(_RETURN_NONE)
        else:
            self._reply("#RETURN", value)

    def fail(self, error: Exception) -> None:
        """Answer a stock client's call with a built-in exception, which its side raises."""
        self._reply("#ERROR", error)

    def _reply(self, kind: str, value: Any) -> None:
        try:
            body = pickles.dumps((kind, value))
        except TooLargeError as error:
            body = pickles.dumps(("#ERROR", built_in(error)))
        self.send_frame(body)

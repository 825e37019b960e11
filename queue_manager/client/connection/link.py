"""A session with the master that reconnects. Workers, runners and commands all use it.

This module owns the life of the connection. Its user owns the messages. It runs in an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import (
    ConnectionLostError,
    ProtocolError,
    QueueError,
    RefusedError,
    TlsError,
    TooLargeError,
    WrongKeyError,
)
from ...names import EXCHANGE
from ...wire import tls
from ...wire.messages import (
    NOT_OURS,
    Hello,
    Refused,
    Reply,
    Request,
    Welcome,
    check_request,
    encode,
)
from ...wire.opening import HANDSHAKE_S, Address, open_socket
from ...wire.records import FRAME_BYTES
from ...wire.stock import pickles
from .aside import aside
from .stream import Stream

log = logging.getLogger("quartermaster.link")

FIRST_PAUSE_S = 0.05
LASTED_S = 5.0
"""After a session of at least this length the pauses begin with the first one again. A shorter
session may end because of something that this client sends each time."""
_FLUSH_S = 5.0
"""How long `close` waits for a master that does not read what was sent."""
LONGEST_PAUSE_S = 4.0
"""It is below the 5 s for which a restarted master waits for the workers that it knew."""
REFUSED_PAUSE_S = 0.5
"""The longest pause while the host is there and nobody listens on the port: the master restarts.
Such a try costs the host one packet, and the master nothing."""

R = TypeVar("R")


def _ignore(_: Any) -> None:
    pass


class FaultyRequestError(ConnectionLostError):
    """The master has ended the session because of a request, and would do so each time."""


class Link:
    """One session with the master that reconnects with back-off and jitter (4 s at most).

    While the master's host refuses the connection, the pauses are 0.5 s at most.

    Args:
        address: host and port of the master.
        authkey: the key that both sides have.
        hello: makes the first message of each session.
        on_message: is called with every message that answers no `request`.
        on_up: is called on each connection when the master has answered the hello.
        on_down: is called with a reason when a session that was up has ended.
        on_room: is called when the link is `roomy` again in a session.
        mode: when the connection is encrypted, as QUEUE_TLS says it.
        quiet: do not log troubles. `failure` has the last one in any case.

    end: when the link is closed, why it is; one line.
    """

    def __init__(
        self,
        address: Address,
        authkey: bytes,
        hello: Callable[[], Hello],
        *,
        on_message: Callable[[Reply], None] = _ignore,
        on_up: Callable[[Welcome], None] = _ignore,
        on_down: Callable[[str], None] = _ignore,
        on_room: Callable[[], None] = lambda: None,
        mode: tls.Mode = "auto",
        quiet: bool = False,
    ) -> None:
        self.address = address
        self._mode: tls.Mode = mode
        self._encrypted = False
        self._authkey = authkey
        self._hello = hello
        self._on_message, self._on_up, self._on_down = on_message, on_up, on_down
        self._on_room = on_room
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._sending = asyncio.Lock()
        self._stream: Stream | None = None
        self._opening: asyncio.Task[Stream] | None = None
        self._sock: socket.socket | None = None
        self._closed = asyncio.Event()
        self._up = asyncio.Event()
        self._seq = 0
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._complaint = ""
        self._quiet = quiet
        self.failure: Exception | None = None
        self.end = "the client was closed"

    @property
    def encrypted(self) -> bool:
        """Whether the present connection is encrypted."""
        return self._encrypted

    @property
    def carries_code(self) -> bool:
        """Whether code of jobs may travel on the present connection, either way."""
        transport = None if self._stream is None else self._stream.transport
        return tls.carries_code(self._encrypted, transport)

    @property
    def up(self) -> bool:
        """Whether the master has answered the hello of the present connection."""
        return self._up.is_set()

    @property
    def roomy(self) -> bool:
        """Whether the master reads what is sent. If not, `send` what can't wait, and no more."""
        return self._roomy.is_set()

    @property
    def closed(self) -> bool:
        """Whether there will be no session any more."""
        return self._closed.is_set()

    async def run(self) -> None:
        """Connect, and reconnect after each end of a session, until `close`.

        An error of ours ends it, too. Whoever waits for an answer gets it as a ConnectionLostError.
        """
        try:
            await self._sessions()
        except Exception as error:
            self.end = f"an error of ours has ended the session with the master: {error!r}"
            self.close()
            self._lose(self.end)
            raise

    async def _sessions(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            since = time.monotonic()
            if await self._one_session() and time.monotonic() - since >= LASTED_S:
                pause_s = FIRST_PAUSE_S
            with contextlib.suppress(TimeoutError):
                wait_s = random.uniform(pause_s / 2, pause_s)
                await asyncio.wait_for(self._closed.wait(), wait_s)
            restarts = isinstance(self.failure, ConnectionRefusedError)
            pause_s = min(pause_s * 2, REFUSED_PAUSE_S if restarts else LONGEST_PAUSE_S)

    def send(self, message: Request) -> None:
        """Send a message. Without a connection it is dropped (see `on_up`).

        Raises TooLargeError if the message is too large: the master would end the session.
        """
        self._send(_encoded(message))

    def _send(self, body: bytes) -> None:
        if self._stream is not None:
            self._stream.send_frame(body)

    async def request(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """Send the message that `make` makes of a new sequence number, and wait for its answer.

        Requests are sent in their order, as the master reads them.

        Raises:
            RefusedError: the master refuses; the text is its own line.
            ArgumentError: the master could not read it. It was not sent.
            TooLargeError: the message is larger than the master takes.
            ConnectionLostError: the connection has ended before the answer. Nobody knows whether
                the master carried the request out.
        """
        self._seq += 1
        seq = self._seq
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[seq] = future
        try:
            if self._stream is None:
                raise ConnectionLostError("no connection to the master")
            async with self._sending:
                while not (self.roomy or future.done()):
                    await self._roomy.wait()
                if not future.done():  # else the session has ended meanwhile
                    message = make(seq)
                    body = _encoded(message)
                    check_request(message, body)
                    self._send(body)
            reply = await future
        finally:
            self._pending.pop(seq, None)
        if isinstance(reply, Refused):
            raise RefusedError(reply.error)
        if not isinstance(reply, answer):
            raise ProtocolError(f"the master answered with {type(reply).__name__}")
        return reply

    async def wait_up(self) -> None:
        """Wait until the session is up."""
        await self._up.wait()

    def close(self) -> None:
        """End the session when all that was sent is on its way. `run` ends, too."""
        self._closed.set()
        if self._opening is not None:
            self._opening.cancel()
        if self._stream is not None and self._stream.transport is not None:
            self._stream.transport.close()
            self._stream.lost.get_loop().call_later(_FLUSH_S, self._stream.end)

    def leave(self, reason: str) -> None:
        """End for good, at once, because of the master. reason: becomes `end`."""
        self.end = reason
        self.close()
        self._lose(reason)

    def abandon(self) -> None:
        """In the child of a fork: leave the connection to the parent, whose loop goes on with it.

        Closing the socket in the ordinary way would end the parent's session as well.
        """
        if self._sock is not None:
            with contextlib.suppress(OSError):
                os.close(self._sock.detach())

    async def _one_session(self) -> bool:
        self._opening = asyncio.create_task(self._open())
        try:
            stream = await self._opening
        except asyncio.CancelledError:
            if self._closed.is_set():  # by `close`
                return False
            raise
        except (OSError, UnicodeError, QueueError) as error:
            self._complain(error)  # the resolver raises UnicodeError for a strange name
            return False
        reason = await stream.lost
        if stream.refusal:
            reason = stream.refusal
        was_up = self.up
        self._lose(reason, FaultyRequestError if NOT_OURS in reason else ConnectionLostError)
        if not was_up and stream.refusal:
            self._complain(ProtocolError(stream.refusal))
        if was_up and not self._closed.is_set():
            self._on_down(reason)
        return was_up

    def _lose(self, reason: str, error: type[ConnectionLostError] = ConnectionLostError) -> None:
        """There is no session now. Whoever waits for an answer learns it."""
        self._stream = None
        self._up.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error(f"lost the master: {reason}"))
        self._roomy.set()

    async def _open(self) -> Stream:
        sock, context = await aside(
            open_socket, self.address, self._authkey, self._mode, undo=lambda made: made[0].close()
        )
        try:
            return await self._begin(sock, context)
        except BaseException:
            sock.close()
            raise

    async def _begin(self, sock: socket.socket, context: ssl.SSLContext | None) -> Stream:
        stream = Stream(self._received, self._has_room)
        self._encrypted = context is not None
        self._sock = sock
        await stream.begin(sock, context, self.address)
        stream.send_frame(pickles.dumps((None, "accept_connection", (EXCHANGE,), {})))
        stream.send_frame(encode(self._hello()))
        self._stream = stream
        # A master may accept a connection and then say nothing.
        asyncio.get_running_loop().call_later(HANDSHAKE_S, self._give_up, stream)
        return stream

    def _give_up(self, stream: Stream) -> None:
        if self._stream is stream and not self.up:
            stream.end()

    def _has_room(self, roomy: bool) -> None:
        if not roomy:
            self._roomy.clear()
            return
        self._roomy.set()
        self._on_room()

    def _complain(self, error: Exception) -> None:
        """Log a trouble once, not again at each try."""
        self.failure = error
        where = f"{self.address[0]}:{self.address[1]}"
        clear = isinstance(error, WrongKeyError | TlsError)
        text = str(error) if clear else f"can't reach {where}: {error}"
        if text != self._complaint:
            self._complaint = text
            if not self._quiet:
                log.warning("%s; trying again", text)

    def _received(self, message: Reply) -> None:
        if isinstance(message, Welcome):
            self._complaint = ""
            self.failure = None
            self._up.set()
            self._on_up(message)
            return
        future = self._pending.get(message.seq)
        if future is not None and not future.done():
            future.set_result(message)
        elif isinstance(message, Refused) and not message.seq:
            self._refused(message.error)
        else:
            self._on_message(message)

    def _refused(self, error: str) -> None:
        """Note the last message of the master before it closes the connection."""
        if self._stream is not None:
            self._stream.refusal = f"the master says: {error}"


def _encoded(message: Request) -> bytes:
    body = encode(message)
    if len(body) > FRAME_BYTES:
        raise TooLargeError(
            f"a message of {len(body):,} bytes cannot be sent: {FRAME_BYTES:,} is the most"
        )
    return body

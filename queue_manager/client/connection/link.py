"""A session with the master that reconnects. Workers, runners and commands all use it.

This module owns the life of the connection. Its user owns the messages. It runs in an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
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
    PING_LEVEL,
    Hello,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Welcome,
    check_request,
    encode,
)
from ...wire.opening import HANDSHAKE_S
from ...wire.reach.masters import Masters, Opened
from ...wire.records import FRAME_BYTES
from ...wire.stock import pickles
from .pauses import Pauses
from .silence import lost
from .stream import Stream, open_stream
from .suspicion import FaultyRequestError

log = logging.getLogger("quartermaster.link")

_FLUSH_S = 5.0
"""How long `close` waits for a master that does not read what was sent."""
R = TypeVar("R")


def _ignore(_: Any) -> None:
    pass


class Link:
    """One session with the master that reconnects with back-off and jitter (4 s at most).

    While the master's host refuses the connection, the pauses are 0.5 s at most. Of several
    masters it goes to the active one, and leaves a silent one when another one is active.

    Args:
        masters: where the master may be.
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
        masters: Masters,
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
        self.masters = masters
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
        self._level = 0
        self._complaint = ""
        self._quiet = quiet
        self.failure: Exception | None = None
        self.end = "the client was closed"

    @property
    def where(self) -> str:
        """The place of the present master, or all places where one may be."""
        return str(self.masters) if self._stream is None else self._stream.place.label

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
        pauses = Pauses()
        while not self._closed.is_set():
            since = time.monotonic()
            was_up = await self._one_session()
            lasted_s = time.monotonic() - since if was_up else 0.0
            pause_s = pauses.next_s(lasted_s, [self.failure, *self.masters.failures.values()])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause_s)

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
        reason = await lost(stream, self.masters, self._ask_for_life)
        if stream.refusal:
            reason = stream.refusal
        was_up = self.up
        self._lose(reason, FaultyRequestError if NOT_OURS in reason else ConnectionLostError)
        if not was_up and stream.refusal:
            self._complain(ProtocolError(stream.refusal))
        if was_up and not self._closed.is_set():
            self._on_down(reason)
        return was_up

    def _ask_for_life(self) -> bool:
        """Returns whether the master owes an answer: to this, or to the hello."""
        if self.up and self._level >= PING_LEVEL:
            self.send(Ping(0))
        return self._level >= PING_LEVEL or not self.up

    def _lose(self, reason: str, error: type[ConnectionLostError] = ConnectionLostError) -> None:
        """There is no session now. Whoever waits for an answer learns it."""
        self._stream = None
        self._up.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error(f"lost the master: {reason}"))
        self._roomy.set()

    async def _open(self) -> Stream:
        stream = await open_stream(self.masters, self._authkey, self._mode, self._make_stream)
        stream.send_frame(pickles.dumps((None, "accept_connection", (EXCHANGE,), {})))
        stream.send_frame(encode(self._hello()))
        self._stream = stream
        # A master may accept a connection and then say nothing.
        asyncio.get_running_loop().call_later(HANDSHAKE_S, self._give_up, stream)
        return stream

    def _make_stream(self, opened: Opened) -> Stream:
        self._encrypted = opened.context is not None
        self._sock = opened.sock
        return Stream(self._received, self._has_room, opened.place)

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
        clear = isinstance(error, WrongKeyError | TlsError)
        text = str(error) if clear else f"can't reach {self.masters}: {error}"
        if text != self._complaint and not self._quiet:
            log.warning("%s; trying again", text)
        self._complaint = text

    def _received(self, message: Reply) -> None:
        if isinstance(message, Welcome):
            self._welcomed(message)
            return
        future = self._pending.get(message.seq)
        if future is not None and not future.done():
            future.set_result(message)
        elif isinstance(message, Refused) and not message.seq:
            self._refused(message.error)
        elif not isinstance(message, Pong):  # that it has come is all that it says
            self._on_message(message)

    def _welcomed(self, welcome: Welcome) -> None:
        self._complaint = ""
        self.failure = None
        self._level = welcome.level
        if self._stream is not None:
            self.masters.reached(self._stream.place)
        self._up.set()
        self._on_up(welcome)

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

"""One connection of a link: the frames that come, whether the master reads, the end.

This module knows the connection, and no message but the answer to the first frame.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable

from ...errors import ProtocolError, QueueError
from ...wire import tls
from ...wire.framing import FrameProtocol
from ...wire.messages import Reply, decode_reply
from ...wire.opening import HANDSHAKE_S
from ...wire.reach.masters import Masters, Opened
from ...wire.reach.places import Place
from ...wire.records import FRAME_BYTES
from ...wire.stock import pickles
from .aside import aside

UNREAD_BYTES = FRAME_BYTES
"""While more bytes than this wait for the master to read them, requests wait, too. A master on a
busy machine may read nothing for seconds, and gets what a program or a worker has for it later."""
_GOODBYE_S = 1.0


class Stream(FrameProtocol):
    """One connection to the master.

    Args:
        received: is called with each message of the master.
        has_room: is called with whether the master reads, each time that this changes.
        place: where the master is.

    refusal: why the master ends the session, if it has said so. lost: the reason of the end.
    heard_at: when the last bytes have come, by the monotonic clock.
    """

    def __init__(
        self,
        received: Callable[[Reply], None],
        has_room: Callable[[bool], None],
        place: Place,
    ) -> None:
        super().__init__(2 * FRAME_BYTES)
        self._message_received, self._has_room = received, has_room
        self.place = place
        self.heard_at = time.monotonic()
        self.refusal = ""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def begin(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take over a socket whose handshake is done. context: how it is encrypted, if it is.

        Raises TlsError if the other side does not prove the key.
        """
        loop = asyncio.get_running_loop()
        if context is None:
            await loop.connect_accepted_socket(lambda: self, sock)
            return
        sock.setblocking(False)
        try:
            await loop.create_connection(
                lambda: self,
                sock=sock,
                ssl=context,
                server_hostname=tls.SERVER_NAME,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError as error:
            raise tls.meaning(error, self.place.label) from error

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_at = time.monotonic()
        super().buffer_updated(nbytes)

    def end(self, reason: str = "") -> None:
        """End the connection at once. reason: if this side has one."""
        if reason and not self.lost.done():
            self.lost.set_result(reason)
        if self.transport is not None:
            self.transport.abort()

    def frame_received(self, body: bytes) -> None:
        if body[:1] == b"\x80":  # the pickled answer to `accept_connection`
            kind, value = pickles.loads_reply(body)
            if kind != "#RETURN":
                self.refusal = f"the master refused the session: {value}"
                self.end()
            return
        self._message_received(decode_reply(body))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(UNREAD_BYTES)

    def pause_writing(self) -> None:
        self._has_room(False)

    def resume_writing(self) -> None:
        self._has_room(True)

    def oversized(self, size_bytes: int) -> None:
        raise ProtocolError(f"the master sent a frame of {size_bytes:,} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(str(exc) if exc else "the master closed the connection")


async def open_stream(
    masters: Masters, authkey: bytes, mode: tls.Mode, make: Callable[[Opened], Stream]
) -> Stream:
    """Connect to the active master, up to the first request.

    A master that does not prove the key is passed over if there is another one.

    make: makes the stream of a connection, before TLS begins.

    Raises as `Masters.open`.
    """
    while True:
        opened = await aside(masters.open, authkey, mode, undo=lambda made: made.close())
        try:
            stream = make(opened)
            await stream.begin(opened.sock, opened.context)
        except (QueueError, OSError) as error:
            opened.close()
            if not masters.useless(opened.place, error):
                raise
        except BaseException:
            opened.close()
            raise
        else:
            return stream

"""Frames of `multiprocessing.connection`: a length, then that many bytes; nothing of their meaning.

Source: `Connection._send_bytes` and `_recv_bytes` of CPython's `Lib/multiprocessing/connection.py`:
a signed 32-bit length in network order, or -1 and an unsigned 64-bit one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
import time
from typing import cast

_SHORT = struct.Struct("!i")
_LONG = struct.Struct("!iQ")
_SHORT_MAX = 0x7FFFFFFF
_WRITE_BUFFER_BYTES = 64 * 1024 * 1024
_READ_BYTES = 256 * 1024

KEEPALIVE_IDLE_S = 5
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_S = 10


def frame(body: bytes) -> bytes:
    """A body with its length in front, as one piece (two writes would wait for Nagle)."""
    if len(body) <= _SHORT_MAX:
        return _SHORT.pack(len(body)) + body
    return _LONG.pack(-1, len(body)) + body


def tune(sock: socket.socket) -> None:
    """Set what every connection of ours needs: no Nagle, and an end when the peer vanishes.

    Keepalive alone never fires while sent data is unacknowledged, hence TCP_USER_TIMEOUT.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_S * 1000),
    ):
        option = getattr(socket, name, None)  # not every system has each of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def acknowledge(sock: socket.socket) -> None:
    """Have the kernel send its ACK now.

    A stock client writes a message over 16 KiB, and its last word of the handshake with its
    request, in two parts. Its Nagle holds the second part back until the first is acknowledged.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _Inbox(threading.local):
    """Where a thread's loop reads to, for all its connections: each read is taken out at once.

    A buffer for each read, as plain protocols get it, costs 40 µs of page faults.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ_BYTES))


_inbox = _Inbox()


class FrameProtocol(asyncio.BufferedProtocol):
    """One connection that speaks frames; what they mean is a subclass's.

    max_bytes: a longer frame is read past and reported to `oversized`, so that the peer, which
    is still writing it, can be answered. in_a_row_s: so long its frames are received in a row, then
    others have their turn; a read may bring tens of thousands of small ones.
    """

    in_a_row_s = math.inf

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._skip = self._skip_bytes = 0
        self._holds = 0

    def frame_received(self, body: bytes) -> None:
        """A whole frame has come."""
        raise NotImplementedError

    def too_long(self, size_bytes: int) -> None:
        """A frame over the limit begins; whoever will not answer it closes here."""

    def is_late(self) -> bool:
        """Whether what came before is not dealt with yet, so nothing more may be received now."""
        return False

    def oversized(self, size_bytes: int) -> None:
        """A frame over the limit has been read past."""
        raise NotImplementedError

    def frame_started(self) -> None:
        """A part of a frame has come and the rest has not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send_frame(self, body: bytes) -> None:
        """Send one frame; a peer that does not read is cut off instead of filling memory."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(frame(body))
        if transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
            transport.abort()

    def hold(self) -> None:
        """No frame is received until `go_on` was called as often: the present one takes a while."""
        self._holds += 1
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def go_on(self) -> None:
        """The frames behind the one that took a while."""
        self._holds -= 1
        if self._holds == 0 and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        return _inbox.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(_inbox.view[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes have come."""
        buffer = self._buffer
        buffer += data
        until = time.monotonic() + self.in_a_row_s
        while not (self._holds or self._closing()):
            if buffer and self.is_late():
                self._go_on_later()
                return
            if self._skip and not self._read_past():
                return
            body = self._next_frame()
            if body is not None:
                self.frame_received(body)
                if buffer and time.monotonic() > until:
                    self._go_on_later()
                    return
            elif not self._skip:
                break
        if buffer and not (self._holds or self._closing()):
            self.frame_started()

    def _go_on_later(self) -> None:
        """Let others have their turn."""
        self.hold()
        asyncio.get_running_loop().call_soon(self._try_to_go_on)

    def _try_to_go_on(self) -> None:
        if self.is_late():
            asyncio.get_running_loop().call_soon(self._try_to_go_on)
        else:
            self.go_on()

    def _closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def _next_frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < _SHORT.size:
            return None
        (size,), offset = _SHORT.unpack_from(buffer), _SHORT.size
        if size < 0:
            if len(buffer) < _LONG.size:
                return None
            (_, size), offset = _LONG.unpack_from(buffer), _LONG.size
        if size > self.max_bytes:
            del buffer[:offset]
            self.too_long(size)
            self._skip = self._skip_bytes = size
            return None
        if len(buffer) < offset + size:
            return None
        body = bytes(memoryview(buffer)[offset : offset + size])
        del buffer[: offset + size]
        return body

    def _read_past(self) -> bool:
        passed = min(self._skip, len(self._buffer))
        del self._buffer[:passed]
        self._skip -= passed
        if not self._skip:
            self.oversized(self._skip_bytes)
        return not self._skip

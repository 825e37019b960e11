"""Frames of `multiprocessing.connection`: a length, then that many bytes.

This module knows nothing of what a frame means.

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
_READ_BYTES = 256 * 1024
_LATE_S = 0.001
"""How soon a connection looks again whether earlier work is done. A loop that looked in each of its
turns would take a whole processor while that work waits for a disk."""

KEEPALIVE_IDLE_S = 5
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_S = 10
"""How long the master's data may wait for a peer's kernel, or for a peer that reads nothing."""
CLIENT_UNACKNOWLEDGED_S = 20
"""The same for data on its way to the master, whose disk may be busy for some seconds."""


def frame(body: bytes) -> bytes:
    """Put the length in front of a body. It is one piece, because Nagle delays a second write."""
    if len(body) <= _SHORT_MAX:
        return _SHORT.pack(len(body)) + body
    return _LONG.pack(-1, len(body)) + body


def tune(sock: socket.socket, unacknowledged_s: int = UNACKNOWLEDGED_S) -> None:
    """Set the options of every connection: no Nagle, and an end when the peer vanishes.

    Keepalive does not fire while sent data is unacknowledged, so TCP_USER_TIMEOUT is set, too.
    Linux ends a connection by it also when the peer's kernel answers and has no room, because
    nobody reads (`tcp_probe_timer` in net/ipv4/tcp_timer.c).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", unacknowledged_s * 1000),
    ):
        option = getattr(socket, name, None)  # some systems lack some of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def acknowledge(sock: socket.socket) -> None:
    """Have the kernel send its ACK now.

    A stock client writes a message over 16 KiB in two parts. The last frame of its handshake and
    its request are two parts as well. Nagle holds the second part back until the ACK of the first.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _Inbox(threading.local):
    """The buffer into which a thread's loop reads for all its connections.

    Each read is copied out at once. A new buffer for each read, as asyncio's other protocols have
    it, costs 40 µs of page faults.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ_BYTES))


_inbox = _Inbox()


class FrameProtocol(asyncio.BufferedProtocol):
    """One connection that speaks frames. A subclass knows what they mean.

    max_bytes: a longer frame is read past, not kept, and `oversized` is called. So the peer, which
    is still writing it, can get an answer. in_a_row_s: after this time other connections have their
    turn, because one read may bring tens of thousands of small frames. most_unread_bytes: a peer
    that does not read is cut off when more than this waits for it.
    """

    in_a_row_s = math.inf
    most_unread_bytes = math.inf

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._skip = self._skip_bytes = 0
        self._holds = 0

    @property
    def part_bytes(self) -> int:
        """How many bytes of frames have come that were not received yet."""
        return len(self._buffer)

    def frame_received(self, body: bytes) -> None:
        """Act on a whole frame."""
        raise NotImplementedError

    def too_long(self, size_bytes: int) -> None:
        """A frame over the limit begins. A subclass that gives no answer closes the connection."""

    def is_late(self) -> bool:
        """Whether earlier work is still to be done, so that no more frames may be received now."""
        return False

    def oversized(self, size_bytes: int) -> None:
        """Act on a frame over the limit, which has been read past."""
        raise NotImplementedError

    def frame_started(self) -> None:
        """A part of a frame has come, and the rest is still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send_frame(self, body: bytes) -> None:
        """Send one frame. See `most_unread_bytes`."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(frame(body))
        if transport.get_write_buffer_size() > self.most_unread_bytes:
            transport.abort()

    def hold(self) -> None:
        """Receive no frame until `go_on` was called as often as `hold`."""
        self._holds += 1
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Undo one `hold`, and receive the frames that wait if it was the last."""
        self._holds -= 1
        if self._holds == 0 and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        return _inbox.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(_inbox.view[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take the bytes that have come, and receive the frames in them."""
        buffer = self._buffer
        buffer += data
        until = time.monotonic() + self.in_a_row_s
        while buffer and not (self._holds or self._closing()):
            if self.is_late():
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
        """Go on in the next turn of the loop, so that other connections have their turn."""
        self.hold()
        asyncio.get_running_loop().call_soon(self._try_to_go_on)

    def _try_to_go_on(self) -> None:
        """Go on, or look again: the earlier work may wait for a disk or a database."""
        if self.is_late():
            asyncio.get_running_loop().call_later(_LATE_S, self._try_to_go_on)
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

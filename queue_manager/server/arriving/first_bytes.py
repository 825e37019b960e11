"""Reads and writes on a connection that has no transport yet.

This module knows sockets and the first bytes of TLS. It does not know who is let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from ...wire import tls
from .client_hello import RECORD_HEADER_BYTES

CLIENT_HELLO = bytes([tls.CLIENT_HELLO])
_HELLO_LIMIT_BYTES = 16 * 1024  # the largest TLS record
_UNREAD_BYTES = 64 * 1024


async def first_bytes(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """Wait for one byte in clear, or for a whole ClientHello. The bytes stay in the kernel.

    The result is empty if the other side closes, or begins as TLS and goes on as something else.
    SO_RCVLOWAT makes the socket readable only when the ClientHello is whole. So an incomplete one
    takes no SSL object, which has 0.3 MiB with its buffers.
    """
    need = 1
    while True:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, need)
        await _readable(loop, sock)
        seen = sock.recv(need, socket.MSG_PEEK)
        if len(seen) < need:
            return b""
        if seen[:1] != CLIENT_HELLO or need > RECORD_HEADER_BYTES:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            return seen
        length = int.from_bytes(seen[3:5], "big")  # RFC 8446, 5.1
        if need == RECORD_HEADER_BYTES and (seen[1] != 3 or not 0 < length <= _HELLO_LIMIT_BYTES):
            return b""
        need = RECORD_HEADER_BYTES if need == 1 else RECORD_HEADER_BYTES + length


def close_with_alert(sock: socket.socket, alert: bytes) -> None:
    """Send a TLS alert that says why the connection ends, and close it."""
    with contextlib.suppress(OSError):
        sock.send(alert)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_UNREAD_BYTES)  # closing with unread bytes would send a reset, and lose the alert
    sock.close()


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

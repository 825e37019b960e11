"""The client's end of a connection, from the server's first frame to the first request.

The functions block, so an event loop calls them in a thread. The server speaks first. The client
never answers the server's challenge. It sends a ClientHello, or the frame that begins our own
proof. How a client gets there, of all places where the master may be, is in `reach`. This module
does not load `multiprocessing`, which would delay the start of a worker or a runner by some
milliseconds.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from ..errors import ConnectionLostError, ProtocolError, TlsError, WrongKeyError
from . import handshake, tls

if TYPE_CHECKING:
    import ssl

HANDSHAKE_S = 5.0


def agree(
    sock: socket.socket, frame: bytes, authkey: bytes, mode: tls.Mode, where: str
) -> ssl.SSLContext | None:
    """Prove the key in clear on a connection, or say how to encrypt it. It blocks.

    frame: the body of the server's first frame. where: the server, for people.

    Returns:
        The context to wrap the socket with. If it is None, the key is proved and the socket is
        ready for the first request.

    Raises:
        WrongKeyError: the other side refuses the key, or does not have it.
        TlsError: one side demands encryption, and the other can't or won't.
        ProtocolError: the other side is no master of ours.
        OSError: the other side is gone, or is silent for `HANDSHAKE_S` seconds.
    """
    sock.settimeout(HANDSHAKE_S)
    greeting = handshake.read_greeting(frame)
    if not tls.encrypts(mode, sock.getpeername()[0], greeting.encrypts):
        if not greeting.clear:
            what = "unset QUEUE_TLS here" if tls.has_psk() else tls.lacking()
            raise TlsError(f"{where} takes encrypted connections only (QUEUE_TLS=required): {what}")
        _prove(sock, handshake.stretched(authkey, greeting.salt).proof, frame, where)
        sock.settimeout(None)
        return None
    if not tls.has_psk():
        raise TlsError(tls.lacking())
    return tls.client_context(handshake.stretched(authkey, greeting.salt).psk, frame)


def _prove(sock: socket.socket, key: bytes, greeting: bytes, where: str) -> None:
    """Prove the key in clear. The server's proof is checked before ours is sent."""
    hello = handshake.new_hello()
    _send(sock, hello)
    if not handshake.is_proof(_receive(sock, where), key, "server", greeting, hello):
        _send(sock, handshake.FAILURE)  # for the server's log
        raise WrongKeyError(f"wrong authkey for {where}")
    _send(sock, handshake.proof(key, "client", greeting, hello))
    if _receive(sock, where) != handshake.WELCOME:
        raise WrongKeyError(f"wrong authkey for {where}")


def _send(sock: socket.socket, body: bytes) -> None:
    sock.sendall(len(body).to_bytes(4, "big") + body)


def _receive(sock: socket.socket, where: str) -> bytes:
    size = int.from_bytes(_receive_exactly(sock, 4, where), "big")
    if size > handshake.HANDSHAKE_BYTES:
        raise ProtocolError("the other side does not speak multiprocessing's handshake")
    return _receive_exactly(sock, size, where)


def _receive_exactly(sock: socket.socket, size: int, where: str) -> bytes:
    """Receive `size` bytes. All of them have to come within the socket's timeout."""
    parts = b""
    limit_s = sock.gettimeout()
    until = None if limit_s is None else time.monotonic() + limit_s
    while len(parts) < size:
        if until is not None and time.monotonic() > until:
            raise TimeoutError(f"{where} takes longer than {limit_s:g} s for a frame")
        part = sock.recv(size - len(parts))
        if not part:
            raise ConnectionLostError(f"{where} closed the connection during the handshake")
        parts += part
    return parts

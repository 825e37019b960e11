"""Our Listener and Client, registered behind `multiprocessing.managers.listener_client`.

They speak the standard library's frames and handshake, and add what it lacks: TCP_NODELAY,
keepalive, a real backlog, deadlines, a limit of size, and a restricted unpickler.
TLS enters here later: `Client` has read the challenge before it would send a ClientHello.
"""

from __future__ import annotations

import contextlib
import socket
from multiprocessing import connection, managers
from typing import Any

from . import handshake, pickles
from .errors import ConnectionLostError, ProtocolError, WrongKeyError
from .framing import tune
from .names import SERIALIZER
from .records import FRAME_BYTES

BACKLOG = 1_024
HANDSHAKE_S = 5.0
CONNECT_S = 5.0

Address = tuple[str, int]


class Connection(connection.Connection):
    """A stock connection whose `recv` builds plain data only, of bounded size."""

    def recv(self) -> Any:
        """Receive a manager's answer. Raises NotPlainDataError for what is not plain data."""
        return pickles.loads_reply(self.recv_bytes(FRAME_BYTES))


class Listener:
    """A bound socket that the server's loop accepts from; `accept` serves one stock connection."""

    def __init__(self, address: Address, family: str | None = None, backlog: int = BACKLOG) -> None:
        host, port = address
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # An empty host means all addresses; IPv4 first, as the tutorials' ('', 5000) does it.
        kind, _, _, _, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        self.socket = socket.socket(kind, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(where)
            self.socket.listen(max(backlog, BACKLOG))
        except OSError:
            self.socket.close()
            raise

    @property
    def address(self) -> Address:
        """Host and port that the socket is bound to."""
        host, port = self.socket.getsockname()[:2]
        return host, port

    def accept(self) -> Connection:
        """Accept one connection, not yet authenticated (as the stock listener does without key)."""
        accepted, _ = self.socket.accept()
        tune(accepted)
        return Connection(accepted.detach())

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def open_socket(address: Address, authkey: bytes) -> socket.socket:
    """Connect and authenticate; the socket is ready for the first request.

    Raises:
        WrongKeyError: the other side refused the key, or does not know it itself.
        OSError: it cannot be reached, or is silent for `HANDSHAKE_S` seconds.
    """
    sock = socket.create_connection(address, timeout=CONNECT_S)
    try:
        sock.settimeout(HANDSHAKE_S)
        tune(sock)
        _authenticate(sock, authkey, address)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock


def Client(address: Address, family: str | None = None, authkey: bytes | None = None) -> Connection:
    """Connect to a manager. Raises as `open_socket` does."""
    if authkey is None:
        raise WrongKeyError("an authkey is needed")
    return Connection(open_socket(address, authkey).detach())


def _authenticate(sock: socket.socket, authkey: bytes, address: Address) -> None:
    refused = f"wrong authkey for {address[0]}:{address[1]}"
    try:
        _send(sock, handshake.answer_to(authkey, _receive(sock)))
        if _receive(sock) != handshake.WELCOME:
            raise WrongKeyError(refused)
        challenge = handshake.new_challenge()
        _send(sock, handshake.CHALLENGE + challenge)
        if not handshake.is_answer(authkey, challenge, _receive(sock)):
            with contextlib.suppress(OSError):
                _send(sock, handshake.FAILURE)
            raise WrongKeyError(refused)
        _send(sock, handshake.WELCOME)
    except EOFError as error:
        raise ConnectionLostError(
            f"{address[0]}:{address[1]} closed the connection during the handshake"
        ) from error


def _send(sock: socket.socket, body: bytes) -> None:
    sock.sendall(len(body).to_bytes(4, "big") + body)


def _receive(sock: socket.socket) -> bytes:
    size = int.from_bytes(_receive_exactly(sock, 4), "big")
    if size > handshake.HANDSHAKE_BYTES:
        raise ProtocolError("the other side does not speak multiprocessing's handshake")
    return _receive_exactly(sock, size)


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


# The type that typeshed gives this table names the stock classes only.
managers.listener_client[SERIALIZER] = (Listener, Client)  # type: ignore[attr-defined]

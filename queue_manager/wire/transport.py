"""Our Listener and Client, registered behind `multiprocessing.managers.listener_client`.

They speak the standard library's frames, and add what it lacks: TCP_NODELAY, keepalive, a real
backlog, deadlines, a limit of size, a restricted unpickler, and TLS. The server speaks first; our
client never answers its challenge, but sends a ClientHello, or the frame that begins our own proof.
"""

from __future__ import annotations

import functools
import io
import select
import socket
import ssl
import time
from multiprocessing import connection, managers
from typing import Any

from ..errors import ConnectionLostError, ProtocolError, TlsError, WrongKeyError
from ..names import SERIALIZERS
from . import handshake, tls
from .framing import tune
from .records import FRAME_BYTES
from .stock import pickles

BACKLOG = 1_024
HANDSHAKE_S = 5.0
_PART_BYTES = 256 * 1024
MODES: tuple[tls.Mode, ...] = ("auto", "required", "off")
CONNECT_S = 5.0

Address = tuple[str, int]


class Connection(connection.Connection):
    """A stock connection whose `recv` builds plain data only, of bounded size."""

    def recv(self) -> Any:
        """Receive a manager's answer. Raises NotPlainDataError for what is not plain data."""
        return pickles.loads_reply(self.recv_bytes(FRAME_BYTES))


class SecureConnection(Connection):
    """The same over TLS: what the stock class does with a descriptor is done with the socket."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        super().__init__(sock.fileno())

    def _close(self, _close: Any = None) -> None:
        self._sock.close()

    def _send(self, buf: bytes, write: Any = None) -> None:
        self._sock.sendall(buf)

    def _recv(self, size: int, read: Any = None) -> io.BytesIO:
        received = io.BytesIO()
        while received.tell() < size:
            part = self._sock.recv(min(size - received.tell(), _PART_BYTES))
            if not part:
                if received.tell():
                    raise OSError("got end of file during message")
                raise EOFError
            received.write(part)
        return received

    def _poll(self, timeout: float | None) -> bool:
        # What was decrypted with the frame before is not seen by select.
        if self._sock.pending():
            return True
        waiting = select.poll()  # `select` fails on descriptors from 1,024 on
        waiting.register(self._sock, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))


class Listener:
    """A bound socket that the server's loop accepts from; `accept` serves one stock connection."""

    def __init__(self, address: Address, family: str | None = None, backlog: int = BACKLOG) -> None:
        host, port = address
        addresses = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # An empty host means all addresses; IPv4 first, as the tutorials' ('', 5000) does it.
        kind, _, _, _, where = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
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


def open_socket(
    address: Address, authkey: bytes, mode: tls.Mode = "auto"
) -> tuple[socket.socket, ssl.SSLContext | None]:
    """Connect; the socket is ready for the first request, or to be wrapped with the context.

    It blocks, for the connection and to stretch the key: not in an event loop.

    Raises:
        WrongKeyError: the other side refused the key, or does not know it itself.
        TlsError: one side demands encryption, and the other can't or won't.
        ProtocolError: the other side is no master of ours.
        OSError: it cannot be reached, or is silent for `HANDSHAKE_S` seconds.
    """
    sock = socket.create_connection(address, timeout=CONNECT_S)
    try:
        sock.settimeout(HANDSHAKE_S)
        tune(sock)
        context = _first_frames(sock, authkey, mode, f"{address[0]}:{address[1]}")
        if context is None:
            sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock, context


def _first_frames(
    sock: socket.socket, authkey: bytes, mode: tls.Mode, where: str
) -> ssl.SSLContext | None:
    """Read the greeting; prove the key in clear, or say with what to encrypt."""
    frame = _receive(sock, where)
    greeting = handshake.read_greeting(frame)
    if not tls.encrypts(mode, sock.getpeername()[0], greeting.encrypts):
        if not greeting.clear:
            what = "unset QUEUE_TLS here" if tls.has_psk() else tls.lacking()
            raise TlsError(f"{where} takes encrypted connections only (QUEUE_TLS=required): {what}")
        _prove(sock, handshake.stretched(authkey, greeting.salt).proof, frame, where)
        return None
    if not tls.has_psk():
        raise TlsError(tls.lacking())
    return tls.client_context(handshake.stretched(authkey, greeting.salt).psk, frame)


def connect(
    address: Address,
    family: str | None = None,
    authkey: bytes | None = None,
    *,
    mode: tls.Mode = "auto",
) -> Connection:
    """Connect to a manager. Raises as `open_socket` does."""
    if authkey is None:
        raise WrongKeyError("an authkey is needed")
    sock, context = open_socket(address, authkey, mode)
    if context is None:
        return Connection(sock.detach())
    try:
        secure = context.wrap_socket(sock)
    except OSError as error:
        sock.close()
        raise tls.meaning(error, f"{address[0]}:{address[1]}") from error
    secure.settimeout(None)
    return SecureConnection(secure)


def _prove(sock: socket.socket, key: bytes, greeting: bytes, where: str) -> None:
    """Our own proof: the server's is checked before ours is given."""
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
    """Receive so much within the socket's timeout, however slowly the bytes come."""
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


for _mode in MODES:
    # The type that typeshed gives this table names the stock classes only.
    managers.listener_client[SERIALIZERS[_mode]] = (  # type: ignore[attr-defined]
        Listener,
        functools.partial(connect, mode=_mode),
    )

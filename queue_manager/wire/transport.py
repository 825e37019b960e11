"""Our Listener and Client, registered behind `multiprocessing.managers.listener_client`.

They speak the standard library's frames, and add what it lacks: TCP_NODELAY, keepalive, a real
backlog, deadlines, a size limit, a restricted unpickler, and TLS. How a client opens a
connection is in `opening`.
"""

from __future__ import annotations

import functools
import io
import select
import socket
import ssl
from multiprocessing import connection, managers
from typing import Any

from ..addresses import Address
from ..errors import WrongKeyError
from ..names import SERIALIZERS
from . import tls
from .framing import tune
from .reach.masters import Masters
from .records import FRAME_BYTES
from .stock import pickles

BACKLOG = 1_024
_PART_BYTES = 256 * 1024
MODES: tuple[tls.Mode, ...] = ("auto", "required", "off")


class Connection(connection.Connection):
    """A stock connection whose `recv` returns plain data only, of bounded size."""

    def recv(self) -> Any:
        """Receive a manager's answer. Raises NotPlainDataError for what is not plain data."""
        return pickles.loads_reply(self.recv_bytes(FRAME_BYTES))


class SecureConnection(Connection):
    """The same over TLS. It uses the socket where the stock class uses the descriptor."""

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
        # poll does not see bytes that were decrypted together with the frame before.
        if self._sock.pending():
            return True
        waiting = select.poll()  # `select` fails on descriptors from 1,024 on
        waiting.register(self._sock, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))


class Listener:
    """A bound socket. The server's loop accepts from it; `accept` is for the stock server.

    taken: the number of a socket that listens already, which this process has inherited. It is in
    the place of the address.
    """

    def __init__(
        self,
        address: Address,
        family: str | None = None,
        backlog: int = BACKLOG,
        *,
        taken: int | None = None,
    ) -> None:
        if taken is not None:
            self.socket = socket.socket(fileno=taken)
            self.socket.set_inheritable(False)
            return
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
        """Accept one connection without a handshake, as the stock listener does without a key."""
        accepted, _ = self.socket.accept()
        tune(accepted)
        return Connection(accepted.detach())

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def connect(
    address: Address,
    family: str | None = None,
    authkey: bytes | None = None,
    *,
    mode: tls.Mode = "auto",
) -> Connection:
    """Connect to a manager. Of a host with several addresses it takes the active master.

    Raises as `Masters.open` does.
    """
    if authkey is None:
        raise WrongKeyError("an authkey is needed")
    opened = Masters([address]).open(authkey, mode)
    if opened.context is None:
        return Connection(opened.sock.detach())
    try:
        secure = opened.context.wrap_socket(opened.sock)
    except OSError as error:
        opened.close()
        raise tls.meaning(error, opened.place.label) from error
    secure.settimeout(None)
    return SecureConnection(secure)


for _mode in MODES:
    # The type that typeshed gives this table names the stock classes only.
    managers.listener_client[SERIALIZERS[_mode]] = (  # type: ignore[attr-defined]
        Listener,
        functools.partial(connect, mode=_mode),
    )

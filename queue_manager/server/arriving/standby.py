"""What a master that stands by tells everybody who connects to its port: that it stands by.

This module owns the listening socket until the master becomes the active one. It reads nothing of
what a stranger sends, and keeps no connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from ...addresses import Address
from ...wire import handshake
from ...wire.framing import frame
from ...wire.transport import Listener

_ANSWER = frame(handshake.STANDS_BY)
_AT_ONCE = 64
_PAUSE_S = 0.2
_UNREAD_BYTES = 4096


class Standby:
    """Answers each connection with `handshake.STANDS_BY` and closes it, in the running loop.

    A client of the standard library fails at once, with these words in its error. Ours asks another
    master. No call here waits for a client.

    Args:
        address: host and port to listen on. Port 0 takes a free one, and `address` has it then.
        listening: the number of a socket that listens already, in the place of the address.

    Attributes:
        answered: how many connections were answered.

    Raises OSError if the address can't be listened on.
    """

    def __init__(self, address: Address, listening: int | None = None) -> None:
        self._listener = Listener(address, taken=listening)
        self._socket = self._listener.socket
        self._socket.setblocking(False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pausing: asyncio.TimerHandle | None = None
        self.address = self._listener.address
        self.answered = 0

    def start(self) -> None:
        """Begin to answer, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._accept, self._loop)

    def hand_on(self) -> int:
        """Answer nobody any more. Returns the number of the socket, which still listens.

        Whoever connects meanwhile waits in its backlog, for the server that takes the socket. An
        `exec` closes it, unless it is made inheritable.
        """
        self._leave()
        return self._socket.detach()

    def close(self) -> None:
        """Stop listening. After `hand_on` it does nothing."""
        self._leave()
        self._listener.close()

    def _leave(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = self._pausing = None

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError:  # out of file descriptors: the socket stays readable
                loop.remove_reader(self._socket.fileno())
                self._pausing = loop.call_later(_PAUSE_S, self.start)
                return
            self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.setblocking(False)
            sock.send(_ANSWER)  # a new connection has room for it
            self.answered += 1
            sock.shutdown(socket.SHUT_WR)
            # Who has sent something already would get a reset in the place of the answer.
            sock.recv(_UNREAD_BYTES)

"""A proxy before a server, which can fall silent: it forwards nothing then, and closes nothing."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Proxy:
    """Forwards connections on `port` of loopback to another port, in a thread, until `end`.

    accepted: how many connections there were, also those that the server did not take.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.accepted = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._open: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._abandoned: set[socket.socket] = set()
        self._speaks, self._ended = threading.Event(), threading.Event()
        self._speaks.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def fall_silent(self) -> None:
        """Forward nothing from now on. New connections come about, and hear nothing."""
        self._speaks.clear()

    def speak(self) -> None:
        """Forward again, also what has come meanwhile."""
        self._speaks.set()

    def cut(self) -> None:
        """Close all connections. New ones are forwarded."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close the ends of the clients alone: the server's ends stay open, and hear nothing."""
        for one, other in list(self._pairs.items()):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            self._abandoned |= {one, other}

    def end(self) -> None:
        """Close everything."""
        self._ended.set()
        self._speaks.set()
        self._thread.join(10)
        for sock in [*self._open, self._server]:
            sock.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._speaks.wait()
            for key, _ in self._selector.select(0.02):
                if not self._speaks.is_set():
                    break
                if key.data is None:
                    self._accept()
                else:
                    self._forward(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._server.accept()
        self.accepted += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:  # the server is away
            client.close()
            return
        self._pairs[client] = server
        for one, other in ((client, server), (server, client)):
            self._open.add(one)
            self._selector.register(one, selectors.EVENT_READ, other)

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        try:
            data = one.recv(1 << 16)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for sock in (one, other):
            if sock in self._abandoned:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(sock)
            elif sock in self._open:
                self._selector.unregister(sock)
                self._open.discard(sock)
                sock.close()

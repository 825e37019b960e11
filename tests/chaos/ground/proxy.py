"""A TCP proxy between one worker and the master that can fail in the ways of a network.

Each worker has its own, at a port that never changes; where the master listens may.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

CHUNK = 64 * 1024
WAIT_S = 0.1
SLOW_BYTES, SLOW_S = 512, 0.05
_RESET = struct.pack("ii", 1, 0)
WAYS = ("up", "down")
"""up: from the worker to the master."""


class Pair:
    """One connection of a worker and the one that was made for it."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.over = threading.Event()

    def close(self, *, reset: bool = False) -> None:
        """End both sides, in good order or not."""
        self.over.set()
        for sock in (self.near, self.far):
            end(sock, reset=reset)


class Proxy:
    """Listens for one worker; `target` tells the master's port of the moment."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._open = {way: threading.Event() for way in WAYS}
        self._slow = self._tear = False
        self._pairs: list[Pair] = []
        self._deserted: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.heal()
        threading.Thread(target=self._accept, daemon=True).start()

    # --- faults ---

    def cut(self, *ways: str) -> None:
        """Nothing gets through in these directions; what was sent waits, as TCP would resend it."""
        for way in ways:
            self._open[way].clear()

    def slow(self) -> None:
        """Pass on a few bytes at a time."""
        self._slow = True

    def tear(self) -> None:
        """Pass on half of the next piece, then reset both sides: a frame is left unfinished."""
        self._tear = True

    def reset(self) -> None:
        """Reset all connections now."""
        for pair in self._all():
            pair.close(reset=True)

    def desert(self) -> None:
        """The worker's side is reset, the master's stays open and silent: a half-open one."""
        for pair in self._all():
            pair.over.set()
            end(pair.near, reset=True)
            self._deserted.append(pair.far)

    def heal(self) -> None:
        """As if nothing had been."""
        self._slow = self._tear = False
        for way in WAYS:
            self._open[way].set()
        while self._deserted:
            end(self._deserted.pop())

    def close(self) -> None:
        """The end of it and of all connections."""
        self.heal()
        end(self._listener)
        for pair in self._all():
            pair.close()

    # --- what it does otherwise ---

    def _all(self) -> list[Pair]:
        with self._lock:
            self._pairs = [pair for pair in self._pairs if not pair.over.is_set()]
            return list(self._pairs)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        for way in WAYS:
            self._open[way].wait()
        try:
            far = socket.create_connection(("127.0.0.1", self._target()), timeout=5.0)
        except OSError:
            end(near, reset=True)
            return
        far.settimeout(None)
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(near, far)
        with self._lock:
            self._pairs.append(pair)
        threading.Thread(target=self._pump, args=(pair, near, far, "up"), daemon=True).start()
        self._pump(pair, far, near, "down")

    def _pump(self, pair: Pair, source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while not pair.over.is_set():
                # Never blocked in recv: a socket that a system call holds can't be reset.
                if not select.select([source], [], [], WAIT_S)[0]:
                    continue
                data = source.recv(CHUNK)
                self._open[way].wait()  # the end of a connection does not get through a cut either
                if pair.over.is_set():
                    return
                if not data:
                    break
                self._pass_on(pair, sink, data)
        except (OSError, ValueError):  # ValueError: closed by another thread
            self._open[way].wait()
        if not pair.over.is_set():
            pair.close()

    def _pass_on(self, pair: Pair, sink: socket.socket, data: bytes) -> None:
        if self._tear and len(data) > 1:
            self._tear = False
            sink.sendall(data[: len(data) // 2])
            pair.close(reset=True)
            return
        while self._slow and data and not pair.over.is_set():
            sink.sendall(data[:SLOW_BYTES])
            data = data[SLOW_BYTES:]
            time.sleep(SLOW_S)
        sink.sendall(data)


def end(sock: socket.socket, *, reset: bool = False) -> None:
    """Close a socket that another thread may be using."""
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()

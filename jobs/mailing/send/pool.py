"""Connections that are kept between messages, at most so many to one server by all workers.

A connection needs a permit: the lock of a file on the disk that the workers share. The kernel gives
it back when its process dies. Whoever waits for a permit shows it by a lock, too, and idle
connections of others end then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .connection import Connection
from .errors import NotSent
from .servers import Server

IDLE_S = 5.0
"""How long a connection is kept without a message, if nobody waits for its permit."""

TURN_S = 1.0
"""How long a connection may be used while others wait for its permit."""

MOST_MESSAGES = 1000
_LOOK_S = 0.02
_PATIENCE_S = 120.0


class Pool:
    """The connections of this process to the servers of one folder.

    Args:
        folder: where the permits are.
        at_once: the most connections to one server, by all processes with this folder.
        open_one: opens a connection to a server.
    """

    def __init__(
        self, folder: Path, at_once: int, open_one: Callable[[Server], Connection]
    ) -> None:
        self._folder, self._at_once, self._open = folder, at_once, open_one
        self._lock = threading.Lock()
        self._idle: defaultdict[Server, list[tuple[Connection, IO[Any]]]] = defaultdict(list)
        self._tender: threading.Thread | None = None

    @contextlib.contextmanager
    def connection(self, server: Server, *, fresh: bool = False) -> Iterator[Connection]:
        """A connection for one message, kept behind it where it is still good.

        fresh: a new one: the kept one was closed by its server.

        Raises:
            NotSent: all connections to the server were in use for long.
            Unusable: it can't be opened.
        """
        connection, permit = self._take(server, fresh)
        try:
            yield connection
        except BaseException:
            self._give(server, connection, permit)
            raise
        self._give(server, connection, permit)

    def close(self) -> None:
        """End all kept connections in good order."""
        with self._lock:
            kept = [pair for pairs in self._idle.values() for pair in pairs]
            self._idle.clear()
        for connection, permit in kept:
            _end(connection, permit)

    def _take(self, server: Server, fresh: bool) -> tuple[Connection, IO[Any]]:
        deadline, shown = time.monotonic() + _PATIENCE_S, False
        with contextlib.ExitStack() as waiting:
            while True:
                if kept := self._kept(server):
                    if not fresh and kept[0].is_open:
                        return kept
                    _end(*kept)
                if permit := self._permit(server):
                    return self._opened(server, permit), permit
                if time.monotonic() > deadline:
                    raise NotSent(f"{server}: all {self._at_once} connections are in use")
                if not shown:
                    waiting.enter_context(locked(self._waiting(server), fcntl.LOCK_SH))
                    shown = True
                time.sleep(_LOOK_S)

    def _opened(self, server: Server, permit: IO[Any]) -> Connection:
        try:
            return self._open(server)
        except BaseException:
            permit.close()
            raise

    def _kept(self, server: Server) -> tuple[Connection, IO[Any]] | None:
        with self._lock:
            pairs = self._idle[server]
            return pairs.pop() if pairs else None

    def _permit(self, server: Server) -> IO[Any] | None:
        for number in range(self._at_once):
            if permit := _try_lock(self.place(server) / f"permit-{number + 1}"):
                return permit
        return None

    def _give(self, server: Server, connection: Connection, permit: IO[Any]) -> None:
        used_s = time.monotonic() - connection.opened_at
        worn = connection.messages >= MOST_MESSAGES
        if worn or not connection.is_open or (used_s > TURN_S and self._others_wait(server)):
            _end(connection, permit)
            return
        with self._lock:
            self._idle[server].append((connection, permit))
            if self._tender is None:
                self._tender = threading.Thread(target=self._tend, daemon=True)
                self._tender.start()

    def _tend(self) -> None:
        """End connections that nobody needs, until there are none."""
        while True:
            time.sleep(0.1)
            with self._lock:
                servers = [server for server, pairs in self._idle.items() if pairs]
                if not servers:
                    self._tender = None
                    return
            for server in servers:
                self._end_idle(server, self._others_wait(server))

    def _end_idle(self, server: Server, wanted: bool) -> None:
        now = time.monotonic()
        with self._lock:
            pairs = self._idle[server]
            over = [pair for pair in pairs if wanted or now - pair[0].used_at > IDLE_S]
            self._idle[server] = [pair for pair in pairs if pair not in over]
        for pair in over:
            _end(*pair)

    def _others_wait(self, server: Server) -> bool:
        probe = _try_lock(self._waiting(server))
        if probe is None:
            return True
        probe.close()
        return False

    def _waiting(self, server: Server) -> Path:
        return self.place(server) / "waiting"

    def place(self, server: Server) -> Path:
        """The folder of what processes share about a server."""
        place = self._folder / str(server).replace(":", "_")
        if not place.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        return place


def _end(connection: Connection, permit: IO[Any]) -> None:
    connection.close(in_order=True)
    permit.close()


def _try_lock(path: Path) -> IO[Any] | None:
    file = open(path, "ab")  # noqa: SIM115 - its lock is held until it is closed
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)

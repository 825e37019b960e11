"""Passes the output of slots on to the worker's own stdout and stderr.

A reader that is slow, or does not read at all, never holds up the supervisor: lines without room
are dropped and counted. This module also keeps the end of each slot's output, as evidence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from typing import IO, NamedTuple

from ...ipc.shared_page import ERR, TAIL_BYTES

BUFFER_BYTES = 256 * 1024
LINE_BYTES = 8 * 1024
"""A line longer than this is passed on in pieces."""

_READ_BYTES = 32 * 1024
_LAST_READS = 64  # a process that a dead slot has left behind may write for ever


class Relay:
    """Writes to a descriptor from a thread of its own, so that `write` never waits."""

    def __init__(self, descriptor: int, limit_bytes: int = BUFFER_BYTES) -> None:
        self._descriptor, self._limit_bytes = descriptor, limit_bytes
        self._waiting: list[bytes] = []
        self._size_bytes = self._dropped = 0
        self._busy = False
        self._change = threading.Condition()
        threading.Thread(target=self._run, name="quartermaster-output", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Pass this on soon. Without room, drop and count it."""
        with self._change:
            if self._dropped or self._size_bytes + len(data) > self._limit_bytes:
                self._dropped += max(1, data.count(b"\n"))
            else:
                self._waiting.append(data)
                self._size_bytes += len(data)
            self._change.notify_all()

    def drain(self, wait_s: float) -> None:
        """Wait until all is written, at most `wait_s`."""
        until = time.monotonic() + wait_s
        with self._change:
            while self._waiting or self._dropped or self._busy:
                if not self._change.wait(max(0.0, until - time.monotonic())):
                    return

    def _run(self) -> None:
        while True:
            with self._change:
                self._busy = False
                self._change.notify_all()
                while not (self._waiting or self._dropped):
                    self._change.wait()
                data, dropped = b"".join(self._waiting), self._dropped
                self._waiting.clear()
                self._size_bytes = self._dropped = 0
                self._busy = True
            if dropped:
                data += b"(%d line(s) dropped: nobody read the worker's output)\n" % dropped
            with contextlib.suppress(OSError):  # nobody reads it any more
                self._write(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # another process has made the shared descriptor non-blocking
                select.select([], [self._descriptor], [], 1.0)


class Relays(NamedTuple):
    """The worker's own stdout and stderr."""

    out: Relay
    err: Relay

    @classmethod
    def standard(cls) -> Relays:
        """Make the relays for this process's stdout and stderr."""
        return cls(Relay(1), Relay(2))

    def drain(self, wait_s: float) -> None:
        """Wait until all is written, at most `wait_s`."""
        self.err.drain(wait_s)
        self.out.drain(wait_s)


class RelayHandler(logging.Handler):
    """Passes log lines on through a relay, so that they do not hold up the supervisor either."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one line on."""
        try:
            self._relay.write(f"{self.format(record)}\n".encode("utf-8", "replace"))
        except Exception:
            self.handleError(record)


class OutputTail:
    """The end of what one slot printed, and how many bytes it printed in all."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, int, bytes]] = deque()
        self._size_bytes = 0
        self._totals = [0, 0]
        self._errors = b""

    def add(self, stream: int, data: bytes) -> None:
        """Add output that came through one of the two pipes."""
        self._totals[stream] += len(data)
        end = data[-TAIL_BYTES:]
        self._chunks.append((stream, self._totals[stream] - len(end), end))
        self._size_bytes += len(end)
        while self._size_bytes - len(self._chunks[0][2]) >= TAIL_BYTES:
            self._size_bytes -= len(self._chunks.popleft()[2])
        if stream == ERR:
            self._errors = (self._errors + end)[-TAIL_BYTES:]

    @property
    def errors(self) -> str:
        """The end of stderr."""
        return self._errors.decode("utf-8", "replace").strip()

    def errors_since(self, start: int) -> str:
        """The end of stderr, from the offset `start` on."""
        size_bytes = max(0, self._totals[ERR] - start)
        return (
            self._errors[len(self._errors) - min(size_bytes, len(self._errors)) :]
            .decode("utf-8", "replace")
            .strip()
        )

    def since(self, starts: tuple[int, int]) -> str:
        """The end of both streams together, each from its offset in `starts` on."""
        data = b"".join(
            data[max(0, starts[stream] - offset) :] for stream, offset, data in self._chunks
        )
        return data[-TAIL_BYTES:].decode("utf-8", "replace")


class Stream:
    """One of a slot's two pipes. It passes on whole lines, so that the lines of both do not mix.

    An unbuffered `print` makes four writes, and the other pipe may be read in between.
    """

    def __init__(self, pipe: IO[bytes], stream: int, relay: Relay, tail: OutputTail) -> None:
        self._pipe, self._stream, self._relay, self._tail = pipe, stream, relay, tail
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe, self.read)

    def read(self) -> bool:
        """Read once, so that a slot that prints without end does not hold up the loop."""
        if self._pipe.closed:
            return False
        try:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._pipe)
            return False
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > LINE_BYTES:
            whole, newline, self._rest = whole + newline + self._rest, b"", b""
        if whole or newline:
            self._pass_on(whole + newline)
        return True

    def _pass_on(self, lines: bytes) -> None:
        self._tail.add(self._stream, lines)
        self._relay.write(lines)

    def close(self) -> None:
        """Read the rest of the pipe after the slot's end, and close it."""
        for _ in range(_LAST_READS):
            if not self.read():
                break
        self._loop.remove_reader(self._pipe)
        self._pipe.close()
        if self._rest:
            self._tail.add(self._stream, self._rest)
            self._relay.write(self._rest + b"\n")

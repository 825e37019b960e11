"""The supervisor's end of the pipe to one slot: leases go out, reports come in.

This module owns the unsent bytes and the frames that came in part. It does not know what a report
means, or what becomes of a slot whose pipe is broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec

from ...ipc.pipe import Cancel, Frames, Give, Report, decode_report, frame

_GARBLED = "something else than reports came through its pipe to the worker"
_READ_BYTES = 32 * 1024  # a larger buffer costs page faults at each read


class SlotPipe:
    """A socket. The slot has its other end.

    Args:
        sock: our end, non-blocking.
        on_report: is called with each report.
        on_closed: is called when the other end was closed.
        on_broken: is called with a reason when something comes that is no report.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_report: Callable[[Report], None],
        on_closed: Callable[[], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._sock, self._on_report = sock, on_report
        self._on_closed, self._on_broken = on_closed, on_broken
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._unsent = bytearray()
        self._loop.add_reader(sock, self.read)

    def send(self, order: Give | Cancel) -> None:
        """Send an order behind all earlier ones, as soon as there is room."""
        self._unsent += frame(order)
        self._write()

    def _write(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:  # the slot has died: its end is noticed elsewhere
            sent = len(self._unsent)
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._sock, self._write)
        else:
            self._loop.remove_writer(self._sock)

    def read(self, *, to_end: bool = False) -> None:
        """Read what is there. to_end: read all of it, because the loop will not call again."""
        while True:
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._sock)
                self._on_closed()
                return
            self.take_in(data)
            if len(data) < _READ_BYTES and not to_end:
                return  # the loop calls again if there is more

    def take_in(self, data: bytes) -> None:
        """Handle each report by itself. If one can't be read, the others still count."""
        for body in self._frames.feed(data):
            try:
                report = decode_report(body)
            except msgspec.MsgspecError as error:
                self._on_broken(f"{_GARBLED}: {error}")
            else:
                self._on_report(report)
        if self._frames.garbled:
            self._on_broken(_GARBLED)

    def end_writing(self) -> None:
        """Send the slot nothing more. It ends when it has nothing to do."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the pipe after the slot's end."""
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        # The callbacks lead back to the slot. Without that cycle its shared memory is freed at
        # once.
        self._on_report = self._on_closed = self._on_broken = _nothing


def _nothing(*_: object) -> None:
    pass

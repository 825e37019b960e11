"""The messages between a supervisor and a slot, and their framing.

A frame is a mark and a length of four bytes each, then MessagePack. A task may write to the
descriptor by mistake; the mark tells a report from that. The slot makes outcomes in the form that
the master takes, so the supervisor forwards them unchanged.
"""

from __future__ import annotations

import os
import socket
from collections import deque

import msgspec

from queue_manager.wire.records import Lease, Outcome

_MARK = b"\xc1QM\xc1"  # no MessagePack and no UTF-8 has this byte
_HEAD_BYTES = len(_MARK) + 4
_LIMIT_BYTES = 256 * 1024 * 1024  # far above any message: a longer frame would never be complete
_READ_BYTES = 32 * 1024  # a larger buffer costs page faults at each read

BROKEN = 74
"""Exit code of a slot whose pipe a task has closed. It can't report any more (EX_IOERR)."""

STRAY = 70
"""Exit code of a forked copy of a slot. `work` has returned in the copy, too."""


class Give(msgspec.Struct, frozen=True, array_like=True, tag="give"):
    """From the supervisor: run this lease.

    row: its row on the shared page. version: the version of the job's code on disk now. max_bytes:
    the most bytes of one result. alone: tasks run one at a time, also in an async slot. folder: the
    folder of jobs, if it is not the slot's own. environment: the folder of the environment that the
    job asks for; empty for none.
    """

    lease: Lease
    row: int
    version: str
    max_bytes: int
    alone: bool = False
    folder: str = ""
    environment: str = ""


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """From the supervisor to an async slot: cancel these tasks of a lease."""

    lease: int
    ranges: list[tuple[int, int]]


class Report(msgspec.Struct, frozen=True, array_like=True):
    """From a slot: outcomes of one lease.

    finished: no more reports of this lease come. leaving: the slot ends itself now, and its
    successor gets the leases that it still holds. concurrency: how many tasks it can run at a time.
    """

    lease: int
    outcomes: list[Outcome]
    finished: bool = False
    leaving: bool = False
    concurrency: int = 1


_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Give | Cancel] = msgspec.msgpack.Decoder(Give | Cancel)
_reports = msgspec.msgpack.Decoder(Report)


def frame(message: Give | Cancel | Report) -> bytes:
    """Encode a message as a frame."""
    body = _encoder.encode(message)
    return _MARK + len(body).to_bytes(4, "big") + body


class Frames:
    """Cuts a stream of bytes into the bodies of its frames.

    garbled: something that is no frame has come. Nothing behind it can be read.
    """

    def __init__(self) -> None:
        self.garbled = False
        self._rest = bytearray()

    @property
    def rest(self) -> bytes:
        """The beginning of a frame that is not complete."""
        return bytes(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes. Returns the bodies that are complete now."""
        rest = self._rest
        rest += data
        bodies: list[bytes] = []
        at = 0
        while not self.garbled and len(rest) - at >= _HEAD_BYTES:
            size_at, body_at = at + len(_MARK), at + _HEAD_BYTES
            size_bytes = int.from_bytes(rest[size_at:body_at], "big")
            self.garbled = rest[at:size_at] != _MARK or size_bytes > _LIMIT_BYTES
            stop = body_at + size_bytes
            if self.garbled or len(rest) < stop:
                break
            bodies.append(bytes(rest[body_at:stop]))
            at = stop
        del rest[:at]
        return bodies


def decode_report(body: bytes) -> Report:
    """Decode what a slot sent.

    Raises:
        msgspec.MsgspecError: the body is no report.
    """
    return _reports.decode(body)


class SlotEnd:
    """The slot's end of the pipe. It has one reader, and writers that take turns."""

    def __init__(self, sock: socket.socket, before: bytes = b"") -> None:
        """before: what was read from the pipe before this process had it (`unread`)."""
        self.sock = sock
        self._is = _identity(sock.fileno())
        self._frames = Frames()
        self._waiting: deque[Give | Cancel] = deque()
        self._pid = os.getpid()
        self._feed(before)

    def receive(self) -> Give | None:
        """Wait for the next lease. None: the supervisor has closed the pipe."""
        while True:
            while not self._waiting:
                if not self.read():
                    return None
            order = self._waiting.popleft()
            if isinstance(order, Give):  # a cancellation comes too late for a lease that has ended
                return order

    def read(self) -> bool:
        """Wait for orders and read them. False: the pipe was closed."""
        data = self.sock.recv(_READ_BYTES)
        self._feed(data)
        return bool(data)

    def _feed(self, data: bytes) -> None:
        self._waiting.extend(_orders.decode(body) for body in self._frames.feed(data))

    def unread(self, give: Give) -> bytes:
        """An order that was received, and all that was read behind it, as it came."""
        orders = [give, *self._waiting]
        return b"".join(map(frame, orders)) + self._frames.rest

    def taken(self) -> list[Give | Cancel]:
        """Take all orders that were read and not yet received."""
        orders = list(self._waiting)
        self._waiting.clear()
        return orders

    def send(self, *reports: Report) -> None:
        """Send reports, in one piece."""
        if os.getpid() != self._pid:
            os._exit(STRAY)
        if reports:
            try:
                self.sock.sendall(b"".join(map(frame, reports)))
            except OSError:
                self._break()

    def check(self) -> None:
        """End this process if a task has closed or replaced the pipe."""
        try:
            whole = _identity(self.sock.fileno()) == self._is
        except OSError:
            whole = False
        if not whole:
            self._break()

    @staticmethod
    def _break() -> None:
        """End the process at once, from any thread, because it can't report any more."""
        os._exit(BROKEN)


def _identity(descriptor: int) -> tuple[int, int]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino

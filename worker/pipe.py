"""What the supervisor and a slot say to each other, and how it is framed.

Owns the shape of these messages: a length of four bytes, then MessagePack. Outcomes are made in
the slot as the master takes them, so the supervisor forwards them without a look inside.
"""

from __future__ import annotations

import os
import socket
from collections import deque

import msgspec

from queue_manager.records import Lease, Outcome

_HEAD_BYTES = 4
_READ_BYTES = 32 * 1024  # a larger buffer costs page faults at each read


class Give(msgspec.Struct, frozen=True, array_like=True, tag="give"):
    """From the supervisor: run this lease.

    page: its place on the board. version: of the job's code as it is on disk now.
    max_bytes: of one result. alone: one task at a time, also in an async slot. folder: of the jobs,
    if not the slot's own.
    """

    lease: Lease
    page: int
    version: str
    max_bytes: int
    alone: bool = False
    folder: str = ""


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """From the supervisor to an async slot: let go of these tasks of a lease."""

    lease: int
    ranges: list[tuple[int, int]]


class Report(msgspec.Struct, frozen=True, array_like=True):
    """From a slot: outcomes of one lease.

    over: nothing more comes of this lease. leaving: the slot ends itself now, and what it still
    holds belongs to its successor. concurrency: tasks that it can have in flight.
    """

    lease: int
    outcomes: list[Outcome]
    over: bool = False
    leaving: bool = False
    concurrency: int = 1


_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Give | Cancel] = msgspec.msgpack.Decoder(Give | Cancel)
_reports = msgspec.msgpack.Decoder(Report)


def frame(message: Give | Cancel | Report) -> bytes:
    """A message as it travels."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; the bodies that are complete now."""
        rest = self._rest
        rest += data
        bodies: list[bytes] = []
        at = 0
        while len(rest) - at >= _HEAD_BYTES:
            stop = at + _HEAD_BYTES + int.from_bytes(rest[at : at + _HEAD_BYTES], "big")
            if len(rest) < stop:
                break
            bodies.append(bytes(rest[at + _HEAD_BYTES : stop]))
            at = stop
        del rest[:at]
        return bodies


def decode_report(body: bytes) -> Report:
    """Decode what a slot sent."""
    return _reports.decode(body)


class SlotEnd:
    """The slot's end of the pipe: one reader, and writers that take turns."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames = Frames()
        self._waiting: deque[Give | Cancel] = deque()
        self._pid = os.getpid()

    def receive(self) -> Give | None:
        """Wait for the next lease; None when the supervisor has closed the pipe."""
        while True:
            while not self._waiting:
                if not self.read():
                    return None
            order = self._waiting.popleft()
            if isinstance(order, Give):  # what else there is comes too late for a lease that ended
                return order

    def read(self) -> bool:
        """Read what is there, waiting for something; False when the pipe was closed."""
        data = self.sock.recv(_READ_BYTES)
        self._waiting.extend(_orders.decode(body) for body in self._frames.feed(data))
        return bool(data)

    def taken(self) -> list[Give | Cancel]:
        """All that was read and not yet received."""
        orders = list(self._waiting)
        self._waiting.clear()
        return orders

    def send(self, *reports: Report) -> None:
        """Send reports, in one piece."""
        if os.getpid() != self._pid:  # a fork of the user's came back out of `work`
            os._exit(70)
        if reports:
            self.sock.sendall(b"".join(map(frame, reports)))

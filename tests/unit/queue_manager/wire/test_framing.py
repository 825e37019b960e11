"""Frames: the standard library's own, in any pieces, of bounded size."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from multiprocessing.connection import Connection
from typing import Any

import pytest

from queue_manager.wire import framing
from queue_manager.wire.framing import FrameProtocol, frame, tune


class FakeTransport:
    """A transport that remembers what was written and how it was closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written))

    def abort(self) -> None:
        self.closing = self.aborted = True


class Reader(FrameProtocol):
    """Keeps what comes."""

    def __init__(self, max_bytes: int = 1_000) -> None:
        super().__init__(max_bytes)
        self.frames: list[bytes] = []
        self.past: list[int] = []
        self.announced: list[int] = []
        self.starts = 0
        self.fake: Any = FakeTransport()
        self.connection_made(self.fake)

    def frame_received(self, body: bytes) -> None:
        self.frames.append(body)

    def too_long(self, size_bytes: int) -> None:
        self.announced.append(size_bytes)

    def oversized(self, size_bytes: int) -> None:
        self.past.append(size_bytes)

    def frame_started(self) -> None:
        self.starts += 1


@pytest.mark.parametrize("size", [0, 1, 16_384, 17_000, 60_000])
def test_the_standard_library_reads_our_frames(size: int) -> None:
    ours, theirs = socket.socketpair()
    body = os.urandom(size)
    with ours, Connection(theirs.detach()) as connection:
        ours.sendall(frame(body))
        assert connection.recv_bytes() == body


@pytest.mark.parametrize("size", [0, 1, 16_385, 30_000])
def test_we_read_the_standard_librarys_frames(size: int) -> None:
    ours, theirs = socket.socketpair()
    body, reader = os.urandom(size), Reader(max_bytes=100_000)
    with ours, Connection(theirs.detach()) as connection:
        connection.send_bytes(body)
        while not reader.frames:
            reader.data_received(ours.recv(7_000))
    assert reader.frames == [body]


def test_a_frame_of_more_than_31_bits_has_the_long_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_SHORT_MAX", 4)
    data = frame(b"12345")
    assert data == struct.pack("!i", -1) + struct.pack("!Q", 5) + b"12345"
    reader = Reader()
    for byte in data:
        reader.data_received(bytes([byte]))
    assert reader.frames == [b"12345"]


def test_frames_come_whole_and_in_order_however_they_are_cut() -> None:
    dice = random.Random(3)
    for _ in range(50):
        bodies = [dice.randbytes(dice.randint(0, 50)) for _ in range(10)]
        stream, reader = b"".join(map(frame, bodies)), Reader()
        while stream:
            cut = dice.randint(1, 40)
            reader.data_received(stream[:cut])
            stream = stream[cut:]
        assert reader.frames == bodies


def test_a_frame_that_is_too_long_is_read_past_and_reported_and_the_next_one_comes() -> None:
    for piece in (1, 7, 1_000):
        reader = Reader(max_bytes=10)
        stream = frame(b"a") + frame(b"x" * 30) + frame(b"y" * 10) + frame(b"z" * 11) + frame(b"b")
        for start in range(0, len(stream), piece):
            reader.data_received(stream[start : start + piece])
        assert reader.frames == [b"a", b"y" * 10, b"b"]
        assert reader.past == reader.announced == [30, 11]


def test_a_frame_that_is_too_long_takes_no_memory() -> None:
    reader = Reader(max_bytes=10)
    reader.data_received(struct.pack("!iQ", -1, 2**40))
    for _ in range(100):
        reader.data_received(b"x" * 10_000)
    assert len(reader._buffer) == 0
    assert (reader.announced, reader.past) == ([2**40], [])


def test_a_part_of_a_frame_is_told_and_a_whole_one_is_not() -> None:
    reader = Reader()
    data = frame(b"12345")
    reader.data_received(data)
    assert reader.starts == 0
    reader.data_received(data + data[:3])
    assert reader.starts == 1


def test_nothing_is_read_behind_a_frame_that_closed_the_connection() -> None:
    class Closing(Reader):
        def frame_received(self, body: bytes) -> None:
            super().frame_received(body)
            self.fake.closing = True

    reader = Closing()
    reader.data_received(frame(b"1") + frame(b"2"))
    assert reader.frames == [b"1"]


def test_the_part_of_a_frame_that_has_come_is_counted() -> None:
    reader = Reader()
    reader.data_received(frame(b"x" * 100)[:60])
    assert reader.part_bytes == 60
    reader.data_received(frame(b"x" * 100)[60:])
    assert reader.part_bytes == 0


def test_a_frame_is_written_as_one_piece() -> None:
    """A second write would wait for the first one's ACK with Nagle's algorithm."""
    reader = Reader()
    reader.send_frame(b"x" * 20_000)
    assert reader.fake.written == [frame(b"x" * 20_000)]


def test_nothing_is_written_to_a_closing_connection() -> None:
    reader = Reader()
    reader.fake.closing = True
    reader.send_frame(b"x")
    assert reader.fake.written == []


def test_a_peer_that_does_not_read_is_cut_off() -> None:
    reader = Reader()
    reader.most_unread_bytes = 100
    for _ in range(10):
        reader.send_frame(b"x" * 16)
    assert reader.fake.aborted
    assert reader.fake.get_write_buffer_size() < 150


def test_a_socket_has_no_nagle_and_ends_when_the_peer_vanishes() -> None:
    with socket.socket() as sock:
        tune(sock)
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(tcp, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 5
        assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 2
        assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 3
        assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 10_000


def test_who_sends_many_small_frames_at_once_lets_others_in_between() -> None:
    """One read may bring tens of thousands of them, which is a second of the loop."""

    async def busy() -> None:
        reader = Reader()
        reader.fake.pause_reading = reader.fake.resume_reading = lambda: None
        reader.in_a_row_s = 0.0
        seen: list[int] = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(len(reader.frames)))
        reader.data_received(frame(b"x") * 100)
        while len(reader.frames) < 100:
            await asyncio.sleep(0)
        assert seen == [1]

    asyncio.run(busy())


def test_a_reader_goes_on_when_the_last_that_held_it_lets_go() -> None:
    reader = Reader()
    reader.fake.pause_reading = reader.fake.resume_reading = lambda: None
    reader.hold()
    reader.hold()
    reader.data_received(frame(b"x"))
    reader.go_on()
    assert reader.frames == []
    reader.go_on()
    assert reader.frames == [b"x"]

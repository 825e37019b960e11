"""Connections to the master's port by whoever has no business there."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
from multiprocessing.connection import Client

KINDS = ("wrong key", "nonsense", "oversized", "silent", "reset", "half a frame", "many silent")


def bother(port: int, dice: random.Random) -> tuple[str, list[socket.socket]]:
    """Do one of it. Returns which, and the sockets that stay open for a while."""
    kind = dice.choice(KINDS)
    kept: list[socket.socket] = []
    with contextlib.suppress(OSError):
        if kind == "wrong key":
            _wrong_key(port)
            return kind, kept
        for _ in range(50 if kind == "many silent" else 1):
            kept.append(socket.create_connection(("127.0.0.1", port), timeout=1.0))
        _speak(kind, kept[0], dice)
        if kind == "reset":
            kept.pop().close()
    return kind, kept


def _wrong_key(port: int) -> None:
    import multiprocessing

    with contextlib.suppress(multiprocessing.AuthenticationError, EOFError):
        Client(("127.0.0.1", port), authkey=b"not the key").close()


def _speak(kind: str, sock: socket.socket, dice: random.Random) -> None:
    if kind == "nonsense":
        sock.sendall(dice.choice([b"GET / HTTP/1.1\r\n\r\n", os.urandom(300), b"\x16\x03\x01"]))
    elif kind == "oversized":
        sock.sendall(struct.pack("!i", 2**31 - 1) + b"x" * 1000)
    elif kind == "half a frame":
        sock.sendall(struct.pack("!i", 20) + b"and no")
    elif kind == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

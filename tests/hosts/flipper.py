"""A TCP proxy in the bridge's namespace that passes everything on, or flips single bits of it."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.bridge import ADDRESS
from tests.hosts.namespaces import end, start
from tests.integration.processes import REPO, eventually

WAYS = ("to_host", "to_client")


@dataclass
class Flipper:
    """In `with lan.flipper(...) as middle:`, clients use `middle.address`, not the host's."""

    inside: list[str]
    log: Path
    target: tuple[str, int]
    way: str
    at: Collection[int]

    def __enter__(self) -> Flipper:
        words = [sys.executable, "-m", "tests.hosts.flipper", *map(str, self.target), self.way]
        with self.log.open("w") as log:
            self._process = start([*self.inside, *words, *map(str, self.at)], stdout=log, cwd=REPO)
        eventually(lambda: self.log.read_text().endswith("\n"), what="the flipper's port")
        self.address = (ADDRESS, int(self.log.read_text()))
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    @property
    def flipped(self) -> int:
        """The number of bits flipped so far."""
        return self.log.read_text().count("flipped")


def flip(data: bytes, start: int, at: Collection[int]) -> bytes:
    """Return the part of a stream from `start` on, with the lowest bits of bytes `at` flipped."""
    changed = bytearray(data)
    for position in at:
        if start <= position < start + len(data):
            changed[position - start] ^= 1
            print("flipped", position, flush=True)
    return bytes(changed)


def pump(source: socket.socket, sink: socket.socket, at: Collection[int]) -> None:
    """Pass one direction on until it ends; an error ends both directions."""
    passed = 0
    try:
        while data := source.recv(1 << 16):
            sink.sendall(flip(data, passed, at))
            passed += len(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, sink):
            side.close()


def serve(target: tuple[str, int], way: str, at: Collection[int]) -> None:
    """Print a free port, and accept connections there."""

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            to_host, to_client = (at if way == name else () for name in WAYS)
            with socket.create_connection(target) as host:
                forth = threading.Thread(target=pump, args=(self.request, host, to_host))
                forth.start()
                pump(host, self.request, to_client)
                forth.join()

    with socketserver.ThreadingTCPServer((ADDRESS, 0), Between) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve((sys.argv[1], int(sys.argv[2])), sys.argv[3], [int(word) for word in sys.argv[4:]])

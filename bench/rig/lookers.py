"""`python -m bench.rig.lookers PORT TOKEN STREAMS`: those who look at the pages of a master.

A process of its own, with a low priority: browsers are on other machines. It reads events as fast
as they come, asks for /metrics each second, says `looking` when all streams have begun, and ends
with its standard input. Its last line is how many bytes of events it has read.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import socket
import sys
import time

PAGES = ("/", "/runs", "/runs?state=active", "/?span=minute")
SCRAPE_S = 1.0
_LIMIT_S = 30.0


def main(port: int, token: str, count: int) -> None:
    """Look until standard input ends."""
    os.nice(10)
    cookie, selector = _cookie(port, token), selectors.DefaultSelector()
    begun: set[int] = set()
    for number in range(count):
        stream = _stream(port, cookie, PAGES[number % len(PAGES)])
        selector.register(stream, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    due, read_bytes = time.monotonic(), 0
    while True:
        for key, _ in selector.select(SCRAPE_S / 10):
            if key.fileobj is sys.stdin:
                print(read_bytes, flush=True)
                return
            assert isinstance(key.fileobj, socket.socket)
            part = key.fileobj.recv(1 << 16)
            if not part:
                sys.exit("a stream has ended")
            read_bytes += len(part)
            if key.fd not in begun and b"event: parts" in part:
                begun.add(key.fd)
                if len(begun) == count:
                    print("looking", flush=True)
        if time.monotonic() >= due:
            due = time.monotonic() + SCRAPE_S
            _scrape(port, token)


def _cookie(port: int, token: str) -> str:
    answer = _asked(port, f"/?token={token}", {})
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]


def _scrape(port: int, token: str) -> None:
    answer = _asked(port, "/metrics", {"Authorization": f"Bearer {token}"})
    if answer.status != 200:
        sys.exit(f"/metrics: {answer.status}")


def _asked(port: int, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer


def _stream(port: int, cookie: str, page: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), _LIMIT_S)
    head = f"GET /events?page={page} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n"
    stream.sendall(head.encode())
    stream.setblocking(False)
    return stream


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

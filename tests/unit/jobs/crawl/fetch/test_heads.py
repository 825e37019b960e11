"""Answers as careless servers send them, byte by byte on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobs.crawl.fetch.client import Client, FetchError

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def answers(parts: Sequence[bytes], requests: int = 1) -> tuple[list[bytes], int]:
    """The bodies that a client reads from a server that sends these parts; its connections."""

    async def ask() -> tuple[list[bytes], int]:
        connections = 0
        idle = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    for part in parts:
                        if part == b"":  # the body has been read
                            await idle.wait()
                        writer.write(part)
                        await writer.drain()
                        await asyncio.sleep(0)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        client = Client(user_agent="tests", private=True)
        bodies = []
        try:
            for _ in range(requests):
                with await client.get(address, 1000) as answer:
                    bodies.append(b"".join([chunk async for chunk in answer.chunks()]))
                idle.set()
                for _ in range(50):  # what the server sends meanwhile has come
                    await asyncio.sleep(0)
        finally:
            await client.close()
            server.close()
        return bodies, connections

    return asyncio.run(asyncio.wait_for(ask(), 20.0))


@pytest.mark.parametrize("split", [None, 1, 30, 60])
@pytest.mark.parametrize(
    "answer",
    [
        OK + FIVE + b"\r\nhello",
        OK + FIVE + b"\r\nhello and more",
        OK + FIVE + b"\r\nhello\r\n",
        OK + FIVE + b"\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        OK + FIVE + FIVE + b"\r\nhello",
        OK + FIVE + b"Server: x\r\ncontent-length : 5\r\n\r\nhello and more",
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        OK + b"Content-Length: 7\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\nand more",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + FIVE + FIVE + b"\r\nhello",
    ],
)
def test_an_answer_is_taken_as_browsers_take_it(answer: bytes, split: int | None) -> None:
    parts = [answer] if split is None else [answer[:split], answer[split:]]
    assert answers(parts, 2)[0] == [b"hello", b"hello"]


def test_a_connection_with_bytes_behind_a_body_is_closed() -> None:
    assert answers([OK + FIVE + b"\r\nhello"], 3)[1] == 1
    assert answers([OK + FIVE + b"\r\nhello and more"], 3)[1] == 3
    assert answers([OK + FIVE + FIVE + b"\r\nhello"], 3)[1] == 3


def test_an_answer_that_nobody_asked_for_is_never_the_next_ones() -> None:
    fake = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    assert answers([OK + FIVE + b"\r\nhello", b"", fake], 3)[0] == [b"hello"] * 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (OK + FIVE + b"Content-Length: 6\r\n\r\nhello!", "Duplicate Content-Length"),
        (OK + b"Content-Length: 5, 6\r\n\r\nhello!", "Invalid character in Content-Length"),
        (OK + FIVE + FIVE + b"X: y\0z\r\n\r\nhello", "Invalid"),
        (OK + FIVE + CHUNKED + b"\r\n5\r\nhello\r\nno size\r\n", "cut short or damaged"),
        (b"no answer at all\r\n\r\n", "Bad status line"),
    ],
)
def test_what_browsers_do_not_take_is_an_error(answer: bytes, says: str) -> None:
    with pytest.raises(FetchError, match=says):
        answers([answer])

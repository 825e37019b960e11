"""What a standby answers on its HTTP side."""

from __future__ import annotations

import asyncio

import pytest

from master.standby.answers import Answers, answer_to
from queue_manager.settings import load_settings


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /healthz HTTP/1.1", b"200 OK"),
        (b"GET /readyz HTTP/1.1", b"503 Service Unavailable"),
        (b"GET /runs?page=2 HTTP/1.1", b"503 Service Unavailable"),
        (b"POST /healthz HTTP/1.1", b"503 Service Unavailable"),
        (b"\x16\x03\x01", b"400 Bad Request"),
    ],
)
def test_it_is_well_and_not_ready(request_line: bytes, status: bytes) -> None:
    head, _, body = answer_to(request_line + b"\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.count(b"\n") == 1


def test_a_head_alone_has_no_body() -> None:
    assert answer_to(b"HEAD /healthz HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


async def asked(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def test_it_listens_until_it_is_stopped_and_the_port_is_free_then() -> None:
    settings = load_settings({"MASTER_HTTP_PORT": "0"})

    async def use() -> None:
        answers = Answers(settings)
        await answers.start()
        port = answers.address.rpartition(":")[2]
        assert b"200 OK" in await asked(answers.address, b"GET /healthz HTTP/1.1\r\n\r\n")
        await answers.stop()
        again = Answers(load_settings({"MASTER_HTTP_PORT": port}))
        await again.start()
        assert again.address == answers.address
        await again.stop()

    asyncio.run(asyncio.wait_for(use(), 30))


def test_off_is_off() -> None:
    answers = Answers(load_settings({"MASTER_HTTP_PORT": "off"}))
    asyncio.run(answers.start())
    assert answers.address == ""

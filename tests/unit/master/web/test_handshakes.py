"""Visitors of encrypted pages: who never shakes hands ends in time, and makes room for others."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from master.web.handshakes import Handshakes, context_of
from master.web.visits import Crowd
from tests.unit.master.web.loops import in_loop

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01"
"""The beginning of a handshake."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=pages",
         "-days", "2", "-keyout", made[1], "-out", made[0]],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


class Door:
    """Pages on loopback, whose answer is the scheme that they see."""

    def __init__(self, certificate: tuple[Path, Path], most: int, request_s: float) -> None:
        self.crowd = Crowd(most, request_s)
        self._make = Handshakes(self.crowd, context_of(*certificate)).make
        self._config = uvicorn.Config(
            self._app, ws="none", lifespan="off", log_config=None, interface="asgi3"
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    def _one(self) -> asyncio.Protocol:
        return self._make(config=self._config, server_state=self._state, app_state={})

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._one, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def come(self, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return await asyncio.open_connection("127.0.0.1", port, **how)

    async def ask(self) -> bytes:
        """The end of the answer to one request, in a connection of its own."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        reader, writer = await self.come(ssl=trusting)
        writer.write(REQUEST)
        answer = await reader.readuntil(b"https")
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # of the end alone
            await writer.wait_closed()
        return answer


@contextlib.asynccontextmanager
async def door(
    certificate: tuple[Path, Path], most: int = 10, request_s: float = 30.0
) -> AsyncIterator[Door]:
    made = Door(certificate, most, request_s)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("half", [b"", HELLO], ids=["nothing", "half a handshake"])
@in_loop
async def test_who_never_shakes_hands_is_ended_in_time(
    certificate: tuple[Path, Path], half: bytes
) -> None:
    async with door(certificate, request_s=0.2) as pages:
        reader, writer = await pages.come()
        writer.write(half)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        while pages.crowd.shaking or pages.crowd.waiting:
            await asyncio.sleep(0.01)


@in_loop
async def test_many_who_never_shake_hands_keep_nobody_out(certificate: tuple[Path, Path]) -> None:
    async with door(certificate, most=10) as pages:
        silent = [await pages.come() for _ in range(50)]
        assert (await pages.ask()).endswith(b"https")
        while len(pages.crowd.shaking) > 10:
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(silent[0][0].read(), 20) == b""
        for _, writer in silent:
            writer.close()


@in_loop
async def test_who_has_shaken_hands_has_a_time_for_the_request_too(
    certificate: tuple[Path, Path],
) -> None:
    async with door(certificate, request_s=0.3) as pages:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        reader, writer = await pages.come(ssl=trusting)
        with contextlib.suppress(ConnectionError):  # an end without the closing of TLS
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


@in_loop
async def test_nonsense_ends_at_once_and_is_no_line_of_the_log(
    certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    async with door(certificate) as pages:
        reader, writer = await pages.come()
        writer.write(REQUEST)
        with contextlib.suppress(ConnectionResetError):  # what it has not read resets
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert (await pages.ask()).endswith(b"https")
    assert caplog.records == []


def test_files_that_are_no_certificate_are_an_error_of_the_system(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for files in ((wrong, certificate[1]), (certificate[0], wrong)):
        with pytest.raises(ssl.SSLError):
            context_of(*files)

"""What the HTTP side of a standby says: /healthz that it is well, /readyz that it stands by.

It has no pages and no library: the active master's web process has those. Whoever balances load by
/readyz finds the active master so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from queue_manager.errors import SettingsError
from queue_manager.settings import Settings

from ..processes.web import listen_for_pages

log = logging.getLogger("quartermaster.master")

READY_LINE = "this master stands by; ask the active one"
_HEAD_BYTES = 8 * 1024
_PATIENCE_S = 5.0
_MOST = 64
"""How many may be answered at a time. Others are closed unheard."""


class Answers:
    """Answers on HTTP_BIND and MASTER_HTTP_PORT until `stop`.

    address: empty where nobody listens.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._open = 0
        self.address = ""

    async def start(self) -> None:
        """Begin. If that can't be, one line of the log says why, and the master stands by."""
        settings = self._settings
        if settings.master_http_port is None:
            return
        sock: socket.socket | None = None
        try:
            sock = listen_for_pages(settings)
            context = _tls(settings)
            self._server = await asyncio.start_server(
                self._answer, sock=sock, limit=_HEAD_BYTES, ssl=context
            )
        except (SettingsError, OSError) as error:
            if sock is not None:
                sock.close()
            log.warning("no /healthz: %s. This master stands by nevertheless", error)
            return
        host, port = sock.getsockname()[:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        """Free the port for the web process of the active master."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # the loop lets go of the socket

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST:
                async with asyncio.timeout(_PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer_to(head))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            self._open -= 1
            with contextlib.suppress(OSError):
                writer.close()


def answer_to(head: bytes) -> bytes:
    """The answer to the head of a request."""
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _answer(400, "Bad Request", "this is no request of HTTP/1.1", True)
    method, path = words[0], words[1].partition(b"?")[0]
    with_body = method != b"HEAD"
    if method not in (b"GET", b"HEAD"):
        return _answer(503, "Service Unavailable", READY_LINE, with_body)
    if path == b"/healthz":
        return _answer(200, "OK", "ok", with_body)
    return _answer(503, "Service Unavailable", READY_LINE, with_body)


def _answer(code: int, reason: str, line: str, with_body: bool) -> bytes:
    body = f"{line}\n".encode()
    head = (
        f"HTTP/1.1 {code} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.http_tls_cert is None or settings.http_tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.http_tls_cert, settings.http_tls_key)
    return context

"""The TLS handshakes of visitors: each is counted, and has its time, before there is a request.

asyncio counts none and gives each a minute, and uvicorn can't change that. Whoever opened
connections and said nothing had all files of the process, and needed no token for that.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from pathlib import Path
from typing import Any

from .visits import Crowd, Visit


def context_of(certificate: Path, key: Path) -> ssl.SSLContext:
    """What the pages are encrypted with. Raises OSError if the files are none of that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Handshakes:
    """Lets visitors into a crowd who have shaken hands."""

    def __init__(self, crowd: Crowd, context: ssl.SSLContext) -> None:
        self._crowd, self._context = crowd, context

    def make(self, **told: Any) -> Handshake:
        """One connection, as uvicorn asks for it."""
        return Handshake(self._crowd, self._context, self._crowd.make(**told))


class Handshake(asyncio.Protocol):
    """One handshake, in front of a visit."""

    def __init__(self, crowd: Crowd, context: ssl.SSLContext, visit: Visit) -> None:
        self._crowd, self._context, self._visit = crowd, context, visit
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = b""
        self._over = self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room as a visit does, and shake hands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._crowd.shaking.add(self)
        self._crowd.make_room(self, len(self._visit.connections))
        self._crowd.waiting.setdefault(self)
        self._task = self._visit.loop.create_task(self._shake(transport))

    def end(self) -> None:
        """End the connection at once."""
        self._crowd.waiting.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    async def _shake(self, plain: asyncio.Transport) -> None:
        shaking = partial(self._visit.loop.start_tls, plain, self, self._context, server_side=True)
        try:
            encrypted = await shaking(ssl_handshake_timeout=self._crowd.request_s)
        except OSError:  # nonsense, silence, or the visitor has gone
            plain.abort()
            return
        finally:
            self._crowd.shaking.discard(self)
            self._crowd.waiting.pop(self, None)
        if encrypted is None or self._lost:
            return
        encrypted.set_protocol(self._visit)
        self._visit.connection_made(encrypted)
        if self._early:
            self._visit.data_received(self._early)
        if self._over and not encrypted.is_closing():
            self._visit.eof_received()

    # --- what comes with the end of the handshake ---

    def data_received(self, data: bytes) -> None:
        """The beginning of a request."""
        self._early += data

    def eof_received(self) -> None:
        """The visitor says nothing more."""
        self._over = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The visitor has gone."""
        self._lost = True

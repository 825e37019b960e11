"""The events of a page, as its browser reads them (Server-Sent Events)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Hashable

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from .hub import Hub, Render, Stream

SEND_S = 10.0
"""Who has not read an event after so long is dropped. The browser asks again by itself."""

_AGAIN_MS = 2_000
_PING_S = 15


class Events:
    """The answer to a browser that looks at a page, for as long as it looks.

    key, render, visit: as `Hub.join`. When the visit ends, the answer does.
    """

    def __init__(self, hub: Hub, key: Hashable, render: Render, visit: str = "") -> None:
        self._hub, self._key, self._render, self._visit = hub, key, render, visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hub.has_room(self._key):
            line = "too many pages are open: this one shows no changes\n"
            await PlainTextResponse(line, 503, {"Retry-After": "30"})(scope, receive, send)
            return
        stream = self._hub.join(self._key, self._render, self._visit)
        answer = EventSourceResponse(_told(stream), ping=_PING_S, send_timeout=SEND_S)
        try:
            with contextlib.suppress(SendTimeoutError):
                await _ended(answer, scope, receive, send)
        finally:
            self._hub.leave(self._key, stream)


async def _ended(answer: EventSourceResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and end the answer: when the server stops, sse-starlette leaves it open."""
    open_now = False

    async def noted(message: Message) -> None:
        nonlocal open_now
        open_now = message["type"] == "http.response.start" or message.get("more_body", False)
        await send(message)

    await answer(scope, receive, noted)
    if open_now:  # to whoever has gone already, this does nothing
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _told(stream: Stream) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="hello", retry=_AGAIN_MS)
    while True:
        news = await stream.get()
        if news is None:
            return
        yield ServerSentEvent(news.text, event="parts")

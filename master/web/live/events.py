"""The events of a page, as its browser reads them (Server-Sent Events)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import PlainTextResponse, Response

from .hub import Hub, Render

SEND_S = 10.0
"""Who has not read an event after so long is dropped. The browser asks again by itself."""

_AGAIN_MS = 2_000
_PING_S = 15


def events(hub: Hub, key: Hashable, render: Render) -> Response:
    """The answer to a browser that looks at a page from now on."""
    if hub.full:
        line = "too many pages are open: this one shows no changes\n"
        return PlainTextResponse(line, 503, {"Retry-After": "30"})

    async def told() -> AsyncIterator[ServerSentEvent]:
        stream = hub.join(key, render)  # not before: the answer to HEAD has no events
        try:
            yield ServerSentEvent(comment="hello", retry=_AGAIN_MS)
            while True:
                news = await stream.get()
                yield ServerSentEvent(news.text, event="parts")
        finally:
            hub.leave(key, stream)

    return EventSourceResponse(told(), ping=_PING_S, send_timeout=SEND_S)

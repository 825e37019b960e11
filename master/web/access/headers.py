"""What each answer says to the browser, and how much a request may hold."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": POLICY,
    # With `no-referrer` a browser says `Origin: null` for our own forms, too (Fetch, 3.2.5).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
BODY_BYTES = 1024 * 1024
"""The most that a form may hold. Arguments of a run are no longer than that."""


class Headers:
    """Adds what all answers say. An answer may say something stricter itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in _ALWAYS.items():
                    headers.setdefault(name, text)
            await send(message)

        await self._app(scope, receive, sent)


_WITHOUT = ("GET", "HEAD")
"""Requests whose body nobody reads."""


class Bodies:
    """Refuses a body that is too long, also one that does not say how long it is, and one that
    breaks off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = BODY_BYTES

        async def received() -> Message:
            nonlocal left
            message = await receive()
            if message["type"] == "http.disconnect" and scope["method"] not in _WITHOUT:
                raise HTTPException(400, "the request broke off")
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"a form holds at most {BODY_BYTES:,} bytes")
            return message

        await self._app(scope, received, send)

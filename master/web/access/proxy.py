"""What the proxy before the pages says of a request: where it comes from, and how it came.

A proxy adds the address it knows behind what the visitor has sent, so the last one alone is the
proxy's word. uvicorn's own `proxy_headers` takes the first one where it trusts every proxy, and any
text for an address: then a visitor chooses what the log says of him.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES = ("http", "https")


class Proxied:
    """Has the address and the scheme of each request as the proxy says them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            scheme = _last(headers, "x-forwarded-proto").lower()
            address = _address(_last(headers, "x-forwarded-for"))
            scope = {**scope, "scheme": scheme if scheme in _SCHEMES else scope["scheme"]}
            if address:
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)


def _last(headers: Headers, name: str) -> str:
    texts = headers.getlist(name)
    return texts[-1].rpartition(",")[2].strip() if texts else ""


def _address(text: str) -> str:
    """The address in `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; empty for all else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:  # the name of a zone, which `ipaddress` takes whatever it is
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""

"""How a visitor comes in from another site, such as a mail or a chat in the browser.

Our cookie is `SameSite=Strict`, so a browser does not send it for a request that another site has
begun, nor where that request is led on to. A page of ours that goes on by itself begins a request
of our own, and that one has the cookie. It needs no script.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response

_OURS = ("same-origin", "same-site", "none")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Quartermaster</title>
<meta http-equiv="refresh" content="0; url={to}"></head>
<body><a href="{to}">Quartermaster</a></body></html>
"""


def leads_on(to: str, headers: Mapping[str, str]) -> Response:
    """A page that goes on to a path of ours by itself."""
    page = _PAGE.format(to=html.escape(to))
    # The address of this page may have the token.
    return HTMLResponse(page, headers={**headers, "Referrer-Policy": "no-referrer"})


def once_more(request: HTTPConnection, to: str) -> str:
    """Where a visitor without a cookie is to ask once more, who may have come from another site.

    It is the page for logging in, which leads nobody there again. Empty if the browser says that
    the request is of its user or of a page of ours: it had sent the cookie. Browsers say neither to
    hosts that they do not trust, such as `http://master:8080`.
    """
    if request.scope["method"] != "GET" or request.headers.get("sec-fetch-site") in _OURS:
        return ""
    return f"/login?{urlencode({'to': to})}"

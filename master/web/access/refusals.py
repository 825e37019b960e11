"""How a refusal is told: people get a page with a way back, programs JSON, and others one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

API = "/api/"
_NO_PAGES = (API, "/metrics", "/events", "/static/", "/healthz", "/readyz")

NO_PAGE = "there is no such page"
ONLY_READS = "this token is for reading: `qm dashboard` prints the link that may act"


def told(
    request: HTTPConnection, line: str, code: int, headers: Mapping[str, str] | None = None
) -> Response:
    """One line: as JSON below `/api`, as text elsewhere."""
    if request.url.path.startswith(API):
        return JSONResponse({"error": line}, code, headers)
    return PlainTextResponse(f"{line}\n", code, headers)


def is_page(request: HTTPConnection) -> bool:
    """Whether a person looks at the answer."""
    return not request.url.path.startswith(_NO_PAGES)


class Refusals:
    """Answers for what starlette and the pages raise. html: renders a template, as `Shows.html`."""

    def __init__(self, html: Callable[..., Response]) -> None:
        self._html = html

    async def __call__(self, request: Request, error: Any) -> Response:
        """The answer for a HTTPException."""
        code, headers = error.status_code, error.headers
        line = NO_PAGE if (code, error.detail) == (404, "Not Found") else error.detail
        if not is_page(request):
            return told(request, line, code, headers)
        name = "nothing.html" if code == 404 else "refused.html"
        return self._html(request, name, {"line": line}, code, headers)

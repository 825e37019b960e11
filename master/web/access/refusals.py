"""How a refusal is told: people get a page with a way back, programs JSON, and others one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

API = "/api/"
_NO_PAGES = (API, "/metrics", "/events", "/static/", "/healthz", "/readyz")

NO_PAGE = "there is no such page"
FAULT = "the pages have a fault, and could not answer this: see the log of the master"
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


Refused = Callable[[HTTPConnection, str, int, Mapping[str, str] | None], Response]
"""Makes a page of a line, as `Shows.refused`."""


class Refusals:
    """Answers for what starlette and the pages raise, and for what the gate refuses."""

    def __init__(self, refused: Refused) -> None:
        self._refused = refused

    def tell(
        self,
        request: HTTPConnection,
        line: str,
        code: int,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One line, for whoever looks at it."""
        make = self._refused if is_page(request) else told
        return make(request, line, code, headers)

    async def broken(self, request: Request, error: Exception) -> Response:
        """The answer when our own code has failed. The log has the rest."""
        return self.tell(request, FAULT, 500)

    async def __call__(self, request: Request, error: Any) -> Response:
        """The answer for a HTTPException."""
        code, headers = error.status_code, error.headers
        line = NO_PAGE if (code, error.detail) == (404, "Not Found") else error.detail
        return self.tell(request, line, code, headers)

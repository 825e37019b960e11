"""A fault of the pages' own code is a page with a way back for people, and JSON for programs."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from master.web.access.refusals import FAULT, Refusals
from tests.unit.master.web.loops import in_loop


def page(request: HTTPConnection, line: str, code: int, headers: Any = None) -> Response:
    return PlainTextResponse(f"a page: {line}", code, headers)


async def fails(request: Request) -> Response:
    raise ZeroDivisionError


REFUSALS = Refusals(page)
APP = Starlette(
    routes=[Route("/runs", fails), Route("/api/runs", fails)],
    exception_handlers={HTTPException: REFUSALS, Exception: REFUSALS.broken},
)


@pytest.mark.parametrize(
    ("path", "told"), [("/runs", f"a page: {FAULT}"), ("/api/runs", f'{{"error":"{FAULT}"}}')]
)
@in_loop
async def test_a_fault_is_told_and_stays_in_the_log(path: str, told: str) -> None:
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [],
        "state": {},
    }  # fmt: skip

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    with pytest.raises(ZeroDivisionError):  # the server logs it
        await APP(scope, receive, send)
    assert (sent[0]["status"], sent[-1]["body"].decode()) == (500, told)

"""The gate: what passes it, with which right, and what each other request is told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from master.web.access.cookies import Cookies
from master.web.access.gate import Gate, own_path
from master.web.access.hosts import Hosts
from master.web.access.refusals import Refusals
from master.web.access.tokens import Right, Tokens
from tests.unit.master.web.loops import in_loop

TOKENS = Tokens("the token for reading", "the token for acting")
COOKIES = Cookies(TOKENS)
OWN = {"host": "127.0.0.1", "origin": "http://127.0.0.1"}
COOKIE = {
    right: {"cookie": f"{COOKIES.name}={COOKIES.make(right, time.time())}"}
    for right in (Right.READ, Right.ACT)
}


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    right = HTTPConnection(scope).state.visitor.right
    await PlainTextResponse(f"passed as {right.name}")(scope, receive, send)


def refuse(request: HTTPConnection, trouble: str, code: int) -> Response:
    return PlainTextResponse(f"a token, please {trouble}", code)


def page(request: HTTPConnection, line: str, code: int, headers: Any = None) -> Response:
    """What a refusal is for people. It knows nothing of a visitor from elsewhere."""
    assert request.state.visitor.right is Right.NONE
    return PlainTextResponse(f"a page: {line}", code, headers)


async def asked(method: str, path: str, **headers: str) -> tuple[int, str]:
    """The code and the text of an answer. A cookie's header is `cookie=`."""
    path, _, query = path.partition("?")
    sent: list[Any] = []
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(n.replace("_", "-").encode(), t.encode()) for n, t in headers.items()],
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("192.0.2.1", 1), "state": {},
    }  # fmt: skip

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the gate reads no body")

    await Gate(inner, TOKENS, COOKIES, Hosts(set()), refuse, Refusals(page))(scope, receive, send)
    return sent[0]["status"], sent[-1]["body"].decode()


BEARER = {right: {"authorization": f"Bearer {TOKENS.of(right)}"} for right in COOKIE}


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/", {}, 421),
        ("GET", "/", {"host": "127.0.0.1"}, 401),
        ("GET", "/", {**OWN, **COOKIE[Right.READ]}, 200),
        ("GET", "/", {"host": "evil.example", **COOKIE[Right.READ]}, 421),
        ("GET", "/", BEARER[Right.ACT] | OWN, 401),  # only programs show a token in a header
        ("GET", "/api/runs", BEARER[Right.READ], 200),
        ("GET", "/metrics", BEARER[Right.READ] | {"host": "master:8080"}, 200),
        ("GET", "/api/runs", {"authorization": "Bearer wrong", **OWN}, 401),
        ("GET", "/api/runs", {"authorization": "Basic eDp5", **OWN}, 401),
        ("POST", "/api/runs", BEARER[Right.READ], 403),
        ("POST", "/api/runs", BEARER[Right.ACT], 200),
        ("POST", "/runs/1/cancel", {**OWN, **COOKIE[Right.READ]}, 403),
        ("POST", "/runs/1/cancel", {**OWN, **COOKIE[Right.ACT]}, 200),
        ("POST", "/runs/1/cancel", {"host": "127.0.0.1", **COOKIE[Right.ACT]}, 403),
        ("DELETE", "/runs/1", {**OWN, "origin": "http://evil.example", **COOKIE[Right.ACT]}, 403),
        ("GET", "/healthz", {"host": "evil.example"}, 200),
        ("POST", "/healthz", {"host": "evil.example"}, 421),
        ("GET", "/static/style.css", OWN, 200),
        ("GET", "/events", OWN, 401),
        ("POST", "/login", OWN, 200),
        ("POST", "/login", {"host": "127.0.0.1"}, 403),
        ("GET", "/?token=wrong", OWN, 401),
        ("POST", "/?token=the+token+for+acting", OWN, 401),
        ("GET", "/api/runs?token=the+token+for+acting", OWN, 401),
        ("GET", "/events?token=the+token+for+acting", OWN, 401),
        ("GET", "/static/style.css?token=the+token+for+acting", OWN, 200),
    ],
)
@in_loop
async def test_what_passes(method: str, path: str, headers: dict[str, str], code: int) -> None:
    found, text = await asked(method, path, **headers)
    assert found == code, text
    assert ("passed" in text) == (code == 200)


@in_loop
async def test_a_link_with_a_token_is_a_page_that_goes_on_by_itself() -> None:
    """A redirect would have no cookie if the link was on a page of another site."""
    code, text = await asked("GET", "/runs/1?token=the+token+for+acting&span=<day>", **OWN)
    assert code == 200
    assert '<meta http-equiv="refresh" content="0; url=/runs/1?span=%3Cday%3E">' in text
    assert "the+token" not in text
    _, text = await asked("GET", "//evil.example?token=the+token+for+acting", **OWN)
    assert 'url=/evil.example"' in text


@in_loop
async def test_a_reader_is_told_how_to_get_the_right_to_act() -> None:
    _, text = await asked("POST", "/runs/1/cancel", **OWN, **COOKIE[Right.READ])
    assert text == "a token, please reads"  # on a page, where one can show another token
    _, text = await asked("POST", "/api/runs", **BEARER[Right.READ])
    line = "this token is for reading: `qm dashboard` prints the link that may act"
    assert json.loads(text) == {"error": line}


@in_loop
async def test_a_refusal_is_a_page_for_people_and_a_line_for_programs() -> None:
    elsewhere = {"host": "evil.example", **COOKIE[Right.ACT]}
    _, text = await asked("GET", "/runs", **elsewhere)
    assert text == "a page: no pages under the name 'evil.example': add it to HTTP_HOSTS"
    _, text = await asked("GET", "/api/runs", **elsewhere)
    assert "add it to HTTP_HOSTS" in json.loads(text)["error"]
    foreign = {"host": "127.0.0.1", "origin": "http://evil.example", **COOKIE[Right.ACT]}
    _, text = await asked("POST", "/runs/1/cancel", **foreign)
    assert text == "a page: this comes from a page of another site"


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "\\\\evil.example", "x"])
def test_a_path_stays_on_this_host(path: str) -> None:
    assert own_path(path).lstrip("/") == path.replace("\\", "/").lstrip("/")
    assert own_path(path)[1] not in "/\\"

"""Each refusal of the pages is a page with a way back, and JSON below /api."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.processes import Master, Process, eventually
from tests.integration.test_web_actions import FORM_KEY, Browser
from tests.integration.web import Answer, Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages."""
    return Web(start_master(MASTER_HTTP_PORT="0"))


def is_a_page(answer: Answer) -> bool:
    """Whether it is a page of ours with a way back."""
    kind = answer.headers["Content-Type"]
    return (
        kind.startswith("text/html")
        and "This was not done" in answer.text
        and ('<a href="/">Overview</a>' in answer.text)
    )


def refusals(web: Web, below: str) -> Iterator[tuple[int, Answer]]:
    """Refusals of pages, or of their JSON, with the code that each has to have."""
    own = {"Origin": f"http://127.0.0.1:{web.port}", "Cookie": web.cookie(web.act)}
    form = {
        "Content-Type": "application/x-www-form-urlencoded" if not below else "application/json"
    }
    large = b"key=" + b"x" * 1_100_000
    yield 421, web.ask("GET", f"{below}/runs", Host="elsewhere.example", Cookie=own["Cookie"])
    yield (
        403,
        web.ask("POST", f"{below}/runs/1/cancel", b"", **own | {"Origin": "http://x.example"}),
    )
    yield 405, web.ask("DELETE", f"{below}/runs", **own)
    yield 413, web.ask("POST", f"{below}/submit/square", large, **own, **form)
    if not below:
        yield 403, web.ask("POST", "/submit/square", b"form_key=0", **own, **form)
        yield 413, web.ask("POST", "/login", large, **own, **form)


def test_a_refusal_is_a_page_with_a_way_back(web: Web) -> None:
    for code, answer in refusals(web, ""):
        assert (answer.code, is_a_page(answer)) == (code, True), answer


def test_below_api_it_is_json(web: Web) -> None:
    for code, answer in refusals(web, "/api"):
        assert (answer.code, [*json.loads(answer.text)]) == (code, ["error"]), answer


def test_who_comes_by_another_name_sees_nothing_of_the_visitor(web: Web) -> None:
    answer = web.get("/runs", token="", Host="elsewhere.example", Cookie=web.cookie(web.act))
    assert "add it to HTTP_HOSTS" in answer.text
    assert "form_key" not in answer.text
    assert "Log out" not in answer.text


@contextlib.contextmanager
def looking(web: Web, browser: Browser) -> Iterator[http.client.HTTPResponse]:
    """An open page of events."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20.0)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    with contextlib.closing(connection):
        connection.request("GET", "/events?page=/runs", headers={"Cookie": cookie})
        answer = connection.getresponse()
        assert answer.status == 200
        while b"event: parts" not in answer.readline():
            pass
        yield answer


def test_an_open_page_hears_nothing_more_after_its_log_out(web: Web) -> None:
    mine, other = Browser(web, web.act), Browser(web, web.act)
    with looking(web, mine) as ended, looking(web, mine) as too, looking(web, other) as goes_on:
        key = FORM_KEY.search(mine.get("/").text)
        assert key is not None
        assert mine.post("/logout", form_key=key[1]).code == 303
        since = time.monotonic()
        ended.read()
        too.read()
        assert time.monotonic() - since < 1.0
        run = web.master.submit("square", "count=3")
        while f"/runs/{run}".encode() not in goes_on.readline():
            pass


def asked_by(process: Process, pattern: str) -> str:
    """The one line of the log with a pattern."""
    process.says(pattern)
    (line,) = process.lines(pattern)
    return line


def test_what_is_done_to_a_run_is_logged_once_with_who_asked(web: Web) -> None:
    run = web.master.submit("square", "count=5")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["waiting"] == 5)
    browser, log = Browser(web, web.act), web.master.process
    assert browser.send(f"/runs/{run}/cancel", task="2").code == 303
    assert browser.send(f"/runs/{run}/cancel").code == 303
    assert browser.send(f"/runs/{run}/forget").code == 303
    who = "asked by a browser at 127.0.0.1 with the token `act`"
    assert asked_by(log, r"1 task was cancelled").endswith(who)
    assert asked_by(log, r"0 tasks done.* cancelled").endswith(who)
    assert asked_by(log, r"was forgotten").endswith(who)
    assert len(log.lines("asked by a browser")) == 3
    other = web.master.submit("square", "count=2", "--key", "other")
    web.master.command("cancel", str(other))
    assert re.search(r", asked by client \S+/\d+$", asked_by(log, rf"^.*run {other} .* cancelled"))

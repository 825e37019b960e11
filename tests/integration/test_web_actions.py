"""What one can have done from the pages: by forms, by JSON, and by nobody who may only look."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.web import Answer, Web, pages_with

PAGE = "text/html"
FORM_KEY = re.compile(r'name="form_key" value="(\w+)"')

LINES = '''\
"""Fails in two places."""
from collections.abc import Iterator


def tasks(count: int = 4) -> Iterator[dict[str, int]]:
    yield from ({"n": n} for n in range(count))


def work(task: dict[str, int]) -> int:
    if task["n"] % 2:
        raise ValueError("<script>alert(1)</script>")
    return {}[task["n"]]
'''


class Browser:
    """A browser without scripts: it keeps its cookies, and sends forms with their hidden key.

    language: what it asks for.
    """

    def __init__(self, web: Web, token: str, language: str = "") -> None:
        self.web, self._language = web, language
        self.cookies = dict([web.cookie(token).split("=", 1)])

    def _ask(self, method: str, path: str, body: bytes | None = None, **more: str) -> Answer:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self._language:
            more["Accept-Language"] = self._language
        answer = self.web.ask(method, path, body, Cookie=cookie, **more)
        if said := answer.headers.get("Set-Cookie"):
            name, _, value = said.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def send(self, path: str, **fields: str) -> Answer:
        """Fill in the form at a path, and send it."""
        key = FORM_KEY.search(self.get(path).text)
        assert key is not None, path
        return self.post(path.partition("?")[0], form_key=key[1], **fields)

    def post(self, path: str, **fields: str | list[str]) -> Answer:
        origin = f"http://127.0.0.1:{self.web.port}"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask(
            "POST", path, urlencode(fields, doseq=True).encode(), Origin=origin, **kind
        )


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job that fails in two places."""
    return pages_with(start_master, lines=LINES)


def failed(web: Web) -> int:
    """A run of which each task has failed."""
    worker = web.master.worker()
    run = web.master.submit("lines")
    eventually(lambda: counts(web, run)["state"] == "failed", what="four dead letters")
    worker.terminate()
    return run


def counts(web: Web, run: int) -> Any:
    return web.json(f"/api/runs/{run}")["run"]


def program(web: Web, path: str, token: str, **fields: Any) -> Answer:
    kind = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return web.ask("POST", f"/api{path}", json.dumps(fields).encode(), **kind)


def test_one_kind_of_failure_is_tried_again_and_the_page_says_how_many(web: Web) -> None:
    run = failed(web)
    browser = Browser(web, web.act)
    assert f"/runs/{run}/retry" in browser.get(f"/runs/{run}").text
    path = f"/runs/{run}/retry?" + urlencode({"error": "ValueError@lines.py:11"})
    assert 'value="ValueError@lines.py:11"' in browser.get(path).text
    assert "2 of the run's 4 dead letters are tried" in unescape(browser.get(path).text)
    answer = browser.send(path, error="ValueError@lines.py:11", reason="it <b>is</b> mended")
    assert (answer.code, answer.headers["Location"]) == (303, f"/runs/{run}")
    page = browser.get(f"/runs/{run}").text
    assert f"Run {run}: 2 dead letters are tried again." in page
    assert "dead letters are tried again" not in browser.get(f"/runs/{run}").text
    assert (counts(web, run)["dead"], counts(web, run)["waiting"]) == (2, 2)
    who = "a browser at 127.0.0.1 with the token `act`"
    web.master.process.says(
        rf"run {run} \(lines\): 2 dead letters are tried again, asked by {who}: it <b>is</b> mended"
    )
    assert len(web.master.process.lines("are tried again")) == 1
    tasks = [web.json(f"/api/runs/{run}/tasks/{number}")["task"] for number in range(1, 5)]
    assert [note["by"] for task in tasks for note in task["retries"]] == [who, who]


def test_a_wrong_field_is_told_beside_it_and_what_was_typed_stays(web: Web) -> None:
    run = failed(web)
    browser = Browser(web, web.act)
    answer = browser.send(f"/runs/{run}/retry", error="ValueError", since="<noon>", reason="why")
    assert answer.code == 400
    assert "&#39;&lt;noon&gt;&#39; is no time" in answer.text
    assert 'value="&lt;noon&gt;"' in answer.text
    assert 'value="why"' in answer.text
    assert 'id="wrong-since"' in answer.text
    for label in ("Died since (UTC)", "Died before (UTC)"):  # tables have the browser's time
        assert f"{label}</label>" in answer.text
        assert label in browser.get(f"/runs/{run}/failures").text
    answer = browser.send(f"/runs/{run}/retry", error="OSError")
    assert answer.code == 409
    assert "no dead letter is what you ask for" in unescape(answer.text)
    assert counts(web, run)["dead"] == 4


def test_a_task_that_is_no_number_is_one_line_and_cancels_nothing(web: Web) -> None:
    run = web.master.submit("square", "count=1")
    browser = Browser(web, web.act)
    key = FORM_KEY.search(browser.get("/").text)
    assert key is not None
    line = "&#39;x&#39; is no number of a task, such as 1"
    path = f"/runs/{run}/cancel"
    for answer in browser.get(f"{path}?task=x"), browser.post(path, form_key=key[1], task="x"):
        assert answer.code == 400
        assert line in answer.text
        assert "Cancel the run" not in answer.text
    assert web.json(f"/api/runs/{run}")["run"]["state"] == "active"
    assert browser.get(f"/runs/{run}/forget?task=x").code == 200  # it is about no task
    assert "Traceback" not in web.master.process.log


def test_json_that_is_no_utf_8_is_one_line(web: Web) -> None:
    headers = {"Authorization": f"Bearer {web.act}", "Content-Type": "application/json"}
    for body in (b'{"error":"\xff"}', b'{"\xff":1}', b"\xff\xfe", b'{"error":"\\ud800"}'):
        answer = web.ask("POST", "/api/runs/1/retry", body, **headers)
        assert answer.code == 400, body
        assert json.loads(answer.text)["error"].startswith("this is no JSON object of fields")
    assert "Traceback" not in web.master.process.log


def test_a_run_is_cancelled_and_then_forgotten(web: Web) -> None:
    run = web.master.submit("square", "count=30")
    eventually(lambda: counts(web, run)["waiting"] == 30, what="thirty tasks")
    browser = Browser(web, web.act)
    assert "30 that wait" in browser.get(f"/runs/{run}/cancel").text
    assert browser.send(f"/runs/{run}/cancel", task="2").headers["Location"].endswith("/tasks/2")
    assert counts(web, run)["cancelled"] == 1
    assert browser.send(f"/runs/{run}/cancel").code == 303
    assert counts(web, run)["state"] == "cancelled"
    assert "was cancelled: 30 tasks are not done" in browser.get(f"/runs/{run}").text
    assert browser.send(f"/runs/{run}/forget").headers["Location"] == "/runs"
    assert f"Run {run} was forgotten" in browser.get("/runs").text
    assert browser.get(f"/runs/{run}").code == 404
    assert browser.get(f"/runs/{run}/forget").code == 404


def test_whoever_may_only_look_has_no_buttons_and_is_refused(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    reader = Browser(web, web.read)
    assert "/cancel" not in reader.get(f"/runs/{run}").text
    for answer in (reader.get(f"/runs/{run}/cancel"), reader.post(f"/runs/{run}/cancel")):
        assert answer.code == 403
        assert "Your token is for reading" in answer.text
        assert '<a href="/">Overview</a>' in answer.text
        assert f'name="to" value="/runs/{run}/cancel"' in answer.text
    refused = program(web, f"/runs/{run}/cancel", web.read)
    assert refused.code == 403
    assert "this token is for reading" in json.loads(refused.text)["error"]
    assert counts(web, run)["state"] == "active"


def test_a_run_that_goes_on_offers_no_button_to_forget_it(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    browser = Browser(web, web.act)
    page = browser.get(f"/runs/{run}/forget").text
    assert "The run has not ended" in page
    assert f'href="/runs/{run}/cancel"' in page
    assert "are deleted" not in page
    assert "Forget the run</button>" not in page
    assert program(web, f"/runs/{run}/forget", web.act).code == 409
    browser.send(f"/runs/{run}/cancel")
    assert "Forget the run</button>" in browser.get(f"/runs/{run}/forget").text


def test_an_error_is_a_page_with_a_way_back_for_people_and_json_for_programs(web: Web) -> None:
    reader = Browser(web, web.read)
    page = reader.get("/nosuch")
    assert page.code == 404
    assert '<a href="/runs">All runs</a>' in page.text
    assert '<nav aria-label="Pages">' in page.text
    form = reader.post("/logout", form_key="0" * 64)
    assert (form.code, '<a href="/">Overview</a>' in form.text) == (403, True)
    assert json.loads(web.get("/api/nosuch").text) == {"error": "there is no such page"}
    assert "a token is needed" in json.loads(web.get("/api/runs", token="").text)["error"]
    posted = web.ask("POST", "/api/submit/lines", b"{}", **{"Content-Type": "application/json"})
    assert (posted.code, posted.headers["Www-Authenticate"]) == (401, "Bearer")
    assert "this token opens" in json.loads(web.get("/api/runs", token="x").text)["error"]
    assert reader.send("/logout").headers["Location"] == "/login"


def test_a_form_needs_its_key_and_a_page_of_ours(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    browser = Browser(web, web.act)
    assert browser.post(f"/runs/{run}/cancel").code == 403
    assert browser.post(f"/runs/{run}/cancel", form_key="0" * 64).code == 403
    cookie = web.cookie(web.act)
    foreign = web.ask("POST", f"/runs/{run}/cancel", b"", Cookie=cookie, Origin="http://x.test")
    assert foreign.code == 403
    simple = {"Content-Type": "text/plain", "Origin": f"http://127.0.0.1:{web.port}"}
    assert web.ask("POST", f"/api/runs/{run}/cancel", b"{}", Cookie=cookie, **simple).code == 415
    assert counts(web, run)["state"] == "active"


def test_a_program_does_the_same_by_json(web: Web) -> None:
    run = failed(web)
    retried = program(web, f"/runs/{run}/retry", web.act, error="KeyError", reason="mended")
    assert json.loads(retried.text) == {"run": run, "task": 0, "tasks": 2, "page": f"/runs/{run}"}
    one = program(web, f"/runs/{run}/retry", web.act, task=2)
    assert json.loads(one.text)["tasks"] == 1
    wrong = program(web, f"/runs/{run}/retry", web.act, since="noon")
    assert (wrong.code, json.loads(wrong.text)["field"]) == (400, "since")
    unknown = program(web, f"/runs/{run}/retry", web.act, errors="ValueError")
    assert "there is no field 'errors'" in json.loads(unknown.text)["error"]
    assert program(web, "/runs/99/retry", web.act).code == 409
    kind = {"Content-Type": "application/json", "Authorization": f"Bearer {web.act}"}
    assert web.ask("POST", f"/api/runs/{run}/retry", b"[" * 100_000, **kind).code == 400
    line = rf"run {run} \(lines\): 2 dead letters .* asked by a program at 127.0.0.1 with"
    web.master.process.says(line)

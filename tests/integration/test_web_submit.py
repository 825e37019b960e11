"""Runs that are submitted from the pages and by JSON, with the errors that a command has."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.test_web_actions import Browser
from tests.integration.web import Answer, Web, pages_with

HOSTILE = '"><script>alert(1)</script>'
JOB = f'''\
"""Takes <b>many</b> kinds of arguments."""


def tasks(start: str, count: int = 3, deep: bool = False, note: str = {HOSTILE!r}):
    """What it takes.

    Args:
        start: where it <i>begins</i>
        count: how many
    """
    yield from range(count)


def work(n):
    return n
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job of many arguments."""
    return pages_with(start_master, kinds=JOB)


def sent(web: Web, job: str, **fields: object) -> Answer:
    headers = {"Authorization": f"Bearer {web.act}", "Content-Type": "application/json"}
    return web.ask("POST", f"/api/submit/{job}", json.dumps(fields).encode(), **headers)


def test_the_form_has_a_field_for_each_argument(web: Web) -> None:
    browser = Browser(web, web.act)
    listed = browser.get("/submit").text
    assert 'href="/submit/kinds"' in listed
    assert "Takes &lt;b&gt;many&lt;/b&gt;" in listed
    form = browser.get("/submit/kinds").text
    for name in ("start", "count", "deep", "note"):
        assert f'name="arg.{name}"' in form
    assert "where it &lt;i&gt;begins&lt;/i&gt;" in form
    assert "a whole number" in form
    assert "<script>alert" not in form
    assert browser.get("/submit/kinds?arg.count=7").text.count('value="7"') == 1
    assert browser.get("/submit/nowhere").code == 404
    assert browser.get(f"/submit/{'n' * 999}").code == 404


def test_a_wrong_argument_is_told_beside_its_field_and_what_was_typed_stays(web: Web) -> None:
    browser = Browser(web, web.act)
    typed = {"arg.start": HOSTILE, "arg.count": "many", "key": "one"}
    answer = browser.send("/submit/kinds", **typed)
    assert answer.code == 400
    assert 'id="wrong-arg.count"' in answer.text
    assert "is a whole number, not &#39;many&#39;" in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;' in answer.text
    assert "<script>alert" not in answer.text
    answer = browser.send("/submit/kinds", **{**typed, "arg.start": "", "arg.count": "2"})
    assert 'id="wrong-arg.start"' in answer.text
    answer = browser.send("/submit/kinds", **{**typed, "arg.count": "2"})
    assert (answer.code, answer.headers["Location"]) == (303, "/runs/1")
    assert "Run 1 was submitted." in browser.get("/runs/1").text
    assert browser.send("/submit/kinds", **{**typed, "arg.count": "2"}).code == 303
    assert "was there already" in browser.get("/runs/1").text
    assert web.json("/api/runs/1")["run"]["args"] == [f"start={HOSTILE}", "count=2"]
    assert "run 1 of kinds was submitted, asked by a browser at" in web.master.process.says(
        "was submitted"
    )


def test_a_program_submits_and_is_told_the_same(web: Web) -> None:
    answer = sent(web, "kinds", **{"arg.start": "x", "arg.count": 2, "arg.deep": True})
    assert answer.code == 200
    assert json.loads(answer.text)["run"] == 1
    assert web.json("/api/runs/1")["run"]["args"] == ["start=x", "count=2", "deep=true"]
    wrong = sent(web, "kinds", args=["start=x", "count=many"])
    assert (wrong.code, json.loads(wrong.text)["field"]) == (400, "arg.count")
    after = sent(web, "square", args=["count=1"], after=[1], needs=["gpu"])
    assert json.loads(after.text)["run"] == 2
    eventually(lambda: web.json("/api/runs/2")["run"]["after"] == [1])
    assert sent(web, "square", after=[99]).code == 400
    assert json.loads(sent(web, "square", cuont=3).text)["field"] == "cuont"
    assert web.json("/api/submit?job=kinds")["job"]["arguments"][0]["name"] == "start"


def test_who_may_only_look_submits_nothing(web: Web) -> None:
    browser = Browser(web, web.read)
    assert 'href="/submit/' not in browser.get("/submit").text
    assert browser.get("/submit/kinds").code == 403
    assert browser.post("/submit/kinds", **{"arg.start": "x"}).code == 403
    assert web.json("/api/runs")["runs"] == []

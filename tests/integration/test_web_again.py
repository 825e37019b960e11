"""A run is submitted again with its arguments, and one failure is tried again in several runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from queue_manager import connect
from tests.integration.processes import KEY, Master, eventually
from tests.integration.test_web_actions import LINES, Browser, counts, program
from tests.integration.web import Web, pages_with

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ODD = "a=b&c;d%20 +é痛\n\t<b>\"'</b>"
KINDS = '''\
"""Takes many kinds of arguments."""


def tasks(text: str, deep: bool = False, empty: str = "full", parts: list[str] = [], **more: str):
    yield from range(2)


def work(n):
    return n
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and jobs with arguments and with failures."""
    return pages_with(start_master, kinds=KINDS, lines=LINES)


FIELD = re.compile(r'<input id="field-([^"]+)" name="[^"]+" value="([^"]*)"')
AREA = re.compile(r'<textarea id="field-([^"]+)" [^>]*>\n([^<]*)</textarea>')
CHOSEN = re.compile(r'<select id="field-([^"]+)"(?:(?!</select>).)*<option selected>([^<]*)', re.S)


def typed(form: str) -> dict[str, str]:
    """What the fields of a form have, as a browser sends it."""
    found = [*FIELD.findall(form), *AREA.findall(form), *CHOSEN.findall(form)]
    return {name: unescape(text) for name, text in found if text}


def run_of(web: Web, number: int) -> Any:
    return web.json(f"/api/runs/{number}")["run"]


def test_the_form_has_the_arguments_of_the_run_and_the_address_has_none(web: Web) -> None:
    long = "long " * 2_000
    args = {"arg.text": ODD, "arg.deep": "yes", "args": ["empty=", "more=line one"]}
    args["arg.note"] = long
    assert program(web, "/submit/kinds", web.act, **args).code == 200
    first = run_of(web, 1)["args"]
    assert {f"text={ODD}", "deep=yes", "empty=", f"note={long}"} <= {*first}
    browser = Browser(web, web.act)
    link = re.search(r'href="(/submit/[^"]+)"', browser.get("/runs/1").text)
    assert link is not None
    assert link[1] == "/submit/kinds?run=1"
    form = browser.get(link[1]).text
    assert '<a href="/runs/1">run 1</a>' in form
    assert "Nothing is submitted yet." in form
    assert "<b>" not in form
    hidden = {"form_key": key(form), "once": named(form, "once")}
    answer = browser.post(link[1], **hidden, **typed(form))
    assert answer.code == 303, unescape(answer.text)
    assert sorted(run_of(web, 2)["args"]) == sorted(first)
    wrong = browser.post(link[1], **hidden, **{**typed(form), "arg.deep": "perhaps"})
    assert (wrong.code, typed(wrong.text)["arg.deep"]) == (400, "perhaps")
    assert 'href="/runs/1"' in wrong.text


def test_what_was_given_as_values_is_filled_in_where_a_form_can_have_it(web: Web) -> None:
    with connect(f"127.0.0.1:{web.master.port}", authkey=KEY) as qm:
        run = qm.submit("kinds", text="two  spaces", deep=True, parts=["a", "b"], empty="").id
    form = Browser(web, web.act).get(f"/submit/kinds?run={run}").text
    assert typed(form) == {"arg.deep": "true", "arg.parts": '["a", "b"]', "args": "empty="}
    assert "for a form can't have them as they were: text" in " ".join(unescape(form).split())


def test_a_run_of_another_job_fills_in_nothing_and_who_only_looks_has_no_link(web: Web) -> None:
    run = web.master.submit("square", "count=1")
    browser = Browser(web, web.act)
    answer = browser.get(f"/submit/kinds?run={run}")
    assert (answer.code, f"run {run} is of another job: square" in answer.text) == (404, True)
    assert browser.get("/submit/kinds?run=99").code == 404
    assert browser.get("/submit/kinds?run=x").code == 404
    assert "/submit/square" not in Browser(web, web.read).get(f"/runs/{run}").text


def test_a_program_gives_a_traceparent_and_the_pages_have_it(web: Web) -> None:
    kind = {"Content-Type": "application/json", "Authorization": f"Bearer {web.act}"}
    given = web.ask(
        "POST", "/api/submit/square", b'{"args": ["count=1"]}', Traceparent=TRACE, **kind
    )
    run = json.loads(given.text)["run"]
    assert run_of(web, run)["traceparent"] == TRACE
    assert TRACE in web.page(f"/runs/{run}")
    for trace in ("00-0-0-00", TRACE.upper(), TRACE + "-x"):
        wrong = web.ask("POST", "/api/submit/square", b"{}", Traceparent=trace, **kind)
        said = json.loads(wrong.text)
        assert (wrong.code, said["field"]) == (400, "traceparent")
        assert "is no traceparent of W3C's trace context" in said["error"]
    field = program(web, "/submit/square", web.act, traceparent=TRACE, args=["count=2"])
    assert run_of(web, json.loads(field.text)["run"])["traceparent"] == TRACE
    assert len(web.json("/api/runs")["runs"]) == 2


def failed_twice(web: Web) -> list[int]:
    """Two runs with two letters of each failure."""
    worker = web.master.worker()
    runs = [web.master.submit("lines") for _ in range(2)]
    for run in runs:
        eventually(lambda run=run: counts(web, run)["state"] == "failed", what="dead letters")
    worker.terminate()
    return runs


def test_one_failure_is_tried_again_in_several_runs_and_each_is_told(web: Web) -> None:
    one, two = failed_twice(web)
    browser = Browser(web, web.act)
    path = "/failures/retry?" + urlencode({"job": "lines", "error": "ValueError@lines.py:11"})
    assert path.replace("&", "&amp;") in browser.get("/failures").text
    assert "/failures/retry" not in Browser(web, web.read).get("/failures").text
    form = browser.get(path).text
    assert all(f'name="runs" value="{run}" checked' in form for run in (one, two))
    fields = {"job": "lines", "error": "ValueError@lines.py:11", "reason": "mended"}
    none = browser.send(path, **fields)
    assert (none.code, "choose a run" in none.text) == (400, True)
    answer = browser.post(
        "/failures/retry", form_key=key(form), runs=[str(one), str(two)], **fields
    )
    assert (answer.code, answer.headers["Location"]) == (303, "/failures")
    said = re.sub(r"<[^>]+>", "", browser.get("/failures").text)
    assert "ValueError@lines.py:11: 4 dead letters are tried again." in said
    assert re.search(rf"run {one}: 2;\s*run {two}: 2|run {two}: 2;\s*run {one}: 2", said)
    assert [counts(web, run)["dead"] for run in (one, two)] == [2, 2]
    assert len(web.master.process.lines("are tried again.*: mended")) == 2


def test_a_program_is_told_of_each_run_and_a_refusal_of_one_stops_no_other(web: Web) -> None:
    one, two = failed_twice(web)
    path, fields = "/failures/retry", {"job": "lines", "error": "KeyError"}
    first = json.loads(program(web, path, web.act, **fields, runs=[one]).text)
    assert first["results"] == [{"run": one, "tasks": 2, "error": ""}]
    again = program(web, path, web.act, **fields, runs=[one, two])
    assert (again.code, json.loads(again.text)["field"]) == (400, "runs")
    rest = json.loads(program(web, path, web.act, **fields).text)
    assert rest["results"] == [{"run": two, "tasks": 2, "error": ""}]
    assert program(web, path, web.act, **fields).code == 404
    assert json.loads(program(web, path, web.act, job="lines").text)["field"] == "error"
    assert json.loads(program(web, path, web.act, error="KeyError").text)["field"] == "job"
    many = program(web, path, web.act, **fields, runs=[*range(1, 30)])
    assert "take 20 at most" in json.loads(many.text)["error"]
    assert program(web, path, web.read, **fields).code == 403


def key(form: str) -> str:
    return named(form, "form_key")


def named(form: str, name: str) -> str:
    """What a hidden field has."""
    found = re.search(rf'name="{name}" value="([^"]+)"', form)
    assert found is not None, name
    return found[1]

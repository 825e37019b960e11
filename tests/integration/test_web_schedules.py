"""Schedules from the pages and by JSON: added, paused, resumed, removed, and told in the log."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.processes import Master
from tests.integration.test_web_actions import Browser
from tests.integration.web import Answer, Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages."""
    return Web(start_master(MASTER_HTTP_PORT="0"))


def sent(web: Web, path: str, **fields: object) -> Answer:
    headers = {"Authorization": f"Bearer {web.act}", "Content-Type": "application/json"}
    return web.ask("POST", f"/api/schedules/{path}", json.dumps(fields).encode(), **headers)


def test_a_schedule_is_added_paused_resumed_and_removed(web: Web) -> None:
    browser = Browser(web, web.act)
    assert "qm schedule add nightly" in browser.get("/schedules").text
    typed = {"name": "nightly", "expression": "0 3 * *", "job": "square", "args": "count=3"}
    wrong = browser.send("/schedules/add", **typed)
    assert wrong.code == 400
    assert 'id="wrong-expression"' in wrong.text
    assert 'value="nightly"' in wrong.text
    added = browser.send("/schedules/add", **{**typed, "expression": "0 3 * * *"})
    assert (added.code, added.headers["Location"]) == (303, "/schedules")
    page = browser.get("/schedules").text
    assert "The schedule nightly was added." in page
    assert 'href="/schedules/nightly/pause"' in page
    for verb, did in (("pause", "paused"), ("resume", "resumed"), ("remove", "removed")):
        assert (
            f"{verb.title()} the schedule nightly?"
            in browser.get(f"/schedules/nightly/{verb}").text
        )
        assert browser.send(f"/schedules/nightly/{verb}").code == 303
        assert f"The schedule nightly was {did}." in browser.get("/schedules").text
        assert web.master.process.says(f"schedule nightly was {did}, asked by a browser at")
        shown = web.json("/api/schedules")["schedules"]
        assert [one["paused"] for one in shown] == ([verb == "pause"] if verb != "remove" else [])
    assert browser.get("/schedules/nightly/pause").code == 404


def test_a_program_does_the_same(web: Web) -> None:
    spec = {"name": "n", "expression": "@daily", "job": "square", "args": ["count=3"]}
    added = sent(web, "add", **spec)
    assert json.loads(added.text) == {"schedule": "n", "did": "added", "page": "/schedules"}
    assert json.loads(sent(web, "add", **spec).text)["did"] == "there"
    wrong = sent(web, "add", **{**spec, "zone": "Mars"})
    assert (wrong.code, json.loads(wrong.text)["field"]) == (400, "zone")
    assert json.loads(sent(web, "n/pause").text)["did"] == "paused"
    assert web.json("/api/schedules")["schedules"][0]["next_at"] is None
    assert sent(web, "nowhere/remove").code == 404


def test_who_may_only_look_changes_nothing(web: Web) -> None:
    assert sent(web, "add", name="n", expression="@daily", job="square").code == 200
    browser = Browser(web, web.read)
    page = browser.get("/schedules").text
    assert "/pause" not in page
    assert "/schedules/add" not in page
    assert browser.get("/schedules/n/remove").code == 403
    assert browser.post("/schedules/n/remove").code == 403
    assert browser.get("/schedules/add").code == 403
    assert len(web.json("/api/schedules")["schedules"]) == 1

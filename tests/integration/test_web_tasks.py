"""The page of a task: all that is known of it, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.web import Web, pages_with

HOSTILE = '"><script>document.title="taken"</script>\x1b[31m\u202e'
JOB = f'''\
"""Prints, and fails once for each task that is odd."""
from collections.abc import Iterator

HOSTILE = {HOSTILE!r}


def tasks() -> Iterator[dict[str, object]]:
    yield {{"n": 2, "name": HOSTILE}}
    yield {{"n": 3, "name": HOSTILE}}


def work(task: dict[str, object]) -> list[object]:
    print("printed", HOSTILE)
    if task["n"] == 3:
        raise ValueError(HOSTILE)
    return [HOSTILE]
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job with hostile texts."""
    return pages_with(start_master, hostile=JOB)


def test_a_task_is_shown_with_what_it_was_given_and_what_it_gave(web: Web) -> None:
    web.master.worker()
    run = web.master.submit("hostile")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "failed")
    done, dead = (web.json(f"/api/runs/{run}/tasks/{number}") for number in (1, 2))
    assert done["payload"]["value"] == {"n": 2, "name": HOSTILE}
    assert (done["task"]["state"], done["result"]["value"]) == ("done", [HOSTILE])
    assert (dead["task"]["state"], dead["result"]) == ("dead", None)
    assert dead["failure"] == "ValueError@hostile.py:15"
    assert "Traceback" in dead["task"]["evidence"]
    assert HOSTILE in dead["task"]["printed"]
    for number in (1, 2):
        page = web.page(f"/runs/{run}/tasks/{number}")
        assert "<script>document" not in page
        assert not set(page) & {"\x1b", "\u202e"}
        assert "\\x1b[31m\\u202e" in unescape(page)


def test_a_task_that_waits_says_why_and_one_that_is_tried_again_says_who_asked(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    path = f"/runs/{run}/tasks/1"
    eventually(lambda: web.get(f"/api{path}").code == 200, what="the first task")
    eventually(lambda: "no worker" in " ".join(web.json(f"/api{path}")["why"]), what="the reason")
    assert "Why it does not run" in web.page(path)
    worker = web.master.worker()
    failed = web.master.submit("hostile")
    eventually(lambda: web.json(f"/api/runs/{failed}")["run"]["state"] == "failed")
    worker.terminate()
    web.master.command("retry", str(failed), "2", "--reason", "<b>mended</b>")
    (note,) = web.json(f"/api/runs/{failed}/tasks/2")["task"]["retries"]
    assert note["reason"] == "<b>mended</b>"
    assert "&lt;b&gt;mended&lt;/b&gt;" in web.page(f"/runs/{failed}/tasks/2")


def test_a_task_that_is_none_is_told_in_one_line(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    eventually(lambda: web.get(f"/api/runs/{run}/tasks/1").code == 200, what="the first task")
    for path in (f"/api/runs/{run}/tasks/99", "/api/runs/99/tasks/1", f"/api/runs/{run}/tasks/0"):
        assert web.get(path).code == 404, path
    assert web.get(f"/api/runs/{run}/tasks/{10**30}").code == 404


def test_failures_are_groups_of_all_runs_and_letters_of_one(web: Web) -> None:
    assert web.json("/api/failures")["groups"] == []
    assert "no run has dead letters" in web.page("/failures")
    web.master.worker()
    runs = [web.master.submit("hostile"), web.master.submit("hostile")]
    for run in runs:
        eventually(lambda run=run: web.json(f"/api/runs/{run}")["run"]["state"] == "failed")
    groups = web.json("/api/failures")["groups"]
    assert sorted(one["run"] for one in groups) == runs
    assert {(one["failure"], one["count"]) for one in groups} == {("ValueError@hostile.py:15", 1)}
    assert web.json("/api/failures?job=square")["groups"] == []
    assert web.get("/api/failures?after=x").code == 404
    page = web.page("/failures")
    assert f"/runs/{runs[0]}/failures?error=ValueError%40hostile.py%3A15" in page
    assert "<script>document" not in page
    assert "/retry" not in page  # this visitor may only look


def test_the_letters_of_a_run_are_chosen_by_failure_worker_and_hour(web: Web) -> None:
    web.master.worker()
    run = web.master.submit("hostile")
    path = f"/api/runs/{run}/failures"
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "failed")
    (letter,) = web.json(path)["letters"]
    assert (letter["task"], letter["attempts"]) == (2, 3)
    of = "since={since}&until={until}".format(**letter)
    found = {
        query: [one["task"] for one in web.json(f"{path}?{query}")["letters"]]
        for query in (
            of, "error=ValueError", "error=KeyError", f"worker={letter['worker']}", "worker=other",
            "until=2020-01-01",
        )
    }  # fmt: skip
    assert list(found.values()) == [[2], [2], [], [2], [], []]
    assert web.get(f"{path}?since=noon").code == 404
    assert "<script>document" not in web.page(f"/runs/{run}/failures?error=<script>document")

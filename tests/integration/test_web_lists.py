"""Lists of the tasks of a run by their state, on the pages and as JSON, and the way to one task."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.test_web_actions import Browser, program
from tests.integration.web import Web, pages_with

HOSTILE = '"><script>alert(1)</script>\x1b[31m'
JOB = f'''\
"""Has a task in each state."""
import pathlib
import time

from queue_manager import Limit, Options, Reject, Task

OPTIONS = Options(per_group=Limit(at_once=1))
STOP = pathlib.Path(__file__).with_suffix(".stop")


def tasks(count: int = 4):
    yield Task("done", group="one")
    yield Task("large", group="one")
    yield Task("dead", group="one")
    yield Task("delayed", delay_s=600)
    for _ in range(count):
        yield Task("stops", group="one")


def work(what):
    if what == "dead":
        raise Reject({HOSTILE!r})
    while what == "stops" and not STOP.exists():
        time.sleep(0.02)
    return "x" * 100_000 if what == "large" else {HOSTILE!r}
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job whose tasks stand in each way."""
    return pages_with(start_master, stands=JOB)


def listed(web: Web, run: int, state: str, **query: int) -> Any:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return web.json(f"/api/runs/{run}/tasks?state={state}{more}")


def numbers(web: Web, run: int, state: str) -> list[int]:
    return [one["task"] for one in listed(web, run, state)["tasks"]]


def standing(web: Web) -> int:
    """A run with a task in each state: 8 was cancelled."""
    web.master.worker(WORKER_SLOTS="1")
    run = web.master.submit("stands")
    eventually(lambda: numbers(web, run, "leased") == [5], what="the task that stops")
    assert program(web, f"/runs/{run}/cancel", web.act, task=8).code == 200
    return run


def test_each_state_has_a_list_of_its_tasks(web: Web) -> None:
    run = standing(web)
    found = {
        state: numbers(web, run, state)
        for state in ("waiting", "leased", "delayed", "done", "dead", "cancelled")
    }
    assert found == {
        "waiting": [6, 7], "leased": [5], "delayed": [4], "done": [1, 2], "dead": [3],
        "cancelled": [8],
    }  # fmt: skip
    (leased,) = listed(web, run, "leased")["tasks"]
    assert re.fullmatch(r"\S+/\d+", leased["worker"])
    assert leased["since_s"] >= 0
    (delayed,) = listed(web, run, "delayed")["tasks"]
    assert 500 < delayed["due_s"] <= 600
    done, large = listed(web, run, "done")["tasks"]
    assert done["result"] == repr(HOSTILE)
    assert large["result"] == ""
    (dead,) = listed(web, run, "dead")["tasks"]
    assert HOSTILE[:20] in dead["error"]
    assert dead["died_at"] > 0
    page = web.page(f"/runs/{run}")
    for state in found:
        assert f'href="/runs/{run}/tasks?state={state}"' in page
        text = web.page(f"/runs/{run}/tasks?state={state}")
        assert all(f'href="/runs/{run}/tasks/{task}"' in text for task in found[state])
        assert "<script>alert" not in text
        assert "\x1b" not in text
    assert "\\x1b[31m" in unescape(web.page(f"/runs/{run}/tasks?state=done"))
    web.master.command("cancel", str(run))
    eventually(lambda: numbers(web, run, "cancelled") == [4, 5, 6, 7, 8])
    assert numbers(web, run, "waiting") == numbers(web, run, "delayed") == []
    assert numbers(web, run, "done") == [1, 2]


def test_a_list_goes_on_behind_its_last_task(web: Web) -> None:
    run = web.master.submit("square", "count=250")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["waiting"] == 250)
    found, after = [], 0
    while after is not None:
        page = listed(web, run, "waiting", after=after)
        found.append([one["task"] for one in page["tasks"]])
        after = page["next"]
    assert [len(some) for some in found] == [100, 100, 50]
    assert [task for some in found for task in some] == [*range(1, 251)]
    page = web.page(f"/runs/{run}/tasks")
    assert f'href="/runs/{run}/tasks?state=waiting&amp;after=100"' in page
    assert 'rel="next"' not in web.page(f"/runs/{run}/tasks?after=200")
    assert len(listed(web, run, "waiting", limit=7)["tasks"]) == 7
    assert len(listed(web, run, "waiting", limit=9_999)["tasks"]) == 100


def test_a_number_leads_to_its_task_and_a_wrong_one_is_one_line(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["tasks"] == 3)
    browser = Browser(web, web.read)
    assert f'action="/runs/{run}/tasks"' in browser.get(f"/runs/{run}").text
    answer = browser.get(f"/runs/{run}/tasks?task=+2+")
    assert (answer.code, answer.headers["Location"]) == (303, f"/runs/{run}/tasks/2")
    for wrong, line in (
        ("two", "'two' is no number of a task, such as 1"),
        ("", "'' is no number of a task"),
        ("0", "'0' is no number"),
        ("-1", "'-1' is no number"),
        ("9" * 60, "is no number of a task"),
        ("%D9%A3", "is no number of a task"),
        ("%3Cb%3E", "'<b>' is no number of a task"),
    ):
        answer = browser.get(f"/runs/{run}/tasks?task={wrong}")
        assert answer.code == 404, wrong
        assert line in unescape(answer.text)
        assert "<b>" not in answer.text
        assert 'href="/runs"' in answer.text, "a way back"
    answer = browser.get(f"/runs/{run}/tasks?task=9")
    assert answer.headers["Location"] == f"/runs/{run}/tasks/9"
    there = browser.get(f"/runs/{run}/tasks/9")
    assert (there.code, f"run {run} has no task 9; it has 1 to 3" in there.text) == (404, True)


def test_what_is_no_list_is_one_line(web: Web) -> None:
    run = web.master.submit("square", "count=3")
    for path, line in (
        (f"/runs/{run}/tasks?state=asleep", "there is no state 'asleep' of a task: waiting,"),
        (f"/runs/{run}/tasks?after=x", "after='x' is no number of a page"),
        ("/runs/99/tasks", "no run 99"),
    ):
        answer = web.get(f"/api{path}")
        assert (answer.code, line in answer.text) == (404, True), answer

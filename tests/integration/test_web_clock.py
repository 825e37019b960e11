"""The machine's clock is set while pages are open: nothing ends, and no time is negative."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clocks import WallClock
from tests.integration.processes import Master, eventually
from tests.integration.web import Web

DAY_S = 86_400.0
SLOWLY = '''\
"""Goes on for long."""
import time


def tasks():
    yield from range(10_000)


def work(n):
    time.sleep(0.1)
'''


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def web(start_master: Callable[..., Master], clock: WallClock) -> Web:
    """A master with a worker and a run that has ended, another that goes on, on such a machine."""
    web = Web(start_master(MASTER_HTTP_PORT="0", **clock.settings))
    web.master.worker()
    web.master.submit("square", "count=20", "--wait")
    (web.master.jobs / "slowly.py").write_text(SLOWLY)
    web.master.submit("slowly")
    eventually(lambda: web.json("/api/runs/2")["run"]["done"] > 0)
    return web


def done_within_the_hour(view: dict[str, Any]) -> float:
    """How much of the chart is not nothing."""
    (done,) = [one for one in view["shown"][0]["series"] if one["name"] == "done"]
    return sum(value or 0 for value in done["values"])


def has_newer_numbers(web: Web) -> bool:
    before = web.json("/api/runs/2")["run"]["done"]
    return bool(eventually(lambda: web.json("/api/runs/2")["run"]["done"] > before))


@pytest.mark.parametrize(
    "ahead_s", [3_600.0, DAY_S, -3_600.0, -DAY_S], ids=["hour", "day", "hour back", "day back"]
)
def test_pages_go_on_and_cookies_hold_when_the_clock_is_set(
    web: Web, clock: WallClock, ahead_s: float
) -> None:
    cookies = web.cookie(web.read), web.cookie(web.act)
    assert done_within_the_hour(web.json("/api/overview?span=hour")) > 0
    clock.set_ahead(ahead_s)
    for _ in range(2):
        for cookie in cookies:
            assert web.get("/", token="", Cookie=cookie).code == 200
        assert web.get("/", token="", Cookie=web.cookie(web.act)).code == 200, "a new one"
        assert has_newer_numbers(web)
        view = web.json("/api/overview?span=hour")
        assert done_within_the_hour(view) > 0
        assert abs(view["shown"][0]["until"] - time.time()) < 300, "the master's time"
        assert all(one["connected_s"] >= 0 for one in view["workers"])
        for path in ("/", "/runs", "/runs/1", "/runs/2", "/workers"):
            assert not re.search(r">\s*-\d", web.page(path)), path
        (pid,) = web.pids()
        os.kill(pid, signal.SIGKILL)  # the next one has the master's time, too
        eventually(lambda pid=pid: web.pids() not in ([], [pid]), what="another web process")


def test_a_cookie_ends_when_its_time_is_over_by_the_time_that_passes(
    start_master: Callable[..., Master], clock: WallClock
) -> None:
    """A start takes the machine's clock as it is then."""
    web = Web(start_master(MASTER_HTTP_PORT="0", **clock.settings))
    cookie = web.cookie(web.act)
    clock.set_ahead(0.6 * DAY_S)
    assert web.get("/", token="", Cookie=cookie).code == 200
    web.master.process.terminate()
    web.master.serve()
    web = Web(web.master)
    assert web.get("/", token="", Cookie=cookie).code == 401

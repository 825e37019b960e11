"""What a real master says stands in Chinese on Chinese pages, and what a job says does not."""

# ruff: noqa: RUF001  (Chinese has marks of its own)

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.test_web_actions import Browser
from tests.integration.web import Web, pages_with

FAILS = '''\
"""Each task fails in a way of its own."""
import os
import signal
import time

from queue_manager import Options

OPTIONS = Options(attempts=1, timeout_s=0.5)


def tasks():
    yield from (1, 2, 3)


def work(n):
    if n == 1:
        time.sleep(60)
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("timed out after 3 s")
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job whose tasks fail."""
    return pages_with(start_master, fails=FAILS)


@pytest.fixture
def visitor(web: Web) -> Browser:
    return Browser(web, web.act, "zh-CN,zh;q=0.9")


def test_why_a_run_does_not_move_is_said_in_chinese(web: Web, visitor: Browser) -> None:
    run = web.master.submit("square", "count=3")
    tagged = visitor.send("/submit/square", needs="gpu").headers["Location"]
    later = web.master.submit("square", "count=4", "--after", str(run))
    for path in (f"/api/runs/{run}", f"/api{tagged}"):
        eventually(lambda path=path: web.json(path)["run"]["why"], what="a reason")
    page = visitor.get(f"/runs/{run}").text
    assert (
        "没有工作端连接：docker compose up --detach --scale worker=8，或 python -m worker" in page
    )
    assert "no worker" not in page
    page = visitor.get(tagged).text
    assert "没有工作端连接：请用 WORKER_TAGS=gpu 启动一个" in page
    assert f"等待运行 {run}" in visitor.get(f"/runs/{later}").text
    overview = visitor.get("/").text
    assert overview.count("没有工作端连接") == 2, "of all, and of the run with a tag"
    assert "no worker" not in overview


def test_what_is_wrong_with_a_field_is_said_in_chinese(web: Web, visitor: Browser) -> None:
    assert "整数" in visitor.get("/submit/square").text
    answer = visitor.send("/submit/square", **{"arg.count": "many"})
    assert answer.code == 400
    assert "参数 &#39;count&#39; 应为整数，而不是 &#39;many&#39;" in answer.text
    answer = visitor.send("/submit/square", args="cuont=3 start=4")
    assert "未知参数 &#39;cuont&#39;（是否想写 count？）" in answer.text
    typed = {"name": "nightly", "expression": "0 99 * * *", "job": "square"}
    assert "不是 cron 表达式" in visitor.send("/schedules/add", **typed).text
    answer = visitor.send("/schedules/add", **{**typed, "expression": "0 3 * * *", "job": "none"})
    assert "没有作业 &#39;none&#39;：jobs/ 中有 " in answer.text
    added = visitor.send(
        "/schedules/add", **{**typed, "expression": "0 3 * * *", "args": "count=2"}
    )
    assert added.code == 303
    assert "没有这个页面" in visitor.get("/nowhere").text


def test_how_a_task_failed_is_said_in_chinese_and_what_a_job_raised_is_not(
    web: Web, visitor: Browser
) -> None:
    web.master.worker()
    run = web.master.submit("fails")
    web.master.ended_tasks(run, 3)
    told = [visitor.get(f"/runs/{run}/tasks/{number}").text for number in (1, 2, 3)]
    assert "超过时限 0.5 秒" in told[0]
    assert "它的槽进程已终止：被 SIGKILL 终止" in told[1]
    assert "ValueError: timed out after 3 s" in told[2]
    groups = visitor.get("/failures").text
    assert "超过时限 0.5 秒" in groups
    assert "被 SIGKILL 终止" in groups

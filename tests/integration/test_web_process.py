"""The web process beside a real master: it is kept, it is let go, and the queue does not notice."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import Master, eventually
from tests.integration.web import Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages on a free port."""
    return Web(start_master(MASTER_HTTP_PORT="0"))


def test_the_log_has_the_link_and_the_command_prints_it_again(web: Web) -> None:
    link = web.master.process.says(r"pages: http").partition("pages: ")[2]
    assert web.master.command("dashboard").out == f"{link}\n"
    reading = web.master.command("dashboard", "--read", "--at", "192.0.2.1:99").out
    assert reading == f"http://192.0.2.1:99/?token={web.read}\n"
    assert link.endswith(web.act)


def test_only_this_user_can_read_the_tokens(web: Web) -> None:
    folder = Path(web.master.settings["MASTER_DATA"]) / "web"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}


def test_a_restarted_master_has_the_same_tokens(web: Web) -> None:
    before = web.read, web.act
    web.master.process.terminate()
    web.master.serve()
    assert (web.read, web.act) == before


def test_without_a_token_there_is_a_page_that_asks_for_one(web: Web) -> None:
    answer = web.get("/", token="")
    assert answer.code == 401
    assert 'name="token"' in answer.text
    assert web.get("/api/overview", token="").code == 401
    assert web.get("/api/overview", token="wrong").code == 401
    assert web.get("/healthz", token="").text == "ok\n"
    assert web.get("/readyz", token="").text == "ok\n"


def test_the_login_leads_whoever_is_in_to_a_page_of_ours_alone(web: Web) -> None:
    cookie = web.cookie(web.read)
    for to, told in (("/runs/1", "/runs/1"), ("//evil.example", "/evil.example")):
        answer = web.get(f"/login?to={to}", token="", Cookie=cookie)
        assert (answer.code, answer.headers["Location"]) == (303, told)
        answer = web.get(f"/login?to={to}", token="")
        assert (answer.code, "http-equiv" in answer.text) == (200, False)
        assert f'name="to" value="{told}"' in answer.text
    assert 'content="0; url=/login?to=%2Fruns%2F1"' in web.get("/runs/1", token="").text


def test_the_link_leads_to_the_overview_by_a_cookie(web: Web) -> None:
    answer = web.get(f"/?token={web.read}", token="")
    assert answer.code == 200
    assert 'content="0; url=/"' in answer.text
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    page = web.get("/", token="", Cookie=cookie)
    assert page.code == 200
    assert "docker compose up --scale worker=2" in page.text
    assert web.read not in page.text


def test_a_run_is_on_its_page_and_in_its_json(web: Web) -> None:
    worker = web.master.worker()
    run = web.master.submit("square", "count=12", "--key", "<b>bold</b>")
    eventually(lambda: web.json(f"/api/runs/{run}")["run"]["state"] == "done")
    shown = web.json(f"/api/runs/{run}")
    assert shown["run"]["done"] == 12
    eventually(lambda: web.json(f"/api/runs/{run}")["printed"].count(" * ") == 12)
    assert [one["run"] for one in web.json("/api/runs?state=done")["runs"]] == [run]
    page = web.page(f"/runs/{run}")
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert worker.popen.poll() is None
    assert web.get("/runs/99", token="").code == 401
    assert web.get("/api/runs/99").code == 404


def test_a_killed_web_process_comes_again_on_its_port(web: Web) -> None:
    (first,) = web.pids()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: web.pids() not in ([], [first]), what="another web process")
    assert web.json("/api/overview")["status"]["version"]
    assert web.master.process.says("the web process was killed by SIGKILL; it starts again in 0.1")


def test_a_master_that_ends_takes_its_web_process_along(web: Web) -> None:
    (pid,) = web.pids()
    assert web.json("/api/overview")
    os.kill(pid, signal.SIGSTOP)
    assert web.master.process.terminate() == 0
    assert not Path(f"/proc/{pid}").exists()
    assert web.master.command("dashboard").refusal.startswith("qm: no master with MASTER_DATA=")


def test_a_killed_master_takes_its_web_process_along(web: Web) -> None:
    (pid,) = web.pids()
    web.master.process.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_the_queue_goes_on_while_the_web_process_is_frozen(web: Web) -> None:
    (pid,) = web.pids()
    os.kill(pid, signal.SIGSTOP)
    web.master.worker()
    run = web.master.submit("square", "count=50")
    assert len(web.master.ended_tasks(run, 50)) == 50
    os.kill(pid, signal.SIGCONT)
    assert web.json(f"/api/runs/{run}")["run"]["done"] == 50


def test_a_taken_port_is_another_one_unless_it_was_asked_for(
    start_master: Callable[..., Master],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        master = start_master(MASTER_HTTP_PORT=port)
        line = master.process.says("no pages")
        assert f"MASTER_HTTP_PORT={port}: can't listen there: Address already in use" in line
        assert master.status()
        assert master.children("master.web") == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"HTTP_BIND": "0.0.0.0"}, "HTTP_BIND=0.0.0.0, and nothing encrypts"),
        ({"HTTP_PUBLISH": "192.0.2.1:80"}, "HTTP_PUBLISH=192.0.2.1:80, and nothing encrypts"),
        ({"HTTP_TLS_CERT": "/nowhere"}, "HTTP_TLS_CERT and HTTP_TLS_KEY: one of them is not set"),
        ({"HTTP_TLS_CERT": "/nowhere", "HTTP_TLS_KEY": "/x"}, "/nowhere: the file can't be read"),
    ],
)
def test_pages_that_strangers_could_read_are_not_served(
    start_master: Callable[..., Master], settings: dict[str, str], why: str
) -> None:
    master = start_master(MASTER_HTTP_PORT="0", **settings)
    line = master.process.says("no pages")
    assert why in line
    assert line.endswith("The queue goes on")
    assert master.status()


def test_behind_a_proxy_they_are_served_in_clear(start_master: Callable[..., Master]) -> None:
    web = Web(start_master(MASTER_HTTP_PORT="0", HTTP_BIND="0.0.0.0", HTTP_PLAIN="1"))
    link = f"/?token={web.read}"
    answer = web.get(link, token="", **{"X-Forwarded-Proto": "https"})
    assert answer.headers["Set-Cookie"].endswith("; Secure")
    run = web.master.submit("square", "count=1")
    assert cancelled_from(web, run, "10.0.0.1, asked by nobody, 192.0.2.7") == 200
    web.master.process.says(
        rf"run {run} \(square\): .* cancelled.* by a program at 192.0.2.7 with the token `act`"
    )


def test_without_a_proxy_nobody_says_where_a_request_comes_from(web: Web) -> None:
    answer = web.get(f"/?token={web.read}", token="", **{"X-Forwarded-Proto": "https"})
    assert not answer.headers["Set-Cookie"].endswith("; Secure")
    run = web.master.submit("square", "count=1")
    assert cancelled_from(web, run, "192.0.2.7") == 200
    line = rf"run {run} \(square\): .* cancelled.* asked by a program at 127.0.0.1 with"
    web.master.process.says(line)


def cancelled_from(web: Web, run: int, address: str) -> int:
    """Cancel a run with this header of a proxy. Returns the code of the answer."""
    headers = {"Authorization": f"Bearer {web.act}", "Content-Type": "application/json"}
    headers["X-Forwarded-For"] = address
    return web.ask("POST", f"/api/runs/{run}/cancel", b"{}", **headers).code


def test_runs_are_found_and_paged_both_ways(web: Web) -> None:
    runs = [web.master.submit("square", "count=0", "--key", f"key-{n}-") for n in range(1, 13)]
    eventually(lambda: not web.json("/api/runs?state=active")["runs"], what="the end of all")

    def numbers(view: dict[str, Any]) -> list[int]:
        return [run["run"] for run in view["runs"]]

    first = web.json("/api/runs?limit=5")
    second = web.json(f"/api/runs?limit=5&after={first['older']}")
    third = web.json(f"/api/runs?limit=5&after={second['older']}")
    assert numbers(first) + numbers(second) + numbers(third) == runs[::-1]
    assert (first["newer"], third["older"]) == (None, None)
    again = web.json(f"/api/runs?limit=5&before={third['newer']}")
    assert numbers(again) == numbers(second)
    before = web.json(f"/api/runs?limit=5&before={again['newer']}")
    assert numbers(before) == numbers(first)
    assert before["newer"] is None
    assert numbers(web.json("/api/runs?search=KEY-7-")) == [runs[6]]
    assert numbers(web.json("/api/runs?search=nothing-has-this")) == []
    page = web.page(f"/runs?limit=5&job=square&after={first['older']}")
    assert f'href="/runs?job=square&amp;limit=5&amp;before={second["newer"]}"' in page

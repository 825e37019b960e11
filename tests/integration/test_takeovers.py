"""Two masters, one store: which of them has the queue, and what becomes of runs when that changes.

The times are those that docs/high-availability.md promises, and two seconds for a busy machine.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_manager.wire.tls import has_psk
from tests.integration.processes import eventually
from tests.integration.two_masters import Scene
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.waits, pytest.mark.timeout(240)]

CRASH_S, ORDER_S, FREEZE_S = 1.0, 0.5, 5.0
"""Until another master is the active one."""

WORK_S = 5.0
"""Until work goes on, whatever has happened."""

BUSY_S = 2.0


@pytest.fixture
def scene(tmp_path: Path, own_postgres: PostgresServer, started: list[Any]) -> Iterator[Scene]:
    made = Scene(tmp_path, own_postgres, started)
    yield made
    made.clean()


def http(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_standby_says_that_it_is_one_and_the_status_shows_all(scene: Scene) -> None:
    active, standby = scene.start("a", "b")
    assert b"#STANDBY# this master stands by" in standby.answer()
    assert b"#CHALLENGE#" in active.answer()
    assert http(standby.http, "/healthz")[0] == 200
    assert http(standby.http, "/readyz") == (503, "this master stands by; ask the active one\n")
    eventually(lambda: http(active.http, "/readyz")[0] == 200)
    lines = [line.split()[:3] for line in active.status().splitlines()[1:3]]
    assert lines == [
        ["active", "a", f"127.0.0.1:{active.port}"],
        ["standby", "b", f"127.0.0.1:{standby.port}"],
    ]
    told = json.loads(active.command("status", "--json").out)["masters"]
    assert [(m["role"], m["name"], m["lag_s"] < 5) for m in told] == [
        ("active", "a", True),
        ("standby", "b", True),
    ]
    password = "with/these"
    assert password not in active.process.log + standby.process.log


@pytest.mark.parametrize(
    ("number", "limit_s"),
    [(signal.SIGKILL, CRASH_S), (signal.SIGTERM, ORDER_S), (signal.SIGSTOP, FREEZE_S)],
)
def test_a_run_goes_on_with_the_other_master(
    scene: Scene, number: signal.Signals, limit_s: float
) -> None:
    active, standby = scene.start("a", "b")
    for worker in range(2):
        scene.worker(worker)
    run = active.submit("noted", "count=400")
    eventually(lambda: active.run_status(run).done > 40)
    before, since = active.run_status(run).done, time.monotonic()
    active.process.popen.send_signal(number)
    answers_s, goes_on_s = scene.takes_over(standby, run, before + 20, since)
    print(f"{number.name}: answers after {answers_s:.2f} s, records after {goes_on_s:.2f} s")
    assert answers_s < limit_s + BUSY_S
    assert goes_on_s < max(limit_s, WORK_S) + BUSY_S
    if number is signal.SIGSTOP:
        active.process.popen.send_signal(signal.SIGCONT)
        active.process.says("is not the active one any more: .* It stands by")
        active.stands_by()
        assert active.process.popen.poll() is None
    elif number is signal.SIGTERM:
        assert active.process.wait() == 0
    scene.check(standby, run, 400)
    # A task may have begun twice only where its first result never reached a master.
    again = [n for n, times in Counter(n for n, _ in scene.starts()).items() if times > 1]
    assert not again


def test_a_running_task_keeps_its_lease_over_a_change(scene: Scene) -> None:
    active, standby = scene.start("a", "b")
    scene.worker(0)
    run = active.submit("noted", "count=2", "seconds=6")
    eventually(lambda: len(scene.starts()) == 2)
    active.process.kill()
    scene.check(standby, run, 2)
    assert sorted(n for n, _ in scene.starts()) == [0, 1]


def test_masters_take_turns_and_nothing_is_lost(scene: Scene) -> None:
    """Killed, frozen and stopped, one after the other; each comes back as a standby."""
    scene.start("a", "b")
    scene.worker(0)
    run = scene.peers[0].submit("noted", "count=2000", "seconds=0.02")
    for turn, number in enumerate([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM]):
        old, new = scene.peers[turn % 2], scene.peers[(turn + 1) % 2]
        done = old.run_status(run).done
        eventually(lambda old=old, done=done: old.run_status(run).done > done + 20)  # type: ignore[misc]
        old.process.popen.send_signal(number)
        eventually(lambda new=new: new.is_active)  # type: ignore[misc]
        if number is signal.SIGSTOP:
            old.process.popen.send_signal(signal.SIGCONT)
        else:
            old.process.wait()
            old.begin()
        scene.known(2)
    scene.check(scene.peers[1], run, 2000)


def test_a_restart_of_the_database_leaves_the_active_master_as_it_is(scene: Scene) -> None:
    active, standby = scene.start("a", "b")
    scene.worker(0)
    run = active.submit("noted", "count=200")
    eventually(lambda: active.run_status(run).done > 20)
    scene.server.restart(away_s=1.0)
    scene.check(active, run, 200)
    assert active.process.lines("is there again")
    assert not standby.is_active
    starts = Counter(n for n, _ in scene.starts())
    assert max(starts.values()) == 1


def test_a_url_that_is_wrong_is_one_line(scene: Scene) -> None:
    (active,) = scene.start("a")
    ended = active.command("serve", MASTER_STORE="postgresql://me:s3cret@host:x/queue")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("qm: MASTER_STORE")
    assert ended.err.count("\n") == 1
    assert "s3cret" not in ended.err
    ended = active.command("run", "noted")
    assert ended.code == 2
    assert "MASTER_STORE is set" in ended.err


@pytest.mark.skipif(has_psk(), reason="this Python can encrypt")
def test_a_master_that_could_not_serve_does_not_stand_by(scene: Scene) -> None:
    (active,) = scene.start("a")
    where = {"QUEUE_BIND": "0.0.0.0", "QUEUE_ALLOW_WEAK_AUTHKEY": "1", "QUEUE_PORT": "0"}
    ended = active.command("serve", **where)
    assert ended.code == 2
    assert "encryption needs Python 3.13" in ended.err
    assert active.is_active

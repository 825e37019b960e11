"""Who owns a schema, with a real server and real processes: times, and no two that write.

The times are those of docs/design.md and a second for a busy machine.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.processes import Process, eventually
from tests.postgres_proxy import Proxy
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.waits, pytest.mark.timeout(120)]

SCHEMA = "owned"
CRASH_S, ORDER_S, FREEZE_S = 1.0, 0.5, 5.0
BUSY_S = 1.0


class Owner(Process):
    """An `owner_program`."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        words = [sys.executable, "-m", "tests.integration.owner_program", url, name]
        repo = str(Path(__file__).resolve().parents[2])
        super().__init__(folder / f"{name}.log", words, {**os.environ, "PYTHONPATH": repo})

    @property
    def epochs(self) -> list[int]:
        """The epochs in which it was the active one."""
        return [int(line.split()[1]) for line in self.lines("^active")]

    def signal(self, number: int) -> float:
        """Send a signal; returns the time (UTC epoch, s)."""
        now = time.time()
        self.popen.send_signal(number)
        return now


class Scene:
    """A server, and masters on it."""

    def __init__(self, folder: Path, server: PostgresServer, started: list[Any]) -> None:
        self._folder, self.server, self._started = folder, server, started
        self.masters: list[Owner] = []

    def start(self, name: str, port: int = 0) -> Owner:
        """A master that says that it stands by. port: of a proxy."""
        owner = Owner(self._folder, name, self.server.dsn(SCHEMA, port=port))
        self._started.append(owner)
        self.masters.append(owner)
        owner.says("^stands by")
        return owner

    def pair(self, port: int = 0) -> tuple[Owner, Owner]:
        """An active master and one that has stood by for a moment. port: the active one's proxy."""
        active = self.start("a", port)
        active.says("^ack 1 20$")
        standby = self.start("b")
        eventually(lambda: len(self.ask("SELECT name FROM masters")) == 2)
        beats = "SELECT beats FROM masters WHERE name = 'a'"
        (seen,) = self.ask(beats)
        eventually(lambda: self.ask(beats)[0][0] > seen[0] + 1)  # it has read of the other
        return active, standby

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.server.superuser("queue") as db:
            db.execute(f"SET search_path = {SCHEMA}")
            return db.execute(query).fetchall()

    def first_commit(self, epoch: int) -> float:
        """When the first commit of an epoch was made, UTC epoch in seconds."""

        def found() -> float | None:
            query = f"SELECT extract(epoch FROM min(at))::float8 FROM written WHERE epoch = {epoch}"
            try:
                return float(self.ask(query)[0][0] or 0.0)
            except psycopg.OperationalError:
                return None

        return eventually(found, 20.0) or 0.0

    def check(self) -> None:
        """Nothing acknowledged is lost or there twice, and no two masters wrote at a time."""
        acked = [  # before the rows are read: the active one goes on
            (int(epoch), int(n))
            for owner in self.masters
            for epoch, n in re.findall(r"^ack (\d+) (\d+)$", owner.log, re.MULTILINE)
        ]
        assert len(acked) == len(set(acked))
        rows = self.ask("SELECT epoch, n FROM written")
        assert len(rows) == len(set(rows))
        assert set(acked) <= set(rows)
        spans = self.ask("SELECT min(at), max(at) FROM written GROUP BY epoch ORDER BY epoch")
        assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))


@pytest.fixture
def scene(tmp_path: Path, own_postgres: PostgresServer, started: list[Any]) -> Scene:
    return Scene(tmp_path, own_postgres, started)


@pytest.fixture
def proxy(own_postgres: PostgresServer) -> Iterator[Proxy]:
    made = Proxy(own_postgres.port)
    yield made
    made.end()


def test_a_killed_master_is_replaced(scene: Scene) -> None:
    active, standby = scene.pair()
    killed = active.signal(signal.SIGKILL)
    assert scene.first_commit(2) - killed < CRASH_S + BUSY_S
    assert standby.epochs == [2]
    scene.check()


def test_a_master_that_stops_in_order_is_replaced_at_once(scene: Scene) -> None:
    active, _ = scene.pair()
    stopped = active.signal(signal.SIGTERM)
    assert scene.first_commit(2) - stopped < ORDER_S + BUSY_S
    assert active.wait() == 0
    assert [name for (name,) in scene.ask("SELECT name FROM masters")] == ["b"]
    scene.check()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_frozen_master_is_replaced_and_writes_nothing_when_it_thaws(
    scene: Scene, number: int
) -> None:
    """Between commits or in one; inside a transaction; while it sends 2 MB."""
    active, standby = scene.pair()
    frozen = active.signal(number)
    assert scene.first_commit(2) - frozen < FREEZE_S
    active.popen.send_signal(signal.SIGCONT)
    active.says("^lost .*(b stands by|another master has taken over)")
    eventually(lambda: len(active.lines("^stands by")) == 2)
    assert (active.epochs, standby.epochs) == ([1], [2])
    standby.signal(signal.SIGTERM)  # and it is of use again
    scene.first_commit(3)
    scene.check()


def test_a_master_behind_a_silent_network_is_replaced_and_gives_up(
    scene: Scene, proxy: Proxy
) -> None:
    active, _ = scene.pair(proxy.port)
    silent = time.time()
    proxy.fall_silent()
    assert scene.first_commit(2) - silent < FREEZE_S
    active.says("^lost it has not reached the database for .* b stands by", 10.0)
    proxy.speak()
    eventually(lambda: len(active.lines("^stands by")) == 2)
    scene.check()


def test_a_master_that_is_alone_waits_for_a_silent_network(scene: Scene, proxy: Proxy) -> None:
    alone = scene.start("a", proxy.port)
    alone.says("^ack 1 20$")
    proxy.fall_silent()
    acked = len(alone.lines("^ack"))
    time.sleep(4.0)  # longer than a lease
    proxy.cut()
    proxy.speak()
    eventually(lambda: len(alone.lines("^ack")) > acked + 20)
    assert alone.epochs == [1]
    assert not alone.lines("^lost")
    scene.check()


def restarted(server: PostgresServer) -> None:
    server.restart()


def killed(server: PostgresServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("happens", [restarted, killed])
def test_the_active_master_stays_it_over_a_restart_of_the_server(
    scene: Scene, happens: Callable[[PostgresServer], None]
) -> None:
    active, standby = scene.pair()
    happens(scene.server)
    back = time.monotonic()
    acked = len(active.lines("^ack"))
    eventually(lambda: len(active.lines("^ack")) > acked + 5)
    assert time.monotonic() - back < CRASH_S + BUSY_S
    time.sleep(2.0)  # the standby would have taken it by now
    assert (active.epochs, standby.epochs) == ([1], [])
    scene.check()


def test_a_session_that_an_administrator_ends_is_opened_again(scene: Scene) -> None:
    active, standby = scene.pair()
    for _ in range(3):
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
        assert scene.ask(f"{ended}'quartermaster/a/1'") == [(True,)]
        acked = len(active.lines("^ack"))
        eventually(lambda acked=acked: len(active.lines("^ack")) > acked + 5)  # type: ignore[misc]
    time.sleep(1.0)
    assert (active.epochs, standby.epochs) == ([1], [])
    scene.check()


def test_a_lock_that_the_server_holds_for_a_dead_connection_is_taken_again(
    scene: Scene, proxy: Proxy
) -> None:
    """The writer's connection is gone at its end alone: the server knows nothing of that."""
    alone = scene.start("a", proxy.port)
    alone.says("^ack 1 20$")
    proxy.abandon()
    acked = len(alone.lines("^ack"))
    eventually(lambda: len(alone.lines("^ack")) > acked + 20, 5.0)
    assert alone.epochs == [1]
    scene.check()


def test_of_many_masters_one_is_active_at_a_time(scene: Scene) -> None:
    for name in "abcde":
        scene.start(name)
    for epoch in range(1, 5):
        scene.first_commit(epoch)
        (active,) = [owner for owner in scene.masters if epoch in owner.epochs]
        active.signal(signal.SIGKILL if epoch % 2 else signal.SIGTERM)
    scene.first_commit(5)
    scene.check()


def test_masters_wait_for_a_server_that_is_away_at_their_start(scene: Scene) -> None:
    scene.server.stop()
    owner = scene.start("a")
    owner.says("this master waits for the database")
    scene.server.start()
    owner.says("^ack 1 20$", 5.0)

"""What becomes of work while its database is killed, full, cut off, or another server's.

Each test ends with the same check: every task was done once, and none that was acknowledged is
lost. The times are those that docs/design.md promises, and a second for a busy machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.databases import AWAY, BACK, Stored
from tests.integration.processes import eventually
from tests.postgres_proxy import Proxy
from tests.postgres_server import ROLE, USER, PostgresServer

pytestmark = [pytest.mark.waits, pytest.mark.timeout(240)]

GOES_ON_S = 2.0
"""Until puts and results come again, after the database is back: a second, and a busy machine's."""

MOST_A_SECOND = 20
"""Connections that a master tries while the database is away: three threads, each with a pause."""


@pytest.fixture
def proxy(own_postgres: PostgresServer) -> Iterator[Proxy]:
    made = Proxy(own_postgres.port)
    yield made
    made.end()


@pytest.fixture
def start_stored(tmp_path: Path, started: list[Any]) -> Callable[[str], Stored]:
    def start(url: str) -> Stored:
        made = Stored(tmp_path, started, url)
        made.begin()
        return made

    return start


def sessions(server: PostgresServer, where: str = "true") -> list[tuple[int, str]]:
    """The master's sessions: process id and name."""
    query = "SELECT pid, application_name FROM pg_stat_activity WHERE application_name LIKE"
    with server.superuser() as db:
        return db.execute(f"{query} 'quartermaster/%' AND ({where})").fetchall()


def told_once(master: Stored) -> None:
    master.process.says(BACK)  # when the reader has its connection, too
    assert (master.told(AWAY), master.told(BACK)) == (1, 1), master.process.log
    assert not master.told("Traceback|an error of ours"), master.process.log


def test_a_database_that_is_killed_and_comes_back_costs_nothing_but_the_time(
    own_postgres: PostgresServer, proxy: Proxy, start_stored: Callable[[str], Stored]
) -> None:
    master = start_stored(own_postgres.dsn("shared", port=proxy.port))
    before, began = proxy.accepted, time.monotonic()
    own_postgres.kill()
    with master.away():
        time.sleep(2.0)  # how long it is away, not a wait for something
    own_postgres.start()
    took_s = master.goes_on()
    tried, away_s = proxy.accepted - before, time.monotonic() - began
    print(f"goes on after {took_s:.2f} s; {tried} connections in {away_s:.1f} s")
    assert took_s < GOES_ON_S
    assert tried < MOST_A_SECOND * away_s
    told_once(master)
    master.check()
    assert not master.troubles()


def test_a_connection_that_is_dropped_without_a_word_is_noticed(
    own_postgres: PostgresServer, proxy: Proxy, start_stored: Callable[[str], Stored]
) -> None:
    """The server's end stays open: it has to let go of the lock for the master's next session."""
    master = start_stored(own_postgres.dsn("shared", port=proxy.port))
    proxy.abandon()
    took_s = master.goes_on()
    print(f"abandoned: goes on after {took_s:.2f} s")
    assert took_s < GOES_ON_S
    proxy.fall_silent()
    with master.away():
        time.sleep(1.0)
    proxy.speak()
    took_s = master.goes_on()
    print(f"silent: goes on after {took_s:.2f} s")
    assert took_s < GOES_ON_S
    assert master.told(AWAY) <= 4  # two faults; reader and writer may notice each apart
    master.check()


def test_sessions_that_an_administrator_ends_come_back_at_once(
    own_postgres: PostgresServer, start_stored: Callable[[str], Stored]
) -> None:
    master = start_stored(own_postgres.dsn("shared"))
    with own_postgres.superuser() as db:
        db.execute(f"ALTER ROLE {ROLE} SET idle_in_transaction_session_timeout = '5ms'")
    ended = 0
    for _ in range(6):
        with own_postgres.superuser() as db:
            found = db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'quartermaster/%'"
            ).fetchall()
        ended += len(found)
        eventually(lambda: len(sessions(own_postgres)) >= 3)
        assert master.goes_on() < GOES_ON_S
    assert ended >= 12
    assert not master.told("Traceback|an error of ours"), master.process.log
    master.check()


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory, which the server may write to."""
    folder = Path(tempfile.mkdtemp(prefix="qm-disk-"))
    folder.chmod(0o755)
    size = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "qm-test", str(folder)], check=True)
    try:
        shutil.chown(folder, USER, USER)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Use up all that is free there."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_database_whose_disk_is_full_goes_on_when_there_is_room(
    own_postgres: PostgresServer, start_stored: Callable[[str], Stored]
) -> None:
    with small_disk(64) as disk:
        with own_postgres.superuser() as db:
            db.execute(f"CREATE TABLESPACE small OWNER {ROLE} LOCATION '{disk}'")
            db.execute("ALTER DATABASE queue SET TABLESPACE small")
        master = start_stored(own_postgres.dsn("shared"))
        filler = fill(disk)
        eventually(lambda: any("make room" in line for line in master.troubles()))
        assert "make room" in master.command("status").out
        filler.unlink()
        took_s = master.goes_on()
        print(f"goes on after {took_s:.2f} s")
        assert took_s < GOES_ON_S
        assert master.told("No space left on device.* what came waits") == 1, master.process.log
        eventually(lambda: not master.troubles())
        master.check()
        master.process.terminate()
        own_postgres.stop()


def test_a_failover_to_a_replica_loses_nothing_that_was_acknowledged(
    own_postgres: PostgresServer, start_stored: Callable[[str], Stored]
) -> None:
    replica = own_postgres.replica()
    try:
        with own_postgres.superuser() as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
            db.execute("SELECT pg_reload_conf()")
            eventually(
                lambda: db.execute(
                    "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
                ).fetchone()
            )
        url = own_postgres.dsn("shared", target_session_attrs="read-write")
        place = f"127.0.0.1:{own_postgres.port}"
        master = start_stored(url.replace(place, f"{place},127.0.0.1:{replica.port}"))
        own_postgres.kill()
        with master.away():
            time.sleep(1.0)  # how long none takes writes, not a wait for something
        replica.promote()  # it takes writes a moment before this returns
        with replica.superuser() as db:
            db.execute("ALTER SYSTEM RESET synchronous_standby_names")
            db.execute("SELECT pg_reload_conf()")
        took_s = master.goes_on()
        print(f"goes on after {took_s:.2f} s")
        assert took_s < GOES_ON_S
        told_once(master)
        master.check()
    finally:
        replica.end()

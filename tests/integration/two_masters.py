"""Masters that share a store, with workers that know all of them, as processes of one machine."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from queue_manager.errors import QueueError
from queue_manager.wire.messages import AskRun, RunShown
from queue_manager.wire.records import RunStatus
from tests.integration.processes import Master, Place, Process, eventually
from tests.postgres_server import PostgresServer

NOTED = """
import json, os, time

def tasks(count: int = 100, seconds: float = 0.05):
    yield from ([n, seconds] for n in range(count))

def work(payload):
    n, seconds = payload
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps([n, time.time()]) + "\\n")
    time.sleep(seconds)
    return n * n
"""
"""A job that notes each start of a task in a file."""


class Peer(Master):
    """One of the masters. It has a folder and a port of its own, and may stand by."""

    def __init__(self, scene: Scene, name: str) -> None:
        folder = scene.folder / name
        folder.mkdir()
        self.name, self.port, self.workers = name, _free_port(), 0
        self.http = _free_port()
        settings = {
            "MASTER_STORE": scene.server.dsn("shared"),
            "MASTER_NAME": name,
            "MASTER_ADDRESS": f"127.0.0.1:{self.port}",
            "QUEUE_PORT": str(self.port),
            "MASTER_HTTP_PORT": str(self.http),
            "JOBS_FOLDER": str(scene.jobs),
        }
        Place.__init__(self, folder, scene.started, **settings)
        self.begin()

    def begin(self) -> None:
        """Start it. It may stand by."""
        self.process = self.start("master.log", "master", "serve")

    @property
    def is_active(self) -> bool:
        """Whether a client gets a session with it."""
        if self.process.popen.poll() is not None:
            return False
        try:
            self.session().close()
        except (QueueError, OSError, EOFError):
            return False
        return True

    def run_status(self, run: int) -> RunStatus:
        """How a run stands, as this master says."""
        return self.asked(AskRun(1, run), RunShown).run

    def stands_by(self, times: int = 1) -> None:
        """Wait until it has said so often that it stands by, and the active one knows of it."""
        eventually(lambda: len(self.process.lines("stands by on")) >= times)

    def answer(self) -> bytes:
        """What somebody gets who connects."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.settimeout(10)
            return sock.recv(200)


class Scene:
    """A server, masters on it, and workers."""

    def __init__(self, folder: Path, server: PostgresServer, started: list[Any]) -> None:
        self.folder, self.server, self.started = folder, server, started
        self.jobs = folder / "jobs"
        self.jobs.mkdir()
        (self.jobs / "noted.py").write_text(NOTED)
        self.notes = folder / "notes"
        self.notes.touch()
        self.peers: list[Peer] = []

    def start(self, *names: str) -> list[Peer]:
        """Masters, the first of them active, the others standing by."""
        for name in names:
            peer = Peer(self, name)
            self.peers.append(peer)
            if len(self.peers) == 1:
                eventually(lambda peer=peer: peer.is_active)  # type: ignore[misc]
            else:
                peer.stands_by()
        self.known(len(self.peers))
        return self.peers

    def known(self, count: int) -> None:
        """Wait until the database has so many masters that live, and the active one has read it."""
        query = (
            "SELECT count(*), max(beats) FILTER (WHERE epoch IS NOT NULL) FROM shared.masters"
            " WHERE seen_at > clock_timestamp() - interval '3 s'"
        )

        def seen() -> tuple[int, int]:
            with self.server.superuser("queue") as db:
                row = db.execute(query).fetchone()
                return row[0], row[1] or 0  # type: ignore[index]

        eventually(lambda: seen()[0] == count, what=f"{count} masters")
        beats = seen()[1]
        eventually(lambda: seen()[1] > beats + 1, what="two beats")

    def worker(self, number: int, slots: int = 2) -> Process:
        """A worker that knows all masters by QUEUE_HOST."""
        hosts = ",".join(f"127.0.0.1:{peer.port}" for peer in self.peers)
        peer = self.peers[0]
        environment = peer.environment(
            QUEUE_HOST=hosts,
            WORKER_SLOTS=str(slots),
            NOTES=str(self.notes),
            HEALTH_FILE=str(self.folder / f"health-{number}"),
        )
        words = [sys.executable, "-m", "worker"]
        worker = Process(self.folder / f"worker-{number}.log", words, environment)
        self.started.append(worker)
        return worker

    def sessions(self) -> str:
        """What the server's sessions do and wait for, and who the masters are, for a failure."""
        with self.server.superuser("queue") as db:
            rows = db.execute(
                "SELECT pid, application_name, state, wait_event, pg_blocking_pids(pid), query"
                " FROM pg_stat_activity WHERE usename = 'quartermaster'"
            ).fetchall()
            rows += db.execute("SELECT * FROM shared.masters").fetchall()
            rows += db.execute("SELECT * FROM shared.owner").fetchall()
        return "\n".join(map(str, rows))

    def starts(self) -> list[tuple[int, float]]:
        """Each start of a task: its number, and when."""
        return [tuple(json.loads(line)) for line in self.notes.read_text().splitlines()]

    def takes_over(self, peer: Peer, run: int, before: int, since: float) -> tuple[float, float]:
        """Seconds until a master answers a client, and until it has recorded a new result.

        before: the results that there were. since: of the monotonic clock.
        """
        try:
            eventually(lambda: peer.is_active, 30.0, f"{peer.name} active")
        except AssertionError as error:
            logs = "".join(f"== {one.name}\n{one.process.log}" for one in self.peers)
            raise AssertionError(f"{error}\n{logs}\n{self.sessions()}") from None
        answers_s = time.monotonic() - since
        eventually(lambda: peer.run_status(run).done > before, 30.0)
        return answers_s, time.monotonic() - since

    def check(self, peer: Peer, run: int, count: int) -> None:
        """Every task of a run is done, with its result, and has been recorded once."""
        eventually(lambda: peer.is_active, what=f"{peer.name} active:\n{peer.process.log}")
        eventually(lambda: peer.run_status(run).state == "done", 120.0)
        results = peer.results(run)
        assert [r["task"] for r in results] == list(range(1, count + 1))
        assert all(r["state"] == "done" and r["result"] == r["payload"][0] ** 2 for r in results)
        assert all(r["attempts"] == 1 for r in results)

    def clean(self) -> None:
        """Let frozen masters end, too."""
        for peer in self.peers:
            if peer.process.popen.poll() is None:
                os.kill(peer.process.popen.pid, 18)  # SIGCONT


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port

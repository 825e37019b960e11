"""What runs on the hosts: masters on A and B, PostgreSQL on C, a worker on each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.hosts.bridge import NET
from tests.integration.processes import Place, Process
from tests.postgres_server import PostgresServer

from .net import DATABASE_PORT, QUEUE_PORT, Host, Net

SCHEMA = "shared"
SLOTS = 4
JOB = '''
import os, time
from pathlib import Path

NOTES = Path(os.environ.get("NOTES", "/nowhere"))
PACE = NOTES / "pace"

def tasks(count: int = 100):
    yield from range(count)

def work(n):
    """Notes that it began, sleeps for as long as the file `pace` says, tells its input squared."""
    with open(NOTES / os.environ["NOTED_HOST"], "a") as notes:
        notes.write(f"{n} {time.time()}\\n")
    time.sleep(float(PACE.read_text() or 0))
    return [n, n * n]
'''


class Database(PostgresServer):
    """The server on its host. It notes when each transaction was committed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        super().__init__(
            DATABASE_PORT,
            fsync="on",
            track_commit_timestamp="on",
            tcp_keepalives_idle="1",
            tcp_keepalives_interval="1",
            tcp_keepalives_count="3",
            tcp_user_timeout="3000",
        )

    def _write_settings(self) -> None:
        super()._write_settings()
        with (self.data / "tests.conf").open("a") as file:
            file.write(f"listen_addresses = '127.0.0.1,{self._host.address}'\n")
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {NET}.0/24 scram-sha-256\n")

    def _words(self, program: str, *words: str) -> list[str]:
        return [*self._host.inside, *super()._words(program, *words)]


class Master(Place):
    """One of the masters, active or not."""

    def __init__(self, ground: Ground, host: Host) -> None:
        folder = ground.folder / f"master-{host.name}"
        folder.mkdir()
        self.host, self.name = host, host.name
        settings = {
            "MASTER_STORE": ground.dsn,
            "MASTER_NAME": host.name,
            "MASTER_ADDRESS": f"{host.address}:{QUEUE_PORT}",
            "QUEUE_BIND": "0.0.0.0",
            "QUEUE_ALLOW_WEAK_AUTHKEY": "1",
            "QUEUE_TLS": "off",
            "QUEUE_PORT": str(QUEUE_PORT),
            "JOBS_FOLDER": str(ground.jobs),
        }
        super().__init__(folder, ground.started, **settings)
        self.begin()

    def begin(self) -> None:
        """Start it. It may stand by."""
        words = [*self.host.inside, sys.executable, "-m", "master", "serve"]
        log = self.folder / "master.log"
        self.process = Process(log, words, self.environment())
        self.started.append(self.process)


class Ground:
    """All of it, from `set_up` on. The processes are in `started`; `end` ends them."""

    def __init__(self, folder: Path, net: Net) -> None:
        self.folder, self.net = folder, net
        self.started: list[Any] = []
        self.jobs, self.notes = folder / "jobs", folder / "notes"
        for part in (self.jobs, self.notes):
            part.mkdir()
        (self.jobs / "noted.py").write_text(JOB)
        self.pace(0.05)
        self.masters: list[Master] = []
        self.server = Database(net.hosts[2])
        # The net is a machine's own: nothing need be encrypted.
        self.dsn = self.server.dsn(SCHEMA, net.hosts[2].address, sslmode="disable")
        hosts = ",".join(host.address for host in net.hosts[:2])
        settings = {"QUEUE_HOST": hosts, "QUEUE_PORT": str(QUEUE_PORT), "QUEUE_TLS": "off"}
        self.client = Place(folder, self.started, **settings, JOBS_FOLDER=str(self.jobs))

    def set_up(self) -> None:
        """Start the server, then the masters, then the workers."""
        self.server.make()
        for host in self.net.hosts[:2]:
            self.masters.append(Master(self, host))
        for host in self.net.hosts:
            self._worker(host)

    def _worker(self, host: Host) -> None:
        environment = self.client.environment(
            WORKER_SLOTS=str(SLOTS),
            NOTES=str(self.notes),
            NOTED_HOST=host.name,
            HEALTH_FILE=str(self.folder / f"health-{host.name}"),
        )
        words = [*host.inside, sys.executable, "-m", "worker"]
        self.started.append(Process(self.folder / f"worker-{host.name}.log", words, environment))

    def pace(self, seconds: float) -> None:
        """How long each task takes from now on."""
        new = self.notes / "pace.new"
        new.write_text(str(seconds))
        new.rename(self.notes / "pace")

    def begun(self) -> list[int]:
        """The input of each task that began, once for each time."""
        lines = [
            line for path in self.notes.glob("host*") for line in path.read_text().splitlines()
        ]
        return [int(line.split()[0]) for line in lines]

    def notes_bytes(self) -> dict[str, int]:
        """How long each host's notes are."""
        return {path.name: path.stat().st_size for path in self.notes.glob("host*")}

    def first_begun(self, after: float, but: str, behind: dict[str, int]) -> float | None:
        """When a task began first after a time, on other hosts than one; behind: of the notes."""
        found: list[float] = []
        for path in self.notes.glob("host*"):
            if path.name != but:
                with path.open() as file:
                    file.seek(behind.get(path.name, 0))
                    whole = file.read().rpartition("\n")[0].splitlines()
                found += [float(line.split()[1]) for line in whole]
        return min((at for at in found if at > after), default=None)

    def end(self) -> None:
        """End all processes; frozen ones, too."""
        for process in reversed(self.started):
            if process.popen.poll() is None:
                process.popen.kill()
        for process in self.started:
            process.popen.wait(30)
        self.server.end()

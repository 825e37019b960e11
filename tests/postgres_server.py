"""A PostgreSQL server of the tests' own: a private cluster in a temporary folder.

It listens on loopback, with a password, and on a socket, without one. Root can't run PostgreSQL,
so for root it runs as the user `postgres` that Debian's package makes. Where the tests end without
a word, so does the server (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg

USER = "postgres"
"""The user of the system that the server runs as, and the name of the database's superuser."""

ROLE, PASSWORD, DATABASE = "quartermaster", "a password: with/these @", "queue"

PATIENCE_S = 60.0

SETTINGS = {
    "unix_socket_permissions": "0777",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "fsync": "off",  # a server that is killed loses nothing by it, only a machine that is
    "autovacuum_naptime": "10s",
    "log_line_prefix": "'%m [%p] %a '",
}
"""What a test server has other than a fresh cluster."""


class MissingServerError(Exception):
    """This machine has no PostgreSQL server; the text is one line."""


def programs() -> Path:
    """The folder of the newest server's programs. Raises MissingServerError."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        raise MissingServerError("no PostgreSQL server on this machine: scripts/postgres.sh")
    return Path(initdb).resolve().parent


class PostgresServer:
    """A cluster, and its server while that runs.

    Attributes:
        folder: everything of it; `data` and `log` are in it, and so is the socket.
        port: its port on loopback, the same after a restart.
    """

    def __init__(self, port: int = 0, **settings: str) -> None:
        """Make the folder. port: 0 takes a free one. settings: in place of those in SETTINGS."""
        programs()
        self.folder = Path(tempfile.mkdtemp(prefix="qm-postgres-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.port = port or _free_port()
        self._settings = {**SETTINGS, **settings}
        self._server: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            shutil.chown(self.folder, USER, USER)

    def make(self) -> None:
        """Make an empty cluster with the role and the database of the tests, and start it."""
        shutil.copytree(_template(), self.data, copy_function=shutil.copyfile)
        if os.geteuid() == 0:
            for path in (self.data, *self.data.rglob("*")):
                shutil.chown(path, USER, USER)
        self.data.chmod(0o700)
        self._write_settings()
        self.start()

    # --- the server ---

    def start(self, ready: bool = True) -> None:
        """Start the server. ready: wait until it takes connections."""
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                self._words("postgres", "-D", str(self.data)), stdout=log, stderr=log, cwd="/"
            )
        if ready:
            self.await_ready()

    def await_ready(self) -> None:
        """Wait until the server takes connections, after its recovery if it needs one."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.superuser().close()
            except psycopg.Error as error:
                assert self._server is not None
                ended = self._server.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"{error}\n{self.log.read_text()[-2000:]}") from None
                time.sleep(0.01)
            else:
                return

    @property
    def runs(self) -> bool:
        """Whether the server's process is there."""
        return self._server is not None and self._server.poll() is None

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop it in order, and wait: `smart` waits for sessions, `fast` ends them."""
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(signals[mode])
            self._server.wait(PATIENCE_S)
            self._server = None

    def kill(self) -> None:
        """kill -9 of the server and of all its processes."""
        assert self._server is not None
        pids = [self._server.pid, *_children(self._server.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait(PATIENCE_S)
        self._server = None
        deadline = time.monotonic() + PATIENCE_S
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < deadline, "processes of a killed server are still there"
            time.sleep(0.005)

    def restart(self, away_s: float = 0.0) -> None:
        """Stop it, so that all sessions end, and start it. away_s: how long nobody answers."""
        self.stop()
        time.sleep(away_s)
        self.start()

    def end(self) -> None:
        """At the end of the tests: the server is gone, and its folder."""
        if self.runs:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def replica(self, name: str = "replica", **settings: str) -> PostgresServer:
        """A streaming replica that runs, by the replication slot and application name `name`."""
        other = PostgresServer(**{**self._settings, **settings})
        with self.superuser() as db:
            db.execute("SELECT pg_create_physical_replication_slot(%s)", [name])
        source = f"host={self.folder} port={self.port} user={USER} application_name={name}"
        words = ["-D", str(other.data), "-d", source, "-S", name, "-R", "-X", "stream"]
        self._run("pg_basebackup", *words, "--checkpoint=fast", "--no-sync")
        other._write_settings()
        other.start()
        return other

    def promote(self) -> None:
        """Make a primary of a replica, and wait until it is one."""
        with self.superuser() as db:
            db.execute("SELECT pg_promote()")

    # --- its clients ---

    def dsn(self, schema: str = "", host: str = "127.0.0.1", port: int = 0, **query: str) -> str:
        """The URL of the tests' database, as MASTER_STORE takes it. port: 0 is the server's."""
        words = {"schema": schema, **query} if schema else dict(query)
        tail = "&".join(f"{name}={quote(value, safe='')}" for name, value in words.items())
        login = f"{ROLE}:{quote(PASSWORD, safe='')}"
        place = f"{host}:{port or self.port}/{DATABASE}"
        return f"postgresql://{login}@{place}" + (f"?{tail}" if tail else "")

    def socket_dsn(self, schema: str) -> str:
        """The same by the socket, where the server asks for no password."""
        place = f"{DATABASE}?host={quote(str(self.folder), safe='')}&port={self.port}"
        return f"postgresql://{ROLE}@/{place}&schema={schema}"

    def superuser(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the superuser, by the socket."""
        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user=USER,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def drop(self, schema: str) -> None:
        """Delete a schema with all that is in it, whoever has a transaction open there."""
        with self.superuser(DATABASE) as db:
            held = "SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            held += " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s"
            db.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({held}) held", [schema])
            db.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')

    # --- inside ---

    def _write_settings(self) -> None:
        lines = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{self.folder}'",
        }
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        path = self.data / "tests.conf"
        path.write_text(text)
        path.chmod(0o644)
        main = self.data / "postgresql.conf"
        if "tests.conf" not in main.read_text():
            with main.open("a") as file:
                file.write("include 'tests.conf'\n")

    def _words(self, program: str, *words: str) -> list[str]:
        user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        as_user = user if os.geteuid() == 0 else []
        dies_with_us = ["setpriv", "--pdeathsig=QUIT", *as_user]
        return [*dies_with_us, str(programs() / program), *words]

    def _init(self) -> None:
        """Make a cluster with the role and the database of the tests."""
        words = ["-U", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8"]
        words += ["--no-sync", "--locale=C.UTF-8", "-D", str(self.data)]
        self._run("initdb", *words)
        self._write_settings()
        self.start()
        with self.superuser() as db:
            password = PASSWORD.replace("'", "''")
            db.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")
            db.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        self.stop()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            self._words(program, *words), cwd="/", capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def _template() -> Path:
    """A cluster that was made once for this process, and does not run. It goes with the process."""
    made = PostgresServer()
    atexit.register(made.end)
    made._init()
    return made.data


@contextlib.contextmanager
def running_server(**settings: str) -> Iterator[PostgresServer]:
    """A server with an empty cluster, which is gone afterwards. Raises MissingServerError."""
    server = PostgresServer(**settings)
    try:
        server.make()
        yield server
    finally:
        server.end()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

"""A PostgreSQL server for figures: a private cluster with its durable defaults, on loopback alone.

Debian's package is found where it puts the programs. Root can't run PostgreSQL, so for root it runs
as the user `postgres` that the package makes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from . import kernel
from .processes import Process, wait_until

USER = "postgres"
_LISTEN_S = 60.0


class MissingServerError(Exception):
    """This machine can't run PostgreSQL. The text is a few words."""


def command(program: str) -> tuple[str, ...]:
    """How a program of PostgreSQL is started here. Raises MissingServerError."""
    return (*as_user(), str(_programs() / program))


def as_user() -> tuple[str, ...]:
    """What stands before a command that root can't run itself. Raises MissingServerError."""
    if os.geteuid() != 0:
        return ()
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise MissingServerError(f"no user {USER}") from None
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


def make_cluster(folder: Path) -> Path:
    """Make an empty cluster in a folder, and give where it is. Raises MissingServerError."""
    data = folder / "pg"
    data.mkdir()
    if os.geteuid() == 0:
        folder.chmod(0o755)
        for path in (folder, data):
            shutil.chown(path, USER)
        data.chmod(0o700)
    words = ["-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", str(data)]
    subprocess.run([*command("initdb"), *words], check=True, capture_output=True, cwd="/")
    return data


class Server:
    """A server that runs. url: of its database `postgres`, for everybody on this machine."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"

    def database(self, name: str) -> str:
        """Make a database of its own, and give its URL."""
        with self.session() as db:
            db.execute(f"CREATE DATABASE {name}")
        return self.url.removesuffix("postgres") + name

    def session(self, url: str = "") -> psycopg.Connection[tuple[object, ...]]:
        """A session in autocommit, for `with`. url: of another database."""
        return psycopg.connect(url or self.url, autocommit=True)

    @contextlib.contextmanager
    def held_snapshot(self, url: str) -> Iterator[None]:
        """Hold a snapshot of that database: vacuum takes no row that is deleted from now on."""
        with self.session(url) as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            db.execute("SELECT count(*) FROM pg_class")
            yield


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Run a server on a cluster of its own in a folder, with PostgreSQL's defaults.

    Raises:
        MissingServerError: this machine has none.
    """
    data, port = make_cluster(folder), kernel.free_port()
    words = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    process = Process(
        words, folder / "postgres.log", {}, program=command("postgres"), own_session=True
    )
    with process:
        running = Server(process, port)
        wait_until(lambda: _listens(running), "a server that listens", _LISTEN_S)
        yield running


def _listens(running: Server) -> bool:
    if running.process.process.poll() is not None:
        raise RuntimeError(f"it has ended: {running.process.log.read_text()}")
    with contextlib.suppress(psycopg.OperationalError), running.session():
        return True
    return False


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        raise MissingServerError("no PostgreSQL server on this machine")
    return Path(initdb).resolve().parent


def _version(initdb: Path) -> int:
    return int(initdb.parts[-3])

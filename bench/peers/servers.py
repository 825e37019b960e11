"""Redis and PostgreSQL of this machine: how they are started in a scratch folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from ..rig import processes
from . import environment

USER = "postgres"
"""PostgreSQL does not run as root. Debian's package makes this user."""


def check(command: str) -> None:
    """Raise MissingError where this machine lacks what the command starts with."""
    program = command.partition(" ")[0]
    if program not in ("python", ""):
        words(program)
    if program == "postgres":
        processes.CACHE.mkdir(parents=True, exist_ok=True)
        reached = subprocess.run([*_as_user(), "test", "-x", str(processes.CACHE)], cwd="/")
        if reached.returncode:
            raise environment.MissingError(f"not started: {USER} cannot reach {processes.CACHE}")


def words(program: str) -> tuple[str, ...]:
    """How a server's program is started. Raises environment.MissingError where there is none."""
    if program == "redis-server":
        return (_redis(),)
    if program == "postgres":
        return (*_as_user(), str(_postgres_folder() / "postgres"))
    return (environment.program(program),)


def prepare(command: str, folder: Path) -> None:
    """What a server needs in its folder before its first start."""
    if not command.startswith("postgres "):
        return
    data = folder / "pg"
    data.mkdir()
    if os.geteuid() == 0:
        folder.chmod(0o755)
        for path in (folder, data):
            shutil.chown(path, USER)
        data.chmod(0o700)
    initdb = str(_postgres_folder() / "initdb")
    settings = ["-U", USER, "--auth=trust", "-D", str(data)]
    subprocess.run([*_as_user(), initdb, *settings], check=True, capture_output=True, cwd="/")


def _redis() -> str:
    """Redis is one program with several names. Debian's redis-tools has it without the service."""
    path = environment.program("redis-server", "redis-check-rdb")
    if Path(path).name == "redis-server":
        return path
    link = environment.FOLDER / "redis-server"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return str(link)


def _as_user() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise environment.MissingError(f"not installed: no user {USER}") from None
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


def _postgres_folder() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if not found:
        raise environment.MissingError("not installed: no PostgreSQL server on this machine")
    return found[-1]

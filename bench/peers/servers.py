"""Redis and PostgreSQL of this machine: how they are started in a scratch folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..rig import postgres, processes
from . import environment


def check(command: str) -> None:
    """Raise MissingError where this machine lacks what the command starts with."""
    program = command.partition(" ")[0]
    if program not in ("python", ""):
        words(program)
    if program == "postgres":
        processes.CACHE.mkdir(parents=True, exist_ok=True)
        reached = subprocess.run([*postgres.as_user(), "test", "-x", str(processes.CACHE)], cwd="/")
        if reached.returncode:
            text = f"not started: {postgres.USER} cannot reach {processes.CACHE}"
            raise environment.MissingError(text)


def words(program: str) -> tuple[str, ...]:
    """How a server's program is started. Raises environment.MissingError where there is none."""
    if program == "redis-server":
        return (_redis(),)
    if program == "postgres":
        try:
            return postgres.command(program)
        except postgres.MissingServerError as error:
            raise environment.MissingError(f"not installed: {error}") from None
    return (environment.program(program),)


def prepare(command: str, folder: Path) -> None:
    """What a server needs in its folder before its first start."""
    if command.startswith("postgres "):
        postgres.make_cluster(folder)


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

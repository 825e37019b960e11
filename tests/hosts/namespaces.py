"""Starts commands on this machine, or in the namespaces of a running process.

The kernel kills what `start` started when the thread that started it ends, however it ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.processes import clean_environment

Process = subprocess.Popen[str]

_NO_OUTLIVING = ["setpriv", "--pdeathsig", "KILL"]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings, and this environment without what is about engines, proxies, our programs.

    The variables of `make` are left out too, because these tests run under `make` and call it.
    """

    kept = clean_environment({})
    others = ("DOCKER_", "MAKE", "MFLAGS")
    for name in [n for n in kept if n.startswith(others) or n.lower().endswith("_proxy")]:
        del kept[name]
    return {**kept, **settings}


def run(
    words: Sequence[str],
    *,
    stdin: str = "",
    check: bool = True,
    timeout_s: float = 120.0,
    cwd: Path | None = None,
    settings: Mapping[str, str] = {},
) -> str:
    """Return what a command prints.

    If the command fails, raise an AssertionError, or without `check` return its errors too.
    """
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env=environment(settings),
    )
    if done.returncode == 0:
        return done.stdout
    if check:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def start(words: Sequence[str], settings: Mapping[str, str] = {}, **options: Any) -> Process:
    """Start a process, which lives until `end` or the end of this thread; options are Popen's."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return Process([*_NO_OUTLIVING, *words], text=True, env=environment(settings), **options)


def end(process: Process, timeout_s: float = 30.0) -> None:
    """Kill a process by its id, and wait for its end."""
    process.kill()
    process.wait(timeout_s)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def in_network(pid: int) -> list[str]:
    """Return the words to put before a command that must run in the network of a process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


def in_all(pid: int, group: Path, folder: Path) -> list[str]:
    """Return the words to put before a command that must run in all namespaces of a process."""
    join = f'echo 0 >"{group}"; cd "{folder}"; exec "$@"'
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
    return ["nsenter", f"--target={pid}", *spaces, "--", "sh", "-c", join, "sh", *_NO_OUTLIVING]

"""Starts commands, on this machine or in the namespaces of a process that runs.

What keeps running is killed by the kernel when the thread that started it ends, however it does.
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
    """The settings, and of this environment what is not about engines, proxies or Quartermaster.

    Nor about `make`, under which these tests run and which they call.
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
    """What a command prints; if it fails, an AssertionError, or its errors too if not `check`."""
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
    """A process that runs until `end`, at most as long as this thread; options are Popen's."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return Process([*_NO_OUTLIVING, *words], text=True, env=environment(settings), **options)


def end(process: Process, timeout_s: float = 30.0) -> None:
    """Kill a process, by its id, and wait until it is gone."""
    process.kill()
    process.wait(timeout_s)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def in_network(pid: int) -> list[str]:
    """What to put before a command so that it runs in the network of a process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


def in_all(pid: int, group: Path, folder: Path) -> list[str]:
    """What to put before a command so that it runs beside a process: in all its namespaces."""
    join = f'echo 0 >"{group}"; cd "{folder}"; exec "$@"'
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
    return ["nsenter", f"--target={pid}", *spaces, "--", "sh", "-c", join, "sh", *_NO_OUTLIVING]

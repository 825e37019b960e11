"""One command from the start of its process to its end, with all that it starts."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..rig import processes

_LIMIT_S = 300.0


@dataclass(frozen=True)
class Command:
    """s: seconds until it ended. cpu_s: CPU time of it and of all processes that it waited for."""

    s: float
    cpu_s: float
    output: str


def run(words: list[str], environment: Mapping[str, str] | None = None) -> Command:
    """Run a command to its end, in the folder of this repository.

    Args:
        environment: all of it; None is that of this process.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began, used_s = time.monotonic(), _children_cpu_s()
    done = subprocess.run(
        words,
        cwd=processes.ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIMIT_S,
    )
    return Command(time.monotonic() - began, _children_cpu_s() - used_s, done.stdout)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

"""The work that every peer does, and what its results must be. Imported in every environment.

Standard library only. A payload is plain JSON; a result is never None.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from typing import Any

PAUSE_S = 0.01
NAP_S = 0.2
SIZE_CHARACTERS = 1024
_LOOK_S = 0.05


def square(n: int) -> int:
    """The least work."""
    return n * n


def pause(n: int) -> int:
    """A sleep of 10 ms that keeps the worker from other tasks."""
    time.sleep(PAUSE_S)
    return n


def sized(text: str) -> int:
    """A payload of 1 KiB, and a result that shows that it has come whole."""
    return zlib.crc32(text.encode())


def whoami(n: int) -> str:
    """The name of the worker that runs this; slow enough for another one to get a task as well."""
    time.sleep(_LOOK_S)
    return worker()


def noted(payload: list[Any]) -> int:
    """Sleep 0.2 s; leave a line in a file before and after: number, event, worker, pid, time."""
    n, notes = payload
    _note(notes, n, "start")
    time.sleep(NAP_S)
    _note(notes, n, "end")
    return int(n)


def worker() -> str:
    """The worker that this process belongs to. PEER_WORKER is set for what was started as one."""
    return os.environ.get("PEER_WORKER") or f"pid-{os.getpid()}"


def _note(notes: str, n: int, event: str) -> None:
    line = f"{n} {event} {worker()} {os.getpid()} {time.monotonic()}\n"
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


WORK: dict[str, Callable[[Any], Any]] = {
    "square": square,
    "pause": pause,
    "sized": sized,
    "whoami": whoami,
    "noted": noted,
}


def kept(work: str, payload: Any, path: str) -> None:
    """Work whose result goes to a file, whole or not at all: for a queue that has no results."""
    with open(f"{path}.part", "w") as file:
        json.dump(WORK[work](payload), file)
    os.rename(f"{path}.part", path)


def payloads(work: str, count: int) -> list[Any]:
    """So many payloads of that work."""
    if work == "sized":
        return [str(n).zfill(SIZE_CHARACTERS) for n in range(count)]
    return list(range(count))


def results(work: str, payloads: list[Any]) -> list[Any]:
    """What must come back, without the sleeps."""
    return payloads if work == "pause" else [WORK[work](payload) for payload in payloads]

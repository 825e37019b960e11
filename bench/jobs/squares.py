"""The measured job: n*n. `collect` checks and counts every result; the times go to a file."""

import json
import os
import resource
import time
from collections.abc import Iterator
from typing import Any

from queue_manager import Task


class State:
    """What this process knows of its run."""

    report = ""
    seen = bytearray()
    left = 0
    first_at = 0.0
    first_cpu_s = 0.0


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tasks(count: int = 0, report: str = "", form: str = "plain") -> Iterator[Any]:
    State.seen, State.left, State.report = bytearray(count), count, report
    State.first_cpu_s = _cpu_s()
    State.first_at = time.monotonic()
    if form == "plain":
        yield from range(count)
    elif form == "task":
        yield from map(Task, range(count))
    elif form == "keyed":
        yield from (Task(n, key=f"square of {n}") for n in range(count))
    else:
        raise ValueError(f"no form {form!r}")


def work(n: int) -> int:
    return n * n


def collect(n: int, result: int) -> None:
    if result != n * n or State.seen[n]:
        raise AssertionError(f"{n} -> {result}, seen {State.seen[n]} times before")
    State.seen[n] = 1
    State.left -= 1
    if not State.left:
        _write_report()


def _write_report() -> None:
    figures = {
        "first_at": State.first_at,
        "last_at": time.monotonic(),
        "runner_cpu_s": _cpu_s() - State.first_cpu_s,
        "runner_start_cpu_s": State.first_cpu_s,
    }
    with open(State.report + ".part", "w") as file:
        json.dump(figures, file)
    os.rename(State.report + ".part", State.report)

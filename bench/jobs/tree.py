"""A tree: each task is followed by `each` others. The times of the run go to a file."""

import json
import os
import time
from collections.abc import Iterator

from queue_manager import Result, Task


class State:
    """What this process knows of its run."""

    report = ""
    left = 0
    first_at = 0.0


def tasks(count: int, report: str, each: int) -> Iterator[tuple[int, int, int]]:
    """count: how many tasks there are, from the root to the leaves."""
    State.left, State.report, State.first_at = count, report, time.monotonic()
    yield 0, each, count


def work(payload: tuple[int, int, int]) -> Result:
    """Number the tasks of the tree level by level, as a heap does."""
    number, each, count = payload
    first = number * each + 1
    children = range(first, min(first + each, count))
    return Result(number, follow=[Task((child, each, count)) for child in children])


def collect(payload: tuple[int, int, int], result: int) -> None:
    State.left -= 1
    if State.left:
        return
    figures = {
        "first_at": State.first_at,
        "last_at": time.monotonic(),
        "runner_cpu_s": 0.0,
        "runner_start_cpu_s": 0.0,
    }
    with open(State.report + ".part", "w") as file:
        json.dump(figures, file)
    os.rename(State.report + ".part", State.report)

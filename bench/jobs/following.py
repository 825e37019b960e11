"""Each seed is followed by `each` tasks, with or without keys. The run's times go to a file."""

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


def tasks(count: int, report: str, each: int, keyed: bool) -> Iterator[tuple[int, int, bool]]:
    """count: how many tasks there are, seeds and follow-ups together."""
    State.left, State.report, State.first_at = count, report, time.monotonic()
    for seed in range(count // (1 + each)):
        yield seed, each, keyed


def work(payload: tuple[int, int, bool] | int) -> Result | int:
    if isinstance(payload, int):
        return payload
    seed, each, keyed = payload
    numbers = range(seed * each, seed * each + each)
    follow = [Task(n, key=f"follower {n}" if keyed else None) for n in numbers]
    return Result(seed, follow=follow)


def collect(payload: tuple[int, int, bool] | int, result: int) -> None:
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

"""Filters of dead letters: whether they are in order, and what there is else."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from queue_manager.errors import RefusedError
from queue_manager.job.failures import failure_of
from queue_manager.ranges import joined
from queue_manager.terminal import harmless_line
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.records import DeadLetter

_NAMED = 5
"""How many failures, workers and tasks of each failure are named."""


def checked(only: FailureFilter) -> FailureFilter:
    """A filter whose ranges of tasks are in order and apart. Raises RefusedError."""
    for at in (only.since, only.until):
        if at is not None and not math.isfinite(at):
            raise RefusedError(f"{at} is no time")
    whole = [(max(a, 1), min(b, LAST_NUMBER)) for a, b in only.tasks]
    tasks = joined([(a, b) for a, b in whole if a < b])
    if only.tasks and not tasks:  # without ranges the filter would choose all
        raise RefusedError("the ranges of tasks are empty: tasks have numbers from 1 on")
    return msgspec.structs.replace(only, tasks=tuple(tasks))


def what_there_is(letters: list[DeadLetter], dead: int) -> str:
    """The dead letters of a run, for somebody whose filter has chosen none of them.

    letters: the first ones. dead: how many there are.
    """
    if not letters:
        return "it has no dead letters"
    failures: dict[str, list[int]] = {}
    for letter in letters:
        failures.setdefault(failure_of(letter), []).append(letter.task)
    groups = [f"{harmless_line(name)} ({_tasks(tasks)})" for name, tasks in failures.items()]
    workers = dict.fromkeys(harmless_line(letter.worker) for letter in letters if letter.worker)
    died = sorted(letter.died_at for letter in letters)
    of = f"the first {len(letters):,} of {dead:,} are" if len(letters) < dead else "there are"
    by = f", reported by {_some(list(workers))}" if workers else ""
    return f"{of} {_some(groups)}{by}; they died from {_time(died[0])} to {_time(died[-1])}"


def _tasks(tasks: list[int]) -> str:
    return f"task{'s' * (len(tasks) > 1)} {_some(list(map(str, tasks)))}"


def _some(texts: list[str]) -> str:
    """Some texts in one line, and how many others there are."""
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + f" and {more:,} more" * (more > 0)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What is sought among the tasks of a run by their state, and what a store finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SHOWN_BATCH_BYTES = 64 * 1024
"""Results of a larger batch are not read for a list."""


class Stand(StrEnum):
    """How a task stands on disk, where nobody knows of leases."""

    WAITING = "waiting"
    DELAYED = "delayed"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TasksSought:
    """A page of the tasks of a run that stand in one of these ways, in the order of numbers.

    after: the page begins behind this task. limit: how many it has at most. now: tasks that are due
    later are delayed (UTC epoch in seconds). held: by block, positions to leave out of those that
    wait, a bit each. look: about how many rows are looked at for the page.
    """

    run: int
    stands: frozenset[Stand]
    after: int
    limit: int
    now: float
    held: Mapping[int, int] = field(default_factory=dict)
    look: int = 10_000


class FoundTask(NamedTuple):
    """A task of a list.

    due_at, delay_s: as of a tracked task; 0 of all others. worker, error: of its last failed try.
    results, position: the batch with its result, and the place in it; None: it has none, or the
    batch is larger than `SHOWN_BATCH_BYTES`.
    """

    task: int
    attempts: int = 0
    due_at: float = 0.0
    delay_s: float = 0.0
    worker: str = ""
    error: str = ""
    results: bytes | None = None
    position: int = 0


class TasksFound(NamedTuple):
    """A page. place: the next page begins behind it. complete: there is nothing behind it."""

    tasks: list[FoundTask]
    place: int
    complete: bool

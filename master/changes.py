"""What a turn makes durable: the records between broker and store. No rows, no SQL, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from queue_manager.records import RunOptions

QUEUE_RUN = 0
"""The run of the tasks that standard-library clients put; it never ends."""

RunState = Literal["active", "done", "failed"]
StrayState = Literal["waiting", "done", "dead"]


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Consecutive tasks of one run and priority. first: number of its first task.

    from_tasks: `tasks()` gave it (a restarted runner skips as many as were accepted).
    """

    id: int
    run: int
    first: int
    count: int
    body: bytes
    keys: list[str] | None = None
    group: str | None = None
    priority: int = 0
    from_tasks: bool = False


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """Results of the tasks at `start` to `stop` of a block; seq only grows."""

    seq: int
    run: int
    block: int
    first: int
    start: int
    stop: int
    results: bytes


@dataclass(frozen=True, slots=True)
class StrayRecord:
    """How a task stands that left the plain way: retried, delayed, lost, or dead.

    delay_s, due_at: not before that delay is over, counted from when it was recorded.
    """

    run: int
    task: int
    block: int
    position: int
    state: StrayState
    attempts: int
    losses: int
    delay_s: float = 0.0
    due_at: float = 0.0
    error: str = ""
    evidence: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a job.

    collected: the outcome that `collect()` has reached; collected_into: and how many results of
    the one behind it.
    """

    id: int
    job: str
    words: list[str]
    key: str | None
    options: RunOptions
    state: RunState
    exhausted: bool
    started_at: float
    ended_at: float | None
    collected: int = 0
    collect_errors: int = 0
    collected_into: int = 0


@dataclass(slots=True)
class Changes:
    """All that one turn makes durable, in one transaction.

    runs and strays replace what was recorded of the same run or task before.
    keys: of the new tasks, by run. delivered: up to where the queue run's results went to stock
    clients, as (seq, index in it).
    """

    blocks: list[BlockRecord] = field(default_factory=list)
    outcomes: list[OutcomeRecord] = field(default_factory=list)
    strays: dict[tuple[int, int], StrayRecord] = field(default_factory=dict)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    keys: dict[int, set[str]] = field(default_factory=dict)
    delivered: tuple[int, int] | None = None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self.blocks or self.outcomes or self.strays or self.runs)


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run as the store has it. waiting: tasks on the plain way by priority, without strays.

    tasks, accepted: all, and those of `tasks()` without a key. last_seq: its newest outcome.
    """

    record: RunRecord
    tasks: int
    accepted: int
    done: int
    last_seq: int
    waiting: dict[int, int]
    strays: list[StrayRecord]
    dead: int


@dataclass(frozen=True, slots=True)
class WaitingBlock:
    """A block read ahead from the store: the ranges of it that neither ended nor strayed."""

    id: int
    first: int
    ranges: list[tuple[int, int]]

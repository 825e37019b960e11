"""What is known after a chaos run: what was submitted, what ran, what was hit, what was recorded.

Only records, and how the jobs' diary is read; what must hold of them is in `invariants`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

REPORT_S = 0.15
"""How long before a fault a task may have ended and still be unrecorded: results wait 0.1 s at
most in the slot, then there are the exchange and the commit. What the machine kept a ready process
waiting then comes on top (`Story.lag`)."""

BLIND_S = 0.5
"""The same before a time in which nothing could be recorded, for the master was away or its disk
full: who could not hand in what he had may have had to come back first."""

NEAR_S = 1.0
"""So long before and behind a fault it is looked how busy the machine was: who was kept waiting
when it came is noted when his turn comes."""

Task = tuple[str, str]
"""A task of the chaos: the tag of its run, and its own name in it."""


@dataclass(frozen=True)
class Hit:
    """What a fault has touched, from `begin` to `end`.

    workers, slots: process ids. kills: the processes are dead from `begin` on. charges: the tries
    that it hits count as attempts. since: when it came, outcomes could not be recorded since then,
    for the master had been away or its disk full; 0 if they could.
    """

    kind: str
    begin: float
    end: float
    workers: frozenset[int] = frozenset()
    slots: frozenset[int] = frozenset()
    kills: bool = False
    charges: bool = False
    since: float = 0.0

    def touches(self, execution: Execution, lag_s: float = 0.0) -> bool:
        """Whether this try may be without a recorded outcome because of this fault."""
        if execution.worker not in self.workers and execution.slot not in self.slots:
            return False
        unrecorded = self.begin - REPORT_S - lag_s
        if self.since:
            unrecorded = min(unrecorded, self.since - BLIND_S)
        return execution.start <= self.end and execution.over >= unrecorded


@dataclass
class Execution:
    """One try of a task. how: E ended, F failed on purpose, empty: cut off."""

    task: Task
    slot: int
    worker: int
    start: float
    end: float | None = None
    how: str = ""
    hits: list[Hit] = field(default_factory=list)

    @property
    def over(self) -> float:
        """When it ended; a try that was cut off never did."""
        return self.end if self.end is not None else float("inf")

    @property
    def excused(self) -> bool:
        """Whether the task may be run again after it."""
        return self.how == "F" or bool(self.hits)

    @property
    def gone_at(self) -> float | None:
        """Until when it counts as running for the master: a hit may have cut it short."""
        cuts = [hit.begin for hit in self.hits]
        return min([*cuts, *([self.end] if self.end is not None else [])], default=None)


@dataclass(frozen=True)
class Call:
    """One call of collect()."""

    task: Task
    runner: int
    at: float
    right: bool


@dataclass
class Expected:
    """What a task must come to. dead: a pattern in its error; None is done with this result."""

    result: Any = None
    dead: str | None = None
    delay_s: float = 0.0
    parent: str | None = None


@dataclass
class RunStory:
    """One run: what was asked for, and what the master has of it. row: its line of `status`."""

    job: str
    tag: str
    words: list[str]
    expected: dict[str, Expected]
    attempts: int = 3
    losses: int = 5
    run: int = 0
    cancelled: bool = False
    row: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Story:
    """All of it. troubles: what was seen to go wrong on the way, in words."""

    runs: list[RunStory] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    yields: dict[Task, tuple[float, float]] = field(default_factory=dict)
    tried: set[Task] = field(default_factory=set)
    put: set[Task] = field(default_factory=set)
    read_results: list[str] = field(default_factory=list)
    queue_rows: list[dict[str, Any]] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @cached_property
    def by_task(self) -> dict[Task, list[Execution]]:
        """The tries of each task, in order of their start."""
        found: dict[Task, list[Execution]] = defaultdict(list)
        for execution in sorted(self.executions, key=lambda e: e.start):
            found[execution.task].append(execution)
        return dict(found)

    def lag(self, begin: float, end: float) -> float:
        """The longest that this machine kept a ready process waiting in that time."""
        return max((lag for at, lag in self.lags if begin <= at <= end), default=0.0)

    def frozen(self, begin: float, end: float) -> float:
        """How long the master was stopped by a stop that touches that time: a lease that it had
        given may have been sent so much later."""
        stops = [h for h in self.hits if h.kind == "stop master"]
        return max((h.end - h.begin for h in stops if h.begin <= end and begin <= h.end), default=0)


def read_diary(path: Path, story: Story) -> None:
    """Add what the jobs wrote down."""
    lines = path.read_text().splitlines() if path.exists() else []
    events = [line.split(" ") for line in lines]
    _read_executions(events, story)
    for event, tag, item, pid, _, at, *more in events:
        if event == "C":
            story.calls.append(Call((tag, item), int(pid), float(at), more == ["right"]))
        elif event == "Y":
            story.yields.setdefault((tag, item), (float(at), float(more[0])))
        elif event == "A":
            story.tried.add((tag, item))
        elif event == "P":
            story.put.add((tag, item))
        elif event == "R":
            story.read_results.append(more[0])


def count_collected(path: Path) -> Counter[str]:
    """How many tasks of each run `collect()` was given so far, by the run's tag."""
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(tag for tag, _ in {tuple(x.split(" ")[1:3]) for x in lines if x[:2] == "C "})


def _read_executions(events: Iterable[list[str]], story: Story) -> None:
    running: dict[tuple[str, str, str], Execution] = {}
    for event, tag, item, pid, parent, at, *_ in events:
        if event == "S":
            execution = Execution((tag, item), int(pid), int(parent), float(at))
            running[tag, item, pid] = execution
            story.executions.append(execution)
        elif event in "EF" and (tag, item, pid) in running:
            execution = running.pop((tag, item, pid))
            execution.end, execution.how = float(at), event


def poison_hits(story: Story) -> list[Hit]:
    """A task that kills its slot is a fault to what that slot had done and not reported yet."""
    deadly = ("segfault", "exit", "kill")
    return [
        Hit("poison", e.start, e.start, slots=frozenset([e.slot]), kills=True)
        for e in story.executions
        if e.how == "F" and e.task[1].startswith(deadly)
    ]


def match_hits(story: Story) -> None:
    """Note with each try which faults touched it."""
    by_pid: dict[int, list[tuple[Hit, float]]] = defaultdict(list)
    for hit in story.hits:
        lag_s = story.lag(hit.begin - NEAR_S, hit.begin + NEAR_S)
        for pid in hit.workers | hit.slots:
            by_pid[pid].append((hit, lag_s))
    for execution in story.executions:
        near = [*by_pid.get(execution.worker, ()), *by_pid.get(execution.slot, ())]
        touched = {hit for hit, lag_s in near if hit.touches(execution, lag_s)}
        execution.hits = _until_dead(sorted(touched, key=lambda hit: hit.begin), execution)


def _until_dead(hits: list[Hit], execution: Execution) -> list[Hit]:
    """Nothing more happens to a try whose process is dead, also when its number comes again."""
    for count, hit in enumerate(hits, 1):
        if execution.end is None and hit.kills and hit.begin >= execution.start:
            return hits[:count]
    return hits

"""What is true of each task, kept by itself: the simulation holds the broker against it.

It sees what is asked of the broker and what the broker answers, never the broker's own fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from queue_manager.wire.records import GroupLimit, RunOptions

SOON = 1e-6
"""Sums of seconds are not exact."""


class Violation(AssertionError):
    """The broker did what it must not, or did not what it must."""


def check(is_right: object, text: str, *args: object) -> None:
    """Raise Violation unless something is as it must be."""
    if not is_right:
        raise Violation(text.format(*args))


@dataclass(slots=True, eq=False)
class Task:
    """One task. due: not before (monotonic); due_wall: as the store should have it.

    holder: number of the lease that is valid, 0 if none; session: whose that is. settled: the lease
    that its tracked was recorded for. visible: a commit has gone by since it last changed hands.
    may_wait: it is held, and nobody knows when it starts. tries: how many have ended, also before a
    retry.
    """

    run: int
    number: int
    block: int
    position: int
    priority: int
    group: str | None
    key: str | None = None
    parent: int = 0
    state: str = "waiting"
    holder: int = 0
    session: int = 0
    attempts: int = 0
    losses: int = 0
    tries: int = 0
    tracked: bool = False
    settled: int = 0
    due: float = 0.0
    due_wall: float = 0.0
    delay_s: float = 0.0
    ready_at: float = 0.0
    visible: bool = False
    may_wait: bool = False

    def __repr__(self) -> str:
        return f"task {self.run}/{self.number}"


class Pause(NamedTuple):
    """Nothing of a group starts before. until: monotonic; due_wall: as the store should have it."""

    until: float
    delay_s: float
    due_wall: float


@dataclass(slots=True, eq=False)
class TrueRun:
    """One run and its tasks. free: those that nobody holds and that have not ended, on disk.

    quotas: accepted and dropped tasks, by name. passed: those without a key that `tasks()` gave.

    skipped: leases of other runs in a row while it could have been chosen. started_at: when a group
    started its last task. paused_at: when any may have, for all that a master knows which has
    restarted, or has seen the end of the run. own: limits that results set. pauses: that tasks
    asked for. unsure: when a group may have started its last task: nothing of it was
    known when it got something of its own. after: the runs that it was started after. waits_for:
    those of them that were not done yet.
    """

    id: int
    job: str
    options: RunOptions
    key: str | None = None
    limited: bool = False
    state: str = "active"
    exhausted: bool = False
    done: int = 0
    dead: int = 0
    cancelled: int = 0
    held: int = 0
    tasks: list[Task] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    quotas: dict[str, tuple[int, int]] = field(default_factory=dict)
    passed: int = 0
    free: dict[int, Task] = field(default_factory=dict)
    blocks: set[int] = field(default_factory=set)
    groups: dict[str, int] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)
    own: dict[str, GroupLimit] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    unsure: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    paused_at: float = -math.inf
    after: tuple[int, ...] = ()
    waits_for: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"run {self.id} ({self.unended} open, {self.held} held, free {[*self.free]})"

    @property
    def active(self) -> bool:
        return self.state == "active"

    @property
    def pending(self) -> bool:
        return self.active and bool(self.waits_for)

    @property
    def unended(self) -> int:
        return len(self.tasks) - self.done - self.dead - self.cancelled

    def is_limited(self, task: Task) -> bool:
        return self.limited and task.group is not None

    def in_quarantine(self, task: Task) -> bool:
        """Whether it lost its worker so often that it gets one without neighbours."""
        return task.losses >= max(1, self.options.losses - 2)

    def may_start(self, group: str, now: float) -> bool:
        """Whether the limit of a group allows one more. now: with what is forgiven."""
        limit = self.own.get(group, self.options.per_group)
        if limit is None:
            return True
        if group in self.pauses and self.pauses[group].until > now:
            return False
        if limit.at_once is not None and self.groups.get(group, 0) >= limit.at_once:
            return False
        return self.started_at.get(group, -math.inf) + limit.every_s <= now


_APART = ("tasks", "free", "groups", "started_at")
_COPIED = ("quotas", "own", "pauses", "unsure")
_PLAIN = [f.name for f in fields(TrueRun) if f.name not in _APART]
_TASK = [f.name for f in fields(Task)]


class Truth:
    """All runs, what has changed since the last commit, and the way back.

    workers: those that the master counts on; saved_workers: as of the last commit to disk.
    """

    def __init__(self) -> None:
        self.runs: dict[int, TrueRun] = {}
        self.blocks: dict[int, list[Task]] = {}
        self.leased: dict[int, list[Task]] = {}
        self.workers: frozenset[str] = frozenset()
        self.saved_workers = self.workers
        self.hidden: list[Task] = []
        self._undo: list[Callable[[], object]] = []
        self._touched: set[int] = set()
        self._changed: list[Task] = []

    # --- turns ---

    def committed(self, now: float) -> None:
        """What was staged is on disk, and visible."""
        self._undo.clear()
        self._touched.clear()
        self._changed.clear()
        hidden, self.hidden = self.hidden, []
        for task in hidden:
            task.visible, task.ready_at = True, max(task.ready_at, now)
            if task.may_wait and task.group is not None:  # it may have started only just now
                self.runs[task.run].unsure[task.group] = now
            task.may_wait = False
            self.index(task)

    def rolled_back(self) -> None:
        """All is as it was before the turn."""
        while self._undo:
            self._undo.pop()()
        for task in self._changed:
            self.index(task)
        self._changed.clear()
        self._touched.clear()
        self.hidden.clear()

    def crashed(self, now: float) -> None:
        """The master is no more: nobody holds anything, until they say so."""
        self.rolled_back()
        self.workers = self.saved_workers
        self.leased.clear()
        for run in self.runs.values():
            run.held, run.skipped = 0, 0
            run.groups.clear()
            for task in run.tasks:
                task.holder = task.session = 0
                task.ready_at = max(task.ready_at, now)
                self.index(task)

    def touch(self, task: Task) -> None:
        """Remember how a task is, for the way back."""
        if id(task) in self._touched:
            return
        self._touched.add(id(task))
        self._changed.append(task)
        before = [getattr(task, name) for name in _TASK]
        self._undo.append(lambda: self._restore(task, before))

    def touch_run(self, run: TrueRun) -> None:
        if id(run) in self._touched:
            return
        self._touched.add(id(run))
        before = [getattr(run, name) for name in _PLAIN]
        before[_PLAIN.index("keys")] = set(run.keys)
        before[_PLAIN.index("blocks")] = set(run.blocks)
        for name in _COPIED:
            before[_PLAIN.index(name)] = dict(getattr(run, name))
        groups, count = dict(run.groups), len(run.tasks)

        def restore() -> None:
            for name, value in zip(_PLAIN, before, strict=True):
                setattr(run, name, value)
            run.groups = groups
            del run.tasks[count:]

        self._undo.append(restore)

    def _restore(self, task: Task, before: list[object]) -> None:
        had = task.holder
        for name, value in zip(_TASK, before, strict=True):
            setattr(task, name, value)
        if had != task.holder:
            if had:
                self.leased[had].remove(task)
            if task.holder:
                self.leased.setdefault(task.holder, []).append(task)

    def undo_by(self, act: Callable[[], object]) -> None:
        self._undo.append(act)

    def index(self, task: Task) -> None:
        """Put a task among those that are free, or take it out."""
        run = self.runs.get(task.run)
        if run is None:
            return
        if task.state == "waiting" and not task.holder and task.visible and run.active:
            run.free[task.number] = task
        else:
            run.free.pop(task.number, None)

    # --- who holds what ---

    def of_lease(self, number: int, session: int, block: int = 0) -> list[Task]:
        """The tasks that a session holds under a lease."""
        return [
            t for t in self.leased.get(number, ()) if t.session == session and block in (0, t.block)
        ]

    def of_session(self, session: int) -> list[Task]:
        return [t for tasks in self.leased.values() for t in tasks if t.session == session]

    def hold(self, task: Task, number: int, session: int) -> None:
        """A session has the task from now on."""
        run = self.runs[task.run]
        task.holder, task.session = number, session
        self.leased.setdefault(number, []).append(task)
        run.held += 1
        if run.is_limited(task):
            assert task.group is not None
            run.groups[task.group] = run.groups.get(task.group, 0) + 1
        self.index(task)

    def let_go(self, task: Task) -> None:
        """Stage that nobody holds the task; it is seen when that is on disk."""
        run = self.runs[task.run]
        self.touch_run(run)
        self.touch(task)
        self.leased[task.holder].remove(task)
        run.held -= 1
        if run.is_limited(task):
            assert task.group is not None
            run.groups[task.group] -= 1
        task.holder = task.session = 0
        self.hide(task)

    def hide(self, task: Task) -> None:
        task.visible = False
        self.hidden.append(task)
        self.index(task)

    def tasks(self) -> Iterator[Task]:
        for run in self.runs.values():
            yield from run.tasks

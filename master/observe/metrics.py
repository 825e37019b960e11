"""All that the master counts and measures, as it stands when somebody asks.

Nobody asks: nothing of this costs anything. What it takes grows with the runs in memory, and with
the jobs of ended runs, not with tasks.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from queue_manager import __version__
from queue_manager.errors import StoreError
from queue_manager.job.tags import given_tags
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.metrics import (
    Histogram,
    JobMetrics,
    MasterMetrics,
    RunMetrics,
    SlotMetrics,
    StoreMetrics,
    UsageMetrics,
)

from ..backup.states import CopyState
from ..broker.runs.run import Run
from ..changes import QUEUE_RUN
from ..reads import RunsEnded, StoreSize
from ..tally import histogram
from ..tally.labels import Labels
from ..tally.tally import JobTally, Tally
from ..turn.turn import Turn
from .diagnosis import Sources
from .process import of_this_process
from .status import state_of
from .waited import Waits

if TYPE_CHECKING:  # the service asks this room, which knows the service by its types only
    from ..server.dispatch import OurSession
    from ..server.workers.session import WorkerSession

_SPARING = 200
"""The ended runs are counted anew after this many times the time that it takes."""

_CHANGED = 20
"""As `_SPARING`, if other runs are active than at the last count: a run counts once, not as an
active one and as an ended one."""


class MetricSources(Sources, Protocol):
    """All that metrics are made of, beside broker and store."""

    loop: histogram.Histogram

    def others(self) -> Iterable[OurSession]:
        """Runners and commands."""

    def runner_deaths(self) -> int:
        """How many processes of runners have ended before their run."""

    def schedules_skipped(self) -> int:
        """How many slots of schedules were left out."""

    def copies(self) -> list[CopyState]:
        """What followers say of their copies of the store."""

    def masters(self) -> list[MasterStatus]:
        """All masters of the store, if several share it."""


class MetricsBuilder:
    """Answers `AskMetrics`."""

    def __init__(self, turn: Turn, sources: MetricSources) -> None:
        self._turn = turn
        self._sources = sources
        self._started_at = turn.wall - (time.monotonic() - sources.started)
        self._tags = Labels()
        self._waits = Waits()
        self._ended: list[RunsEnded] = []
        self._counted = 0.0, 0.0
        self._were_active: set[int] = set()

    def answer(self, message: AskMetrics) -> Metrics:
        """The answer to a question."""
        return Metrics(message.seq, self.now())

    def now(self) -> MasterMetrics:
        """How things are now."""
        turn, sources = self._turn, self._sources
        self._count_ended()
        return MasterMetrics(
            __version__,
            self._started_at,
            turn.broker.epoch,
            jobs=self._jobs(),
            runs=self._runs(),
            sessions=self._sessions(),
            slots=self._slots(),
            store=self._store(),
            process=of_this_process(),
            loop=_as_sent(sources.loop),
            refused=turn.broker.refused,
            runner_deaths=sources.runner_deaths(),
            schedules_skipped=sources.schedules_skipped(),
            is_writable=not turn.trouble,
            without_worker=self._without_worker(),
            usage=_usage(self._sources.workers()),
            copies={c.name: max(0.0, time.time() - c.complete_at) for c in sources.copies()},
            masters=dict(Counter(master.role for master in sources.masters())),
        )

    def _count_ended(self) -> None:
        """Count the ended runs, unless that was done a moment ago. The count of before stays if
        the store can't be read."""
        began = time.monotonic()
        active = {run.id for run in self._turn.broker.runs.values() if run.active}
        at, took_s = self._counted
        if began < at + took_s * (_SPARING if active == self._were_active else _CHANGED):
            return
        with contextlib.suppress(StoreError):
            self._ended = self._turn.store.runs_ended()
            self._were_active = active
        ended = time.monotonic()
        self._counted = ended, ended - began

    # --- tasks and runs ---

    def _jobs(self) -> list[JobMetrics]:
        broker = self._turn.broker
        tally, now = broker.tally, time.monotonic()
        states: defaultdict[str, Counter[str]] = defaultdict(Counter)
        oldest: dict[str, float] = {}
        active = [run for run in broker.runs.values() if run.active]
        since = self._waits.since(active, tally)
        for run in active:
            label = tally.labels.of(run.job)
            states[label].update(_states(run))
            if run.id in since:
                oldest[label] = max(oldest.get(label, 0.0), now - since[run.id])
        for ended in self._ended:
            states[tally.labels.of(ended.job)]["dead"] += ended.dead
        return [
            _job(label, tally, states[label], oldest.get(label))
            for label in sorted({*states, *tally.jobs})
        ]

    def _runs(self) -> list[RunMetrics]:
        labels = self._turn.broker.tally.labels
        counts: Counter[tuple[str, str]] = Counter()
        for ended in self._ended:
            counts[labels.of(ended.job), ended.state] += ended.runs
        for run in self._turn.broker.runs.values():
            state = state_of(run, self._sources.runner(run.id))
            label = labels.of(run.job)
            if not run.active and state != run.state:  # it ends once more: `finish()` is called
                counts[label, run.state] -= 1
            if run.active or state != run.state:
                counts[label, state] += 1
        return [RunMetrics(*of, runs) for of, runs in sorted(counts.items()) if runs > 0]

    def _without_worker(self) -> int:
        """Tasks that wait for tags that no worker has, of those that are not about to stop.

        Standard-library clients run the tasks of the queue run whatever its job needs.
        """
        there = {one.session.tags for one in self._sources.workers() if not one.draining}
        stock = any(True for _ in self._sources.stock())
        return sum(
            run.waiting
            for run in self._turn.broker.runs.values()
            if run.active
            and run.waiting > 0
            and (needs := run.options.needs)
            and not any(tags.issuperset(needs) for tags in there)
            and not (stock and run.id == QUEUE_RUN)
        )

    # --- sessions and slots ---

    def _sessions(self) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = {"worker": Counter({"busy": 0, "idle": 0, "draining": 0})}
        for worker in self._sources.workers():
            found["worker"][_state_of(worker)] += 1
        others = [other.hello.role for other in self._sources.others()]
        stock = ["stock"] * len(list(self._sources.stock()))
        for role in ("runner", "client", "stock"):
            found[role] = Counter({"connected": [*others, *stock].count(role)})
        return {role: dict(states) for role, states in found.items()}

    def _slots(self) -> list[SlotMetrics]:
        counts: Counter[tuple[str, str]] = Counter()
        for state in ("busy", "draining", "idle"):
            counts["", state] = 0
        for worker in self._sources.workers():
            tags = [self._tags.of(tag) for tag in given_tags(worker.session.tags)]
            for state, slots in _slots_of(worker):
                for tag in {"", *tags}:
                    counts[tag, state] += slots
        return [SlotMetrics(*of, slots) for of, slots in sorted(counts.items())]

    # --- the store ---

    def _store(self) -> StoreMetrics:
        try:
            size = self._turn.store.size()
        except StoreError:
            size = StoreSize()
        return StoreMetrics(_as_sent(self._turn.commit_seconds), *size)


def _states(run: Run) -> dict[str, int]:
    return {
        "waiting": max(0, run.waiting),
        "leased": run.leased,
        "delayed": run.delayed,
        "dead": run.dead,
    }


def _job(label: str, tally: Tally, states: Counter[str], oldest_s: float | None) -> JobMetrics:
    counted = tally.jobs.get(label) or JobTally()
    tasks = {state: states[state] for state in ("waiting", "leased", "delayed", "dead")}
    return JobMetrics(
        label,
        counted.new,
        {str(became): n for became, n in counted.became.items()},
        _as_sent(counted.waited),
        _as_sent(counted.ran),
        counted.leases_lost,
        tasks,
        oldest_s,
    )


def _as_sent(counted: histogram.Histogram) -> Histogram:
    return Histogram(list(counted.bounds), list(counted.counts), counted.sum_s)


def _usage(workers: Iterable[WorkerSession]) -> UsageMetrics:
    """What workers take together. Several on one machine have the same limit, so it has no sum."""
    told = [worker.usage for worker in workers if worker.usage is not None]
    return UsageMetrics(
        sum(one.memory_bytes for one in told),
        sum(one.processors or 0.0 for one in told),
        max(
            (one.memory_bytes / limit for one in told if (limit := one.memory_limit_bytes)),
            default=0.0,
        ),
    )


def _state_of(worker: WorkerSession) -> str:
    if worker.draining:
        return "draining"
    return "busy" if worker.session.leases else "idle"


def _slots_of(worker: WorkerSession) -> Iterator[tuple[str, int]]:
    """How many slots of a worker are in which state. A lease behind another one takes no slot."""
    slots = worker.session.slots
    busy = min(len(worker.session.leases), slots)
    yield "busy", busy
    yield "draining" if worker.draining else "idle", slots - busy

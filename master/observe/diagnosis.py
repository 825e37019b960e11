"""Says why no slot runs any task of a run that has some, and what to do.

A reason counts once it has lasted for a while, which `Waits` knows. This module changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from queue_manager.job.contract import LONGEST_S
from queue_manager.job.tags import as_setting, given_tags, in_words
from queue_manager.log_lines import about_run
from queue_manager.wire.messages import LEVEL
from queue_manager.wire.records import GroupLimit

from ..broker.lanes.group_limits import Limits
from ..broker.leases.lease import Session
from ..broker.runs.run import Run
from ..changes import QUEUE_RUN
from ..processes.runner import Runner
from ..processes.runners import STARTING, uncollected
from ..turn.turn import Turn
from .failures import cannot

if TYPE_CHECKING:
    from ..server.workers.session import WorkerSession
    from ..stock import StockSession

log = logging.getLogger("quartermaster.master")

PATIENCE_S = 5.0
OLD_LEASE_S = 60.0
MANY_TAKEN = 100
DAY_S = 86_400.0
_PYTHON_LEVEL = 1
"""The level of the protocol from which on a worker says its Python."""

_NAMED = 3


class Reason(NamedTuple):
    """Why a run waits. kind: the same for one reason, whatever times and names its text has."""

    kind: str
    text: str


class Sources(Protocol):
    """Where the parts of a status come from."""

    address: str
    started: float

    def workers(self) -> Iterable[WorkerSession]:
        """Our workers."""

    def stock(self) -> Iterable[StockSession]:
        """Standard-library clients that have called a queue."""

    def runner(self, run: int) -> Runner | None:
        """The runner of a run."""

    def fed(self, run: Run) -> bool:
        """Whether the client that gives the tasks of a run is connected."""

    def job_trouble(self, job: str) -> str:
        """Why the file of a job can't be used as it is; empty when it can."""


class Waits:
    """Since when each run has had unended tasks and no slot that runs one of them."""

    def __init__(self, turn: Turn, sources: Sources, reasons: Callable[[Run], list[Reason]]):
        self._turn = turn
        self._sources = sources
        self._reasons = reasons
        self._since: dict[int, float] = {}
        self._logged: dict[int, set[str]] = {}

    def lasts(self, run: Run, now: float) -> bool:
        """Whether a run has waited for long enough to say why."""
        return now - self._since.get(run.id, now) >= PATIENCE_S

    def tick(self, now: float) -> None:
        """Look at all runs, and log each lasting reason once."""
        busy = {lease.run.id for s in _sessions(self._sources) for lease in s.leases.values()}
        waiting = [r for r in self._turn.broker.runs.values() if r.active and r.unended]
        stuck = {run.id: run for run in waiting if run.id not in busy}
        self._since = {run: self._since.get(run, now) for run in stuck}
        self._logged = {run: kinds for run, kinds in self._logged.items() if run in stuck}
        for run in stuck.values():
            if self.lasts(run, now):
                self._log(run)

    def _log(self, run: Run) -> None:
        logged = self._logged.setdefault(run.id, set())
        for reason in self._reasons(run):
            if reason.kind not in logged:
                logged.add(reason.kind)
                what = run.id, run.job or "queue", reason.text
                log.warning("run %d (%s) waits: %s", *what, extra=about_run(run))


class Diagnosis:
    """Finds the reasons why one run waits. A reason that explains all is the only one."""

    def __init__(self, turn: Turn, sources: Sources) -> None:
        self._turn = turn
        self._sources = sources

    def of(self, run: Run) -> list[Reason]:
        """Why none of its tasks runs in a slot, as things are now."""
        if self._turn.trouble or self._turn.broker.recovering:
            return []  # the summary says it of the whole master
        reasons = list(self._stock(run))
        if run.waiting:
            reasons += self._code(run) or self._workers(run)
        elif run.delayed:
            reasons.append(_delayed(run, self._turn.wall))
        return reasons

    def _code(self, run: Run) -> list[Reason]:
        trouble = self._sources.job_trouble(run.job) if run.job and not run.uploaded else ""
        return [Reason("code", trouble)] if trouble else []

    def _workers(self, run: Run) -> list[Reason]:
        workers, needs = list(self._sources.workers()), run.options.needs
        if run.id == QUEUE_RUN and not run.job:
            return [
                Reason("no job", "JOB is not set: only standard-library clients take its tasks")
            ]
        if not workers:
            start = "docker compose up --detach --scale worker=8, or python -m worker"
            if needs:
                start = f"start one with {as_setting(needs)}"
            return [Reason("no worker", f"no worker is connected: {start}")]
        tagged = [w for w in workers if w.session.tags.issuperset(needs)]
        old = "" if tagged else _too_old(workers, needs)
        if old:
            return [Reason("old workers", old)]
        if not tagged:
            start = f"start one with {as_setting(needs)}"
            return [Reason("no tags", f"no worker has {in_words(needs)}: {start}")]
        able = [w for w in tagged if run.code not in w.session.lacks]
        reasons = list(_lacking(run, tagged))
        if able:
            reasons += self._busy(run, able)
        return reasons

    def _busy(self, run: Run, able: list[WorkerSession]) -> Iterator[Reason]:
        """Why workers that could run it do not: its tasks may not start yet, or all are busy."""
        idle = [w for w in able if _has_a_free_slot(w) and not w.draining]
        limit, needs = run.options.per_group, run.options.needs
        where = f" with {in_words(needs)}" if needs else ""
        how = f" with {as_setting(needs)}" if needs else ""
        if limit is not None and (idle or _held_back(run)):
            yield from _held_by_groups(run, limit, time.monotonic())
        elif not idle:
            others = sorted({lease.run.id for w in able for lease in w.session.leases.values()})
            runs = ", ".join(map(str, others[:_NAMED])) + ", ..." * (len(others) > _NAMED)
            if others:
                busy = f"all slots{where} are busy with run {runs}"
                yield Reason("busy", f"{busy}: start more workers{how}")
            else:
                yield Reason("draining", f"every worker{where} is stopping: start others{how}")

    def _stock(self, run: Run) -> Iterator[Reason]:
        now = time.monotonic()
        clients = list(self._sources.stock())
        elsewhere = any(client.puts_without for client in clients)
        for client in clients:
            if any(lease.run is run for lease in client.session.leases.values()):
                note = stock_note(client, elsewhere, now)
                if note:
                    yield Reason(f"stock {client.peer.name}", f"{client.peer.name} {note}")


def why_stalled(run: Run, runner: Runner | None) -> str:
    """Why the runner of a run was given up and what to do. Empty: it was not."""
    if runner is None or not runner.stalled or not (run.active or uncollected(run)):
        return ""
    return f"{runner.why_stalled}; {runner.remedy()}"


def hindered(run: Run, runner: Runner | None) -> str:
    """What holds up the runner of a run. Empty: nothing does, or it was given up."""
    if runner is None or not runner.lives or not (run.active or uncollected(run)):
        return ""
    if runner.process is not None and runner.frozen:
        return f"its runner is stopped by a signal: `kill -CONT {runner.process.pid}`"
    since = runner.waits_since
    if since is not None and time.monotonic() - since > PATIENCE_S and not runner.trouble:
        return f"its runner waits behind others, of which {STARTING} start at a time: nothing to do"
    return runner.trouble


def unfed(run: Run, connected: bool) -> str:
    """What a run that a client feeds waits for. Empty: all its tasks are there."""
    if run.options.feeder != "client" or not run.active or run.exhausted:
        return ""
    if not connected:
        do = f"start it again, or `qm cancel {run.id}`"
        if not run.options.lasting:  # no other program can take it up
            do = "unless it comes back, the run is removed within a minute"
        elif run.key is None:
            do = f"the run has no key, so no other can: unless it comes back, `qm cancel {run.id}`"
        return f"its program has not given all its inputs; none is connected: {do}"
    return "" if run.unended else "its program is connected, and has not given its next input"


def stock_note(client: StockSession, puts_elsewhere: bool, now: float) -> str:
    """What is wrong with how a client takes tasks. Empty: nothing is."""
    lease = client.lease
    if lease is not None and puts_elsewhere and not client.puts_without:
        return (
            "takes here while results are put on another connection, which settles nothing:"
            " use both queues from one thread of one process"
        )
    if len(client.round.taken) >= MANY_TAKEN and not client.round.held:
        return (
            f"has taken {len(client.round.taken)} tasks and put no result: set QUEUE_STOCK_ACK=next"
            " on the master if its script puts none"
        )
    if lease is not None and now - lease.since > OLD_LEASE_S:
        held = f"has held a task for {now - lease.since:.0f} s"
        return f"{held}; it is offered again when its connection ends: end that client if it hangs"
    return client.note


def _has_a_free_slot(worker: WorkerSession) -> bool:
    return len(worker.session.leases) < max(1, worker.session.slots)


def _held_back(run: Run) -> bool:
    """Whether all that waits is of groups that may not start a task now."""
    return run.groups is not None and run.groups.best is None and not run.lane.ready


def _held_by_groups(run: Run, limit: GroupLimit, now: float) -> Iterator[Reason]:
    """What holds groups back: pauses that tasks asked for, their own limits, the run's limit."""
    limits = run.groups.limits if run.groups is not None else Limits(limit)
    groups = [] if run.groups is None else run.groups.known()
    paused = {g: until for g in groups if (until := limits.paused_until(g)) > now}
    if paused:
        names = sorted(paused, key=lambda group: (paused[group], group))
        who = ", ".join(names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
        many = "s" * (len(names) > 1)
        wait_s = paused[names[0]] - now
        asked = "as tasks asked with Retry(whole_group=True): nothing to do"
        yield Reason("asked", f"group{many} {who} held back, the first for {wait_s:.1f} s, {asked}")
    others = [group for group in groups if group not in paused]
    own = [group for group in others if limits.record(group).limit is not None]
    if own:
        when = _next_start(run, own, now)
        yield Reason("own limit", f"held back by limits of groups that results have set{when}")
    if len(own) < len(others) or not groups:
        when = _next_start(run, set(others).difference(own), now)
        at_once = "" if limit.at_once is None else f"at_once={limit.at_once}, "
        yield Reason(
            "limit",
            f"held back by per_group=Limit({at_once}every_s={limit.every_s:g}) of its OPTIONS"
            f"{when}"
            + f": if that is too strict, change it in jobs/{run.job}.py"
            * (not run.uploaded),
        )


def _next_start(run: Run, groups: Iterable[str], now: float) -> str:
    """When the first of these groups may start a task again, as the end of a sentence."""
    if run.groups is None:
        return ""
    names = list(groups)
    lanes = [run.groups.lanes[group] for group in names if group in run.groups.lanes]
    later = [at for group in names if (at := run.groups.next_start(group)) > now]
    if later:
        return f", the next may start in {min(later) - now:.1f} s"
    return (
        ", the next may start when one of their tasks ends"
        if any(lane.leased for lane in lanes)
        else ""
    )


def _too_old(workers: list[WorkerSession], needs: list[str]) -> str:
    """Which workers may be what a run needs, if they were not too old to say their Python.

    Each worker has a tag with its Python by itself, unless it is older than these tags.
    """
    given = given_tags(needs)
    old = [
        worker
        for worker in workers
        if worker.hello.level < _PYTHON_LEVEL
        and worker.session.tags.issuperset(given)
        and len(given_tags(worker.session.tags)) == len(worker.session.tags)
    ]
    if not old or len(given) == len(needs):
        return ""
    who = ", ".join(worker.name for worker in old[:_NAMED]) + ", ..." * (len(old) > _NAMED)
    level = min(worker.hello.level for worker in old)
    return (
        f"the run needs {in_words(needs)}, and {who} can't say which Python is there: update the"
        f" worker (it speaks level {level} of the protocol, the master level {LEVEL})"
    )


def _lacking(run: Run, workers: list[WorkerSession]) -> Iterator[Reason]:
    """Workers that can't run the job, those with the same complaint together."""
    lacking: dict[str, list[str]] = {}
    for worker in workers:
        if run.code in worker.session.lacks:
            lacking.setdefault(worker.session.lacks[run.code], []).append(worker.name)
    for why, names in lacking.items():
        who = ", ".join(names[:_NAMED])
        more = len(names) - _NAMED
        who += f" and {more} more" if more > 0 else ""
        yield Reason(f"lacks {why}", f"{who} {cannot(run.job, why)}")


def _delayed(run: Run, wall: float) -> Reason:
    """All unended tasks of a run wait for their time."""
    due = next_due(run)
    when = ""
    if due is not None:
        when = f", the next for {max(0.0, due - wall):.1f} s{_clock(due, wall)}"
    count = "its one task waits" if run.delayed == 1 else f"all {run.delayed:,} tasks wait"
    return Reason("delayed", f"{count} for a delay or a back-off to end{when}: nothing to do")


def _clock(due: float, wall: float) -> str:
    """The time of day, with the date if it is more than half a day off. Empty in the far future."""
    if due - wall > LONGEST_S:
        return ""
    form = "%H:%M:%S" if due - wall < DAY_S / 2 else "%Y-%m-%d %H:%M:%S"
    return f" (until {time.strftime(form, time.localtime(due))})"


def next_due(run: Run) -> float | None:
    """When the next delay of a run ends (UTC epoch, s). Tasks in memory are due before others."""
    due: Mapping[int, float] = {
        task.task: task.due_at for lane in run.lanes for task in lane.tracked.in_memory.values()
    }
    return min(due.values(), default=None)


def _sessions(sources: Sources) -> Iterator[Session]:
    return (worker.session for worker in sources.workers())

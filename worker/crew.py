"""The slots of a worker and the leases that they hold.

Owns which slot gets which lease, what goes back, what a slot's end means for its tasks, and the
limits of time. Outcomes gather in `outcomes`; how they get to the master is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from queue_manager.errors import JobError
from queue_manager.records import Done, Failed, Lease, Outcome, Released

from .board import CANCEL_S, NONE, PREPARING, Look
from .held import Held, Ranges
from .pipe import Report
from .slots import Slot
from .versions import Versions

log = logging.getLogger("quartermaster.worker")

QUICK_S = 0.2
"""A slot whose lease took less has the next one waiting in its pipe."""

LONG_S = 1.0
"""When a task has run so long, those behind it go back."""

TICK_S = 0.05
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
LOADING_DEATHS = 3
"""A job whose import or setup kills so many slots in a row can't run here."""

STOPPED = "stopped"

UNFIT_S = 60.0
"""After a failed import or `setup()` the same code is not tried again for so long."""

ALONE_S = 60.0
"""How long an async job's tasks run one at a time when nobody knows which killed a slot."""


class Crew:
    """Slots and leases of one worker.

    Args:
        folder: of the jobs.
        count: how many slots.
        on_change: called when there are new outcomes, or more leases could be taken.
    """

    def __init__(self, folder: Path, count: int, on_change: Callable[[], None]) -> None:
        self.outcomes: list[Outcome] = []
        self.max_bytes = 1024 * 1024
        self._folder, self._count, self._on_change = folder, count, on_change
        self._versions = Versions(folder)
        self._slots: list[Slot] = []
        self._queue: deque[Held] = deque()
        self._loading_deaths: Counter[tuple[str, str]] = Counter()
        self._alone_until: dict[str, float] = {}
        self._unfit: dict[str, tuple[str, float, str]] = {}
        self._ticking = False
        self._stopping = False

    def start(self) -> None:
        """Start the slots."""
        for _ in range(self._count):
            self._hire(0)

    @property
    def want(self) -> int:
        """How many leases could be taken besides those that are here; negative: too many."""
        free = sum(max(0, slot.appetite - slot.load) for slot in self._slots)
        return free - len(self._queue)

    @property
    def running(self) -> bool:
        """Whether a slot has a task in hand."""
        return any(h.left for slot in self._slots for h in slot.held)

    def take_outcomes(self) -> list[Outcome]:
        """The outcomes that were not taken yet."""
        taken, self.outcomes = self.outcomes, []
        return taken

    @property
    def ended(self) -> bool:
        """Whether no slot is left."""
        return not self._slots

    # --- leases come and go ---

    def add(self, leases: Iterable[Lease]) -> None:
        """Take leases that the master gave."""
        now = time.monotonic()
        self._queue.extend(Held(lease, now) for lease in leases)
        if self._stopping:
            self.give_back()
        self._feed()

    def give_back(self) -> None:
        """Everything that has not started goes back, also what waits behind a running task."""
        while self._queue:
            self._release(self._queue[0], self._queue.popleft().cut(0))
        for slot in self._slots:
            for held in slot.held:
                self._release(held, slot.take_back(held))

    def forget(self) -> None:
        """The session has ended: what has not started is the master's again without a word."""
        self._queue.clear()
        for slot in self._slots:
            for held in slot.held:
                slot.take_back(held)
        self.outcomes = [o for o in self.outcomes if not isinstance(o, Released)]

    def stop(self) -> None:
        """Take nothing more; slots without a task end."""
        self._stopping = True
        self.give_back()
        for slot in self._slots:
            if not any(held.left for held in slot.held):
                slot.close()

    def kill(self) -> None:
        """End all slots now; what they were running goes back uncharged."""
        for slot in self._slots:
            slot.doom = STOPPED
            slot.kill()

    def _feed(self) -> None:
        """Hand waiting leases to slots: first to those that have nothing."""
        while self._queue:
            held = self._queue[0]
            try:
                held.version = self._versions.of(held.lease.job, held.lease.run)
                self._check_fit(held)
            except JobError as error:
                self._queue.popleft()
                self._release(held, held.cut(0), str(error))
                continue
            slot = self._choose(held)
            if slot is None:
                break
            self._queue.popleft()
            held.since = time.monotonic()
            slot.give(held, self.max_bytes, self._alone(held.lease.job))
        self._keep_ticking()
        self._on_change()

    def _check_fit(self, held: Held) -> None:
        """Raise JobError for code that could not be set up a moment ago: once a minute will do."""
        version, until, why = self._unfit.get(held.lease.job, ("", 0.0, ""))
        if version == held.version and time.monotonic() < until:
            raise JobError(why)

    def _choose(self, held: Held) -> Slot | None:
        job = held.lease.job
        rooms = [slot for slot in self._slots if slot.room(job, held.version)]
        return min(rooms, key=lambda s: (len(s.held), s.job != job), default=None)

    def _alone(self, job: str) -> bool:
        return time.monotonic() < self._alone_until.get(job, 0.0)

    def _release(self, held: Held, ranges: Ranges, lacks: str = "") -> None:
        number = held.lease.number
        self.outcomes += [Released(number, start, stop, lacks) for start, stop in ranges]

    # --- what slots say ---

    def _reported(self, slot: Slot, report: Report) -> None:
        held = next((h for h in slot.held if h.lease.number == report.lease), None)
        if held is None:
            return
        slot.concurrency = report.concurrency
        for outcome in report.outcomes:
            self._settle(slot, held, outcome)
        if report.leaving:
            self._leaves(slot)
        if report.over:
            self._over(slot, held)
        self._feed()

    def _settle(self, slot: Slot, held: Held, outcome: Outcome) -> None:
        if isinstance(outcome, Released):
            if outcome.lacks:
                until = time.monotonic() + UNFIT_S
                self._unfit[held.lease.job] = (held.version, until, outcome.lacks)
            self._release(held, held.cut(0), outcome.lacks)
            return
        self._loading_deaths.pop((slot.job, slot.version), None)
        slot.deaths = 0
        held.took_s += outcome.took_s
        start, stop = (
            (outcome.start, outcome.stop)
            if isinstance(outcome, Done)
            else (outcome.position, outcome.position + 1)
        )
        if slot.doom and isinstance(outcome, Failed):  # it noticed SIGTERM before its end
            outcome = msgspec.structs.replace(outcome, error=slot.doom)
        if held.settle(start, stop):  # else it was taken back at the very moment it started
            self.outcomes.append(outcome)

    def _over(self, slot: Slot, held: Held) -> None:
        if held in slot.held:
            slot.held.remove(held)
        slot.quick = held.took_s < QUICK_S
        self._release(held, held.cut(0))
        if slot.held:
            slot.held[0].since = time.monotonic()
        if self._stopping and not slot.held:
            slot.close()

    def _leaves(self, slot: Slot) -> None:
        """It needs a successor: the job has changed, or cannot run in that process."""
        slot.leaving = True
        unstarted = [h for h in slot.held if not self._started(slot, h)]
        slot.held = [h for h in slot.held if h not in unstarted]
        now = time.monotonic()
        self._queue.extendleft(new for h in reversed(unstarted) for new in h.afresh(h.left, now))
        asyncio.get_running_loop().call_later(LONG_S, slot.kill)
        self._replace(slot)

    @staticmethod
    def _started(slot: Slot, held: Held) -> bool:
        return slot.board.pages[held.page].look().unstarted > held.lease.start

    # --- a slot's end ---

    def _hire(self, deaths: int) -> None:
        try:
            self._slots.append(Slot(self._folder, self._reported, self._gone, deaths))
        except OSError as error:  # such as too many processes or open files
            log.error("can't start a slot: %s; trying again", error)
            asyncio.get_running_loop().call_later(LONGEST_PAUSE_S, self._return, deaths)

    def _replace(self, slot: Slot) -> None:
        """Put another slot in its place; at once, unless slots there die one after the other."""
        if self._stopping:
            return
        pause_s = 0.0
        if slot.deaths > 1:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (slot.deaths - 2))
        asyncio.get_running_loop().call_later(pause_s, self._return, slot.deaths)

    def _return(self, deaths: int) -> None:
        if not self._stopping:
            self._hire(deaths)
            self._feed()

    def _gone(self, slot: Slot) -> None:
        """A slot's process has ended: exactly the task that it was running is charged."""
        self._slots.remove(slot)
        replaced = slot.leaving
        if not replaced:
            slot.deaths += 1
        charged = [self._charge(slot, h, slot.board.pages[h.page].look()) for h in slot.held]
        if not (replaced or slot.doom or any(charged)):
            log.warning("slot %d died: %s; no task is charged", slot.pid, slot.cause)
        if not replaced:
            self._replace(slot)
        self._feed()

    def _charge(self, slot: Slot, held: Held, look: Look) -> bool:
        """Charge a lease's running task, if it had one; the rest goes back. Whether it had."""
        position, charged, lacks = look.position, False, ""
        if slot.doom != STOPPED and not slot.leaving:
            if position >= 0 and held.has(position):
                charged = self._fail(slot, held, position)
            elif position == PREPARING:
                lacks = self._loading_death(slot, held)
            elif position == NONE and look.step:
                charged = self._blame(slot, held, look)
        self._release(held, held.cut(0), lacks)
        return charged

    def _fail(self, slot: Slot, held: Held, position: int) -> bool:
        error = slot.doom or f"its slot died: {slot.cause}"
        log.warning("%s: task %d: %s", held.lease.job, held.lease.first + position, error)
        held.settle(position, position + 1)
        took_s = time.monotonic() - slot.board.pages[held.page].look().since
        failed = Failed(held.lease.number, position, error, slot.evidence, took_s=took_s)
        self.outcomes.append(failed)
        return True

    def _loading_death(self, slot: Slot, held: Held) -> str:
        key = (held.lease.job, held.version)
        self._loading_deaths[key] += 1
        if self._loading_deaths[key] < LOADING_DEATHS:
            return ""
        return f"{held.lease.job}: import or setup() killed its slot: {slot.cause}"

    def _blame(self, slot: Slot, held: Held, look: Look) -> bool:
        """An async slot died between two steps: who did it is known if only one was in flight."""
        flying = [p for a, b in held.left for p in range(a, min(b, look.unstarted))]
        if len(flying) == 1 and len(slot.held) == 1:
            return self._fail(slot, held, flying[0])
        if flying:
            self._alone_until[held.lease.job] = time.monotonic() + ALONE_S
        return False

    # --- time ---

    def _keep_ticking(self) -> None:
        if not self._ticking and (self._queue or any(slot.held for slot in self._slots)):
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now = time.monotonic()
        for slot in list(self._slots):
            for held in list(slot.held):
                self._check(slot, held, now)
        if self._queue and now - self._queue[0].since > LONG_S:
            held = self._queue.popleft()
            self._release(held, held.cut(0))
        self._feed()

    def _check(self, slot: Slot, held: Held, now: float) -> None:
        look = slot.board.pages[held.page].look()
        limit_s = held.lease.timeout_s
        if look.position >= 0 and limit_s is not None and not slot.doom:
            # An async slot ends its tasks itself; here only for one that does not let go.
            since = look.step or look.since
            most_s = limit_s + (CANCEL_S if look.step else 0.0)
            if since and now - since > most_s:
                slot.terminate(f"timed out after {limit_s:g} s")
                for other in slot.held:
                    self._release(other, slot.take_back(other))
        first = held is slot.held[0]
        if (first or slot.concurrency > 1) and now - (look.since or held.since) > LONG_S:
            self._trim(slot, held, first)

    def _trim(self, slot: Slot, held: Held, first: bool) -> None:
        """A task (or import, or `setup`) takes long: what waits behind it goes back.

        A lease that waits in the pipe goes to another slot of ours, if one has nothing to do.
        """
        self._release(held, slot.take_back(held, least=1 if first else 0))
        if slot.concurrency > 1:
            return
        slot.quick = False
        for other in slot.held[1:]:
            ranges = slot.take_back(other)
            if any(s.fit and not s.held for s in self._slots):
                self._queue.extend(other.afresh(ranges, time.monotonic()))
            else:
                self._release(other, ranges)

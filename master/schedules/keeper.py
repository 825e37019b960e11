"""Has the runs made that are due: looks at the machine's clock, and at each schedule by it.

The cursor of a schedule moves in the commit of the run that it makes. So a crash before that commit
leaves the slot due, and after it decided. Owns when a schedule is looked at again after a failure,
and that no schedule holds up another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from queue_manager.errors import NoEnvironmentError, QueueError, StoreError
from queue_manager.wire.messages import StartRun

from ..released import RELEASED_AT
from ..scheduled import ScheduleRecord
from ..turn.answer import log_failure
from .due import Decision, decide, has_begun
from .expression import slots_of
from .naming import ask_for, slot_text
from .roster import Roster

log = logging.getLogger("quartermaster.master")

AGAIN_S = 5.0
"""After what time a schedule is looked at again that could not be written."""

LATER_S = 20.0
"""The same after a failure that lasts longer: of the packages of a job, or of ours."""

AT_ONCE = 4
"""How many schedules make a run at a time: after an outage there may be many of them."""

SLOW_S = 1.0
"""One that takes longer leaves its place to another: packages of a job may take half an hour."""


class Starter(Protocol):
    """Begins the runs of slots."""

    def going(self, run: int) -> bool:
        """Whether a run has not ended, with its `finish()`."""

    async def prepare(self, ask: StartRun) -> Any:
        """Look at the job of a run.

        Raises a QueueError if it can't run; StoreError or NoEnvironmentError if that can't be known
        now.
        """

    def begin(
        self,
        ask: StartRun,
        prepared: Any,
        check: Callable[[], None],
        besides: Callable[[int], None],
    ) -> Awaitable[int]:
        """Begin a run, or find that of the key. Returns its number when that is on disk.

        check: is called first in its step, and may refuse it. besides: is called with the number,
        and stages what goes to disk together with the run.

        Raises RefusedError.
        """


class _Making(NamedTuple):
    """A schedule that makes a run. since: monotonic seconds."""

    task: asyncio.Task[None]
    since: float


class Keeper:
    """Looks at all schedules."""

    def __init__(self, roster: Roster, starter: Starter) -> None:
        self._roster = roster
        self._starter = starter
        self._next: dict[str, tuple[ScheduleRecord, float]] = {}
        self._again: dict[str, float] = {}
        self._busy: dict[str, _Making] = {}
        self.trouble: dict[str, str] = {}
        """By name, why a schedule can't be looked at."""

    def tick(self, now: float, clock: float) -> None:
        """Look for schedules with something due. clock: the machine's, UTC epoch in seconds."""
        if clock < RELEASED_AT:  # by such a clock nothing is due
            return
        for known in (self._next, self._again, self.trouble):
            for name in known.keys() - self._roster.all.keys():
                del known[name]
        free = AT_ONCE - sum(now - one.since < SLOW_S for one in self._busy.values())
        for name, record in self._roster.all.items():
            if free <= 0:
                return
            if name in self._busy or now < self._again.get(name, now):
                continue
            if self._is_due(record, now, clock):
                free -= 1
                self._again.pop(name, None)
                task = asyncio.get_running_loop().create_task(self._act(record, now, clock))
                self._busy[name] = _Making(task, now)
                task.add_done_callback(log_failure)
                task.add_done_callback(partial(self._done, name))

    def _done(self, name: str, _: asyncio.Task[None]) -> None:
        del self._busy[name]

    def stop(self) -> None:
        """Make no more runs."""
        for one in self._busy.values():
            one.task.cancel()

    def next_at(self, record: ScheduleRecord) -> float:
        """When the first slot behind the cursor comes."""
        known, at = self._next.get(record.name, (None, 0.0))
        if known is not record:
            at = slots_of(record.expression, record.zone).after(record.cursor)
            self._next[record.name] = record, at
        return at

    def _is_due(self, record: ScheduleRecord, now: float, clock: float) -> bool:
        """Whether a schedule has something due. What is wrong with it concerns no other one."""
        if record.paused:
            return False
        try:
            if not has_begun(record) or (record.waiting and not self._going(record)):
                return True
            due = self.next_at(record) <= clock
        except QueueError as error:  # such as a zone that this machine does not know
            self.trouble[record.name] = str(error)
            return False
        except Exception as error:
            log.exception("an error of ours")
            self._again[record.name] = now + LATER_S
            self.trouble[record.name] = f"an error of ours: {error!r}"
            return False
        self.trouble.pop(record.name, None)
        return due

    def _going(self, record: ScheduleRecord) -> bool:
        return bool(record.last_run) and self._starter.going(record.last_run)

    async def _act(self, record: ScheduleRecord, now: float, clock: float) -> None:
        """Decide what is due. Whatever goes wrong is tried again later, and not at each tick."""
        name, loop = record.name, asyncio.get_running_loop()
        behind_s = now - loop.time()
        try:
            await self._decide(record, clock)
        except NoEnvironmentError as error:  # such as no network for the packages of its job
            pause_s, self.trouble[name] = LATER_S, f"waits: {error}"
        except QueueError:  # it was changed meanwhile, or can't be written
            pause_s = AGAIN_S
        except Exception as error:
            log.exception("an error of ours")
            pause_s, self.trouble[name] = LATER_S, f"an error of ours: {error!r}"
        else:
            return
        self._again[name] = loop.time() + behind_s + pause_s  # the look may have taken long

    async def _decide(self, record: ScheduleRecord, clock: float) -> None:
        slots = slots_of(record.expression, record.zone)
        decision = decide(record, slots, clock, self._going(record))
        after, slot = decision
        if after == record:
            return
        if after.note != record.note:
            log.warning("schedule %s: %s", record.name, after.note)
        if slot is None:
            await self._roster.replace(record, after)
        else:
            await self._run(record, decision, slot)

    async def _run(self, record: ScheduleRecord, decision: Decision, slot: float) -> None:
        """Make the run of a slot. If its job is broken, the schedule says so and goes on."""
        ask = ask_for(record, slot)
        try:
            prepared = await self._starter.prepare(ask)
        except (StoreError, NoEnvironmentError):  # it passes, so the slot stays due
            raise
        except QueueError as error:
            line = f"{slot_text(slot)} could not run: {error}"
            log.error("schedule %s: %s", record.name, line)
            after = decision.record
            await self._roster.replace(
                record, replace(after, skipped=after.skipped + 1, trouble=line)
            )
            return

        def besides(run: int) -> None:
            after = replace(decision.record, last_run=run, last_slot=slot, trouble="")
            if after.note == record.note:  # it is of before this run
                after = replace(after, note="")
            self._roster.stage(record.name, after)

        await self._starter.begin(ask, prepared, lambda: self._roster.check_same(record), besides)

"""Looks at the jobs of schedules.toml, so what is wrong is told before a slot can't run.

`qm schedule add` refuses a job that can't run. A file is taken as it is, since its jobs may come
later. So a look says no more than that, and is repeated while something is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import NamedTuple

from queue_manager.errors import QueueError, StoreError
from queue_manager.wire.schedules import ScheduleSpec

from ..scheduled import ScheduleRecord
from ..turn.answer import log_failure
from .expression import slots_of
from .keeper import SLOW_S, Starter
from .naming import ask_for
from .roster import Roster, spec_of

log = logging.getLogger("quartermaster.master")

AGAIN_S = 60.0
"""After what time a job is looked at again that can't run: it may be mended."""

AT_ONCE = 2
"""How many looks go on at a time: those at jobs whose packages are fetched take long."""


class _Look(NamedTuple):
    """What was looked at. record: as the roster had it. again: monotonic seconds."""

    record: ScheduleRecord
    spec: ScheduleSpec
    again: float


class Foresight:
    """Looks at one job after the other. clock: the machine's clock, UTC epoch in seconds.

    trouble: by name of a schedule, why its next slot could not run.
    """

    def __init__(self, roster: Roster, starter: Starter, clock: Callable[[], float]) -> None:
        self._roster, self._starter, self._clock = roster, starter, clock
        self._looks: dict[str, _Look] = {}
        self._busy: dict[asyncio.Task[None], float] = {}
        self.trouble: dict[str, str] = {}

    def tick(self, now: float) -> None:
        """Begin a look if one is due. now: monotonic seconds."""
        for name in self._looks.keys() - self._roster.all.keys():
            self._forget(name)
        if len(self._busy) >= AT_ONCE or any(now - at < SLOW_S for at in self._busy.values()):
            return
        for record in self._roster.all.values():
            if self._is_due(record, now):
                look = _Look(record, spec_of(record), math.inf)
                self._looks[record.name] = look
                task = asyncio.get_running_loop().create_task(self._look(look.spec, now))
                self._busy[task] = now
                task.add_done_callback(log_failure)
                task.add_done_callback(self._busy.pop)
                return

    def stop(self) -> None:
        """Look no more."""
        for task in self._busy:
            task.cancel()

    def _is_due(self, record: ScheduleRecord, now: float) -> bool:
        if record.paused or not record.from_file:
            self._forget(record.name)
            return False
        known = self._looks.get(record.name)
        if known is None:
            return True
        if known.record is not record:
            if known.spec != spec_of(record):
                self._forget(record.name)
                return True
            self._looks[record.name] = known._replace(record=record)
        return now >= known.again

    def _forget(self, name: str) -> None:
        self._looks.pop(name, None)
        self.trouble.pop(name, None)

    async def _look(self, spec: ScheduleSpec, now: float) -> None:
        line, again = "", AGAIN_S
        try:
            slot = slots_of(spec.expression, spec.zone).after(self._clock())
            if math.isfinite(slot):
                await self._starter.prepare(ask_for(spec, slot))
            again = math.inf
        except StoreError:  # it says nothing of the job
            pass
        except QueueError as error:
            line = f"its next slot could not run: {error}"
        known = self._looks.get(spec.name)
        if known is None or known.spec != spec:  # it was changed meanwhile
            return
        self._looks[spec.name] = known._replace(again=now + again)
        told = self.trouble.pop(spec.name, "")
        if line:
            self.trouble[spec.name] = line
            if line != told:
                log.error("schedule %s: %s", spec.name, line)

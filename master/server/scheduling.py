"""Schedules as the service has them: their runs are begun, and commands ask about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from queue_manager.wire.messages import (
    AddSchedule,
    AskSchedules,
    ChangeSchedule,
    ScheduleList,
    ScheduleShown,
    StartRun,
)
from queue_manager.wire.records import RunOptions

from ..broker.runs.run import Run
from ..jobs.versions import Fitted, Versions
from ..processes.runners import uncollected
from ..schedules.expression import slots_of
from ..schedules.foresight import Foresight
from ..schedules.keeper import Keeper
from ..schedules.naming import ask_for, check
from ..schedules.roster import Roster
from ..schedules.telling import Telling
from ..schedules.watch import FileWatch
from ..turn.answer import PeerReply, Replying
from ..turn.turn import Turn
from .runs.runs import Besides, Runs


class SlotRuns:
    """Begins runs of slots as commands begin theirs."""

    def __init__(self, turn: Turn, runs: Runs, versions: Versions) -> None:
        self._turn, self._runs, self._versions = turn, runs, versions

    def going(self, run: int) -> bool:
        """Whether a run has not ended, with its `finish()`. What has ended leaves the memory."""
        found = self._turn.broker.recall(run)
        return found is not None and (found.active or uncollected(found))

    async def prepare(self, ask: StartRun) -> Fitted | None:
        """Look at the job of a run; None: its key has a run already. Raises as `Starter`."""
        if await self._runs.find(ask) is not None:
            return None
        return await self._versions.check_for_submit(ask, at_once=False)  # nobody waits

    async def begin(
        self,
        ask: StartRun,
        prepared: Fitted | None,
        check: Callable[[], None],
        besides: Callable[[int], None],
    ) -> int:
        """As of `Starter`. Nothing of `prepared` counts for a run that is there already."""
        looked = prepared or Fitted("", RunOptions())
        with_run = Besides(check, lambda run: besides(run.id), only_known=prepared is None)
        run: Run
        run, _ = await self._runs.start(
            ask, looked.options, looked.version, looked.given, besides=with_run
        )
        return run.id


class Scheduling:
    """All of schedules that the service has.

    troubles: what is wrong with them, a line each.
    """

    def __init__(self, turn: Turn, runs: Runs, versions: Versions, folder: Path) -> None:
        self._versions = versions
        self._replying = Replying()
        self._roster = Roster(turn, _clock)
        starter = SlotRuns(turn, runs, versions)
        self._keeper = Keeper(self._roster, starter)
        self._watch = FileWatch(self._roster, folder)
        self._foresight = Foresight(self._roster, starter, _clock)
        self._telling = Telling(self._roster, self._keeper, self._watch, self._foresight, _clock)
        self.troubles = self._telling.troubles

    @property
    def skipped(self) -> int:
        """How many slots were left out since the start."""
        return self._roster.skipped

    def tick(self, now: float) -> None:
        """Look at the file, then at the schedules. now: monotonic seconds."""
        self._watch.tick(now)
        if self._watch.is_settled(now):
            self._keeper.tick(now, _clock())
            self._foresight.tick(now)

    def stop(self) -> None:
        """Begin no more runs."""
        self._watch.stop()
        self._keeper.stop()
        self._foresight.stop()

    def add(self, reply: PeerReply, message: AddSchedule) -> None:
        """Add a schedule whose job and arguments fit. The arguments are those of its next slot."""
        self._replying.begin(reply, self._added(message))

    async def _added(self, message: AddSchedule) -> ScheduleShown:
        spec = message.spec
        check(spec)
        slot = slots_of(spec.expression, spec.zone).after(_clock())
        await self._versions.check_for_submit(ask_for(spec, slot))
        record, new = await self._roster.add(spec)
        return ScheduleShown(message.seq, self._telling.of(record), new)

    def change(self, reply: PeerReply, message: ChangeSchedule) -> None:
        """Pause, resume or remove a schedule."""
        self._replying.begin(reply, self._changed(message))

    async def _changed(self, message: ChangeSchedule) -> ScheduleShown:
        record = await self._roster.change(message.name, message.to)
        return ScheduleShown(message.seq, self._telling.of(record))

    def show(self, reply: PeerReply, message: AskSchedules) -> None:
        """All schedules."""
        reply.send(ScheduleList(message.seq, self._telling.all(), self._telling.why()))


def _clock() -> float:
    """The machine's clock: schedules are by it alone."""
    return time.time()

"""The schedules of a master without sockets, for tests."""

from __future__ import annotations

from typing import Any

from master.jobs.versions import Fitted
from master.schedules.foresight import Foresight
from master.schedules.keeper import Keeper
from master.schedules.roster import Roster
from master.schedules.telling import Telling
from master.server.scheduling import SlotRuns
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunOptions
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World

NOON = 1_780_056_000.0
"""2026-05-29 12:00 UTC."""
HOURLY = ScheduleSpec("n", "0 * * * *", "job", ["at={slot}"])


class Looks:
    """The look at a job; trouble: why it can't run."""

    def __init__(self) -> None:
        self.trouble = ""
        self.raises: type[Exception] = RefusedError
        self.asked: list[StartRun] = []

    async def check_for_submit(self, ask: StartRun, *, at_once: bool) -> Fitted:
        self.asked.append(ask)
        assert not at_once, "what has failed a moment ago costs each slot again"
        if self.trouble:
            raise self.raises(self.trouble)
        return Fitted("v1", RunOptions())


class Rig:
    """The schedules of a master. clock: the machine's clock."""

    def __init__(self, world: World, clock: float = NOON) -> None:
        self.world, self.clock = world, clock
        self.looks: Any = Looks()
        self.roster = Roster(world.turn, lambda: self.clock)
        runs = SlotRuns(world.turn, world.runs, self.looks)
        self.keeper = Keeper(self.roster, runs)
        self.watch: Any = type("Watch", (), {"why": []})()
        self.foresight = Foresight(self.roster, runs, lambda: self.clock)
        self.telling = Telling(
            self.roster, self.keeper, self.watch, self.foresight, lambda: self.clock
        )

    async def at(self, clock: float) -> None:
        """A look at the schedules at a time."""
        self.clock = clock
        self.keeper.tick(clock, clock)
        await self.world.turns(9)

    def runs(self) -> list[Any]:
        return [run for run in self.world.broker.runs.values() if run.id]

    def why(self) -> list[str]:
        return self.telling.troubles()

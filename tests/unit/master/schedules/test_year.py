"""A year of schedules from a seed: crashes, outages, a clock that is set, two summer times.

The master is the real one without sockets. Each life of it ends like a kill -9, at any moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from master.jobs.versions import Fitted
from master.schedules.expression import slots_of
from master.schedules.keeper import Keeper
from master.schedules.naming import key_of
from master.schedules.roster import Roster
from master.server.scheduling import SlotRuns
from queue_manager.wire.messages import StartRun
from queue_manager.wire.records import RunOptions
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World

START = datetime(2026, 2, 1, 12, 30, tzinfo=UTC).timestamp()
YEAR_S = 365 * 86_400.0
LIVES = 60
SEED = 1

TIMES = {
    "berlin": ("30 2 * * *", "Europe/Berlin", [(2, 30)]),
    "chatham": ("0 3 * * *", "Pacific/Chatham", [(3, 0)]),
    "troll": ("30 1,2 * * *", "Antarctica/Troll", [(1, 30), (2, 30)]),
    "lord-howe": ("15 2 * * *", "Australia/Lord_Howe", [(2, 15)]),
}


class Looks:
    """Every job is fine, and a look at it takes a moment in which much may happen."""

    async def check_for_submit(self, ask: StartRun, *, at_once: bool) -> Fitted:
        await asyncio.sleep(0)
        return Fitted("v1", RunOptions())


@dataclass
class Truth:
    """What is outside of the master. ends: when runs end. known: keys that had a run already."""

    chance: random.Random
    now: float = START
    ahead_s: float = 0.0
    highest: float = START
    ends: dict[int, float] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now + self.ahead_s

    def set_clock(self) -> None:
        """Somebody sets the clock, by seconds or by days; or it is right again."""
        self.ahead_s = self.chance.choice([0.0, 0.0, 40.0, -90.0, 86_400.0, -100_000.0, 7_200.0])


class Begun(SlotRuns):
    """Begins real runs, which end after some time."""

    def __init__(self, world: World, truth: Truth) -> None:
        looks: Any = Looks()
        super().__init__(world.turn, world.runs, looks)
        self._truth = truth

    def going(self, run: int) -> bool:
        took_s = self._truth.chance.choice([1.0, 60.0, 3_600.0])
        return self._truth.now < self._truth.ends.setdefault(run, self._truth.now + took_s)

    async def prepare(self, ask: StartRun) -> Any:
        looked = await super().prepare(ask)
        if looked is None:
            self._truth.known.append(ask.key or "")
        return looked


def expected(name: str, until: float) -> list[str]:
    """The keys of all slots, found by the calendar: each local time of each day, once."""
    _, zone, times = TIMES[name]
    day, keys = date(2026, 1, 30), []
    while day < date(2027, 12, 31):
        for hour, minute in times:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
            if START < local.timestamp() <= until:
                keys.append(key_of(name, local.timestamp()))
        day += timedelta(days=1)
    return keys


async def live(world: World, truth: Truth, until: float) -> tuple[Roster, Keeper]:
    """One life of a master, from its start to its kill."""
    roster = Roster(world.turn, truth.clock)
    keeper = Keeper(roster, Begun(world, truth))
    for name, (expression, zone, _) in TIMES.items():
        overlap = "queue" if name == "berlin" else "allow"
        await roster.add(ScheduleSpec(name, expression, "job", [], zone, "all", overlap))
    while truth.now < until:
        if truth.chance.random() < 0.01:
            truth.set_clock()
        if truth.chance.random() < 0.5:  # a look at the very moment
            at = min(slots_of(e, z).after(truth.clock()) for e, z, _ in TIMES.values())
            truth.now = max(truth.now, at - truth.ahead_s) + truth.chance.choice([0.0, 1.0, 59.0])
        else:
            truth.now += truth.chance.choice([1.0, 300.0, 5_000.0])
        truth.highest = max(truth.highest, truth.clock())
        keeper.tick(truth.now, truth.clock())
        await world.turns(truth.chance.choice([0, 1, 6, 6]))
    await world.turns(truth.chance.choice([0, 1, 3]))
    return roster, keeper


def test_each_slot_of_a_year_has_one_run(play: Callable[..., None]) -> None:
    truth = Truth(random.Random(SEED))
    stores: list[Any] = []

    async def one_life(world: World) -> None:
        lasts = truth.chance.random() * 2 * YEAR_S / LIVES
        await live(world, truth, truth.now + lasts)
        truth.now += truth.chance.choice([5.0, 3_000.0, 200_000.0])  # the outage

    async def last_life(world: World) -> None:
        truth.ahead_s, truth.now = 0.0, max(truth.now, START + YEAR_S)
        roster, keeper = await live(world, truth, truth.now + 5 * 86_400.0)
        rounds = 0
        while rounds < 30 or any(record.waiting for record in roster.all.values()):
            rounds += 1
            truth.now += 10.0 if rounds < 30 else 600.0
            truth.highest = max(truth.highest, truth.clock())
            keeper.tick(truth.now, truth.clock())
            await world.turns(6)
        await world.turns(9)
        stores.append(world.store)

    play(*[one_life] * LIVES, last_life)
    made = [run.record.key or "" for run in stores[0].load()[1:]]
    assert len(made) == len(set(made))
    assert [record.skipped for record in stores[0].schedules()] == [0] * len(TIMES)
    for name in TIMES:
        ours = sorted(key for key in made if key.startswith(f"schedule {name} "))
        assert ours == expected(name, truth.highest), name
    assert truth.known == []  # the cursor has kept each slot from coming again, not its key

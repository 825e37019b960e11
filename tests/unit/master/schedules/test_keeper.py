"""What holds up no schedule: a wrong clock, slow jobs, an error of ours in another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from master.released import RELEASED_AT
from master.schedules.expression import slots_of
from master.schedules.keeper import AT_ONCE, LATER_S, SLOW_S
from queue_manager.wire.messages import StartRun
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World
from tests.unit.master.schedules.rig import HOURLY, NOON, Rig


def test_by_a_clock_that_can_not_be_right_nothing_is_due(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world, RELEASED_AT - 100 * 86_400)
        await rig.roster.add(HOURLY)
        await rig.at(RELEASED_AT - 1)
        assert rig.runs() == []
        assert rig.why() == ["no schedule runs: the clock of the master's machine is wrong"]
        assert rig.telling.all()[0].next_at is None

    play(scene)


@pytest.mark.parametrize("by", ["a command", "the file", "a resume", "a change of the file"])
def test_what_begins_by_the_clock_of_1970_has_missed_nothing_when_it_is_right(
    play: Callable[..., None], by: str
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        spec = ScheduleSpec("n", "0 * * * *", "job", missed="all")
        if by == "a resume":
            await rig.roster.add(spec)
            await rig.roster.change("n", "paused")
        if by == "a change of the file":
            await rig.roster.take_file([ScheduleSpec("n", "30 * * * *", "job", missed="all")])
        rig.clock = 5.0
        if by == "a command":
            await rig.roster.add(spec)
        elif by == "a resume":
            await rig.roster.change("n", "resumed")
        else:
            await rig.roster.take_file([spec])
        await rig.at(6.0)
        await rig.at(NOON + 10 * 3_600 + 60)
        assert (rig.runs(), rig.roster.all["n"].waiting) == ([], [])
        await rig.at(NOON + 11 * 3_600)
        assert [run.key for run in rig.runs()] == ["schedule n 2026-05-29T23:00:00Z"]

    play(scene)


def test_a_resume_by_the_clock_of_1970_leaves_what_goes_on_as_it_is(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        rig.clock = 5.0
        assert (await rig.roster.change("n", "resumed")).cursor == NOON
        assert "resume n" not in "".join(rig.why())

    play(scene)


def test_schedules_whose_jobs_are_looked_at_for_long_hold_up_no_other_one(
    play: Callable[..., None],
) -> None:
    """An environment with large packages takes up to half an hour."""

    async def scene(world: World) -> None:
        rig = Rig(world)
        made = asyncio.Event()
        look = rig.looks.check_for_submit

        async def check_for_submit(ask: StartRun, *, at_once: bool) -> Any:
            if ask.job == "slow":
                await made.wait()
            return await look(ask, at_once=at_once)

        rig.looks.check_for_submit = check_for_submit
        for number in range(AT_ONCE):
            await rig.roster.add(ScheduleSpec(f"slow{number}", "0 * * * *", "slow"))
        await rig.roster.add(HOURLY)
        await rig.at(NOON + 3_600)
        assert rig.runs() == []
        await rig.at(NOON + 3_600 + SLOW_S)
        assert [run.key for run in rig.runs()] == ["schedule n 2026-05-29T13:00:00Z"]
        made.set()
        await world.turns(9)
        assert len(rig.runs()) == AT_ONCE + 1

    play(scene)


def test_an_error_of_ours_in_one_schedule_is_told_and_holds_up_no_other_one(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(expression: str, zone: str) -> Any:
        if expression == "@daily":
            raise ZeroDivisionError("x")
        return slots_of(expression, zone)

    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(ScheduleSpec("a", "@daily", "job"))
        await rig.roster.add(HOURLY)
        monkeypatch.setattr("master.schedules.keeper.slots_of", broken)
        await rig.at(NOON + 3_600)
        assert len(rig.runs()) == 1
        assert rig.why() == ["schedule a: an error of ours: ZeroDivisionError('x')"]
        monkeypatch.undo()
        await rig.at(NOON + 3_600 + LATER_S)
        assert rig.why() == []

    play(scene)


def test_a_clock_that_was_ahead_is_told_and_a_resume_makes_no_slot_twice(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(ScheduleSpec("n", "0 * * * *", "job", overlap="allow"))
        await rig.at(NOON + 3_600)
        await rig.at(NOON + 10 * 86_400)
        assert len(rig.runs()) == 2
        await rig.at(NOON + 3_000)
        assert "to begin again from now, qm schedule resume n" in rig.why()[0]
        await rig.roster.change("n", "resumed")
        await rig.at(NOON + 3_610)
        assert (len(rig.runs()), rig.why()) == (2, [])  # 13:00 has its run
        await rig.at(NOON + 7_200)
        assert len(rig.runs()) == 3

    play(scene)

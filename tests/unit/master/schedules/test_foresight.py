"""What is wrong with the jobs of schedules.toml is told before their slots come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from master.schedules.foresight import AGAIN_S, AT_ONCE
from master.schedules.keeper import SLOW_S
from queue_manager.errors import StoreError
from queue_manager.wire.messages import StartRun
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World
from tests.unit.master.schedules.rig import HOURLY, Rig

LINE = "schedule n: its next slot could not run: no job 'job'"


async def looked(rig: Rig, now: float) -> None:
    rig.foresight.tick(now)
    await rig.world.turns(9)


def test_trouble_is_told_until_the_job_is_mended(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        rig.looks.trouble = "no job 'job'"
        await rig.roster.take_file([HOURLY])
        await looked(rig, 0.0)
        assert rig.why() == [LINE]
        assert [ask.args for ask in rig.looks.asked] == [["at=2026-05-29T13:00:00Z"]]
        rig.looks.trouble = ""
        await looked(rig, AGAIN_S - 1)
        assert rig.why() == [LINE]
        await looked(rig, AGAIN_S)
        assert rig.why() == []
        await looked(rig, 9 * AGAIN_S)
        assert len(rig.looks.asked) == 2, "a job that can run is looked at once"

    play(scene)


def test_a_change_of_the_file_is_looked_at_at_once_and_a_moved_cursor_is_none(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.take_file([HOURLY])
        await looked(rig, 0.0)
        record = rig.roster.all["n"]
        await rig.roster.replace(record, replace(record, cursor=record.cursor + 1))
        await looked(rig, 1.0)
        assert len(rig.looks.asked) == 1
        rig.looks.trouble = "no job 'job'"
        await rig.roster.take_file([msgspec.structs.replace(HOURLY, args=["count=x"])])
        await looked(rig, 2.0)
        assert rig.why() == [LINE]
        await rig.roster.change("n", "paused")
        await looked(rig, 3.0)
        assert rig.why() == []
        await rig.roster.take_file([])
        await looked(rig, 4.0)
        assert len(rig.looks.asked) == 2

    play(scene)


def test_a_schedule_of_a_command_was_looked_at_when_it_was_added(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        await looked(rig, 0.0)
        assert rig.looks.asked == []

    play(scene)


def test_a_full_disk_says_nothing_of_a_job(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        rig.looks.trouble, rig.looks.raises = "no space", StoreError
        await rig.roster.take_file([HOURLY])
        await looked(rig, 0.0)
        assert rig.why() == []
        await looked(rig, AGAIN_S)
        assert len(rig.looks.asked) == 2

    play(scene)


def test_a_slow_look_holds_up_no_other_and_few_go_on_at_a_time(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig, begun = Rig(world), []

        async def never(ask: StartRun, **_: Any) -> Any:
            begun.append(ask.key)
            await asyncio.Event().wait()

        rig.looks.check_for_submit = never
        names = [f"n{at}" for at in range(AT_ONCE + 1)]
        await rig.roster.take_file([ScheduleSpec(name, "@hourly", "job") for name in names])
        await looked(rig, 0.0)
        await looked(rig, SLOW_S / 2)
        assert len(begun) == 1
        for at in range(1, AT_ONCE + 3):
            await looked(rig, at * 2 * SLOW_S)
        assert len(begun) == AT_ONCE
        rig.foresight.stop()

    play(scene)

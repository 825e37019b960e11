"""Schedules are added, paused, resumed and removed, by commands and by the file; they make runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from master.schedules.keeper import AGAIN_S, LATER_S
from master.schedules.naming import ask_for, check
from queue_manager.errors import NoEnvironmentError, RefusedError
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World
from tests.unit.master.schedules.rig import HOURLY, NOON, Rig


def test_a_slot_has_a_run_with_its_key_and_its_time(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        await rig.at(NOON + 3_599)
        assert rig.runs() == []
        await rig.at(NOON + 3_601)
        (run,) = rig.runs()
        assert run.key == "schedule n 2026-05-29T13:00:00Z"
        assert run.args == ["at=2026-05-29T13:00:00Z"]
        await rig.at(NOON + 3_602)
        assert len(rig.runs()) == 1

    async def after_a_kill(world: World) -> None:
        rig = Rig(world)
        assert rig.roster.all["n"].last_run == 1
        await rig.at(NOON + 3_603)
        assert len(rig.runs()) == 1

    play(scene, after_a_kill)


def test_a_slot_in_arguments_is_local_time_in_the_format_that_is_asked_for() -> None:
    spec = ScheduleSpec("n", "0 3 * * *", "job", ["a={slot:%F %H}", "b={x}{slot}"], "Asia/Tokyo")
    assert ask_for(spec, NOON).args == ["a=2026-05-29 21", "b={x}2026-05-29T12:00:00Z"]


def test_a_broken_job_is_told_and_does_not_loop(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        rig.looks.trouble = "jobs/job.py line 3: SyntaxError"
        for second in range(5):
            await rig.at(NOON + 3_600 + second)
        assert len(rig.looks.asked) == 1
        line = "2026-05-29T13:00:00Z could not run: jobs/job.py line 3: SyntaxError"
        assert rig.why() == [f"schedule n: {line}"]
        assert rig.roster.all["n"].cursor == NOON + 3_600
        rig.looks.trouble = ""
        await rig.at(NOON + 7_200)
        assert (len(rig.runs()), rig.why()) == (1, [])

    play(scene)


def test_a_full_disk_leaves_the_slot_due(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        world.store.full = True
        await rig.at(NOON + 3_600)
        assert rig.runs() == []
        world.store.full = False
        await rig.at(NOON + 3_601)  # too soon: nothing loops
        assert rig.runs() == []
        await rig.at(NOON + 3_600 + AGAIN_S)
        assert [run.key for run in rig.runs()] == ["schedule n 2026-05-29T13:00:00Z"]

    play(scene)


def test_what_passes_leaves_the_slot_due_and_is_told(play: Callable[..., None]) -> None:
    """No network for the packages of its job, for example: the slot may be a month's only one."""

    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        rig.looks.trouble, rig.looks.raises = "package x can't be had", NoEnvironmentError
        for second in range(5):
            await rig.at(NOON + 3_600 + second)
        assert len(rig.looks.asked) == 1
        assert rig.why() == ["schedule n: waits: package x can't be had"]
        rig.looks.trouble = ""
        await rig.at(NOON + 3_600 + LATER_S)
        assert [run.key for run in rig.runs()] == ["schedule n 2026-05-29T13:00:00Z"]
        await rig.at(NOON + 3_601 + LATER_S)
        assert rig.why() == []

    play(scene)


def test_a_schedule_that_is_paused_while_its_job_is_looked_at_makes_no_run(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        rig.clock = NOON + 3_600
        rig.keeper.tick(rig.clock, rig.clock)
        await rig.roster.change("n", "paused")
        await world.turns(9)
        assert rig.runs() == []
        await rig.at(NOON + 8_000)
        assert rig.telling.all()[0].next_at is None
        await rig.roster.change("n", "resumed")
        await rig.at(NOON + 8_001)
        assert rig.runs() == []  # slots of the pause do not run
        await rig.at(NOON + 3 * 3_600)
        assert len(rig.runs()) == 1

    play(scene)


def test_the_run_before_is_going_until_it_has_ended(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        await rig.at(NOON + 3_600)
        await rig.at(NOON + 7_200)
        assert len(rig.runs()) == 1
        note = "2026-05-29T14:00:00Z left out: run 1 was still going"
        assert rig.telling.all()[0].note == note
        run = rig.runs()[0]

        def cancel(now: float, wall: float) -> Callable[[], None]:
            world.broker.cancel(run, wall)
            return lambda: None

        await world.turn.carry_out(cancel)
        await world.turns()
        await rig.at(NOON + 3 * 3_600)
        assert len({r.key for r in rig.runs()} | {run.key}) == 2

    play(scene)


def test_the_same_schedule_again_changes_nothing_and_another_one_is_refused(
    play: Callable[..., None],
) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        assert (await rig.roster.add(HOURLY))[1]
        assert not (await rig.roster.add(HOURLY))[1]
        with pytest.raises(RefusedError) as caught:
            await rig.roster.add(ScheduleSpec("n", "0 * * * *", "job"))
        line = "there is another schedule n (its arguments: 'at={slot}'): remove it first"
        assert str(caught.value).startswith(line)
        with pytest.raises(RefusedError, match=r"n \(its times: 0 \* \* \* \*; its zone: UTC\)"):
            await rig.roster.add(ScheduleSpec("n", "@daily", "job", HOURLY.args, "Asia/Tokyo"))
        for verb in ("paused", "resumed", "removed"):
            with pytest.raises(RefusedError, match="there is no schedule 'm'"):
                await rig.roster.change("m", verb)
        await rig.roster.change("n", "removed")
        assert world.store.schedules() == []

    play(scene)


def test_the_file_adds_changes_and_removes_its_own_alone(play: Callable[..., None]) -> None:
    async def scene(world: World) -> None:
        rig = Rig(world)
        await rig.roster.add(HOURLY)
        daily, weekly = ScheduleSpec("d", "@daily", "job"), ScheduleSpec("w", "@weekly", "job")
        assert await rig.roster.take_file([daily, weekly]) == []
        await rig.roster.change("d", "paused")
        with pytest.raises(RefusedError, match=r"is in jobs/schedules\.toml: remove it there"):
            await rig.roster.change("d", "removed")
        rig.clock += 1_000
        other = ScheduleSpec("d", "@daily", "other")
        lines = await rig.roster.take_file([other, ScheduleSpec("n", "@daily", "job")])
        assert lines[0].startswith("the schedule n of schedules.toml is not taken")
        assert sorted(rig.roster.all) == ["d", "n"]
        now = rig.roster.all["d"]
        assert (now.job, now.paused, now.cursor) == ("other", True, NOON)
        await rig.roster.take_file([ScheduleSpec("d", "0 1 * * *", "other")])
        assert rig.roster.all["d"].cursor == NOON + 1_000  # other times count from now
        assert rig.roster.all["n"].job == "job"

    play(scene)


def test_names_and_arguments_are_checked() -> None:
    for name in ("", "a b", "-a", "a" * 101, "a\n"):
        with pytest.raises(RefusedError, match="is no name of a schedule"):
            check(ScheduleSpec(name, "@daily", "job"))
    for expression in ("0 3 * * *\n", "0\t3 * * *"):
        with pytest.raises(RefusedError, match=r"'0.*' has a tab or a line end: put spaces"):
            check(ScheduleSpec("n", expression, "job"))
    for arg in ("at={slot:%", "{slot", "{slot:}", "{slot:%Y%}", "{slot:%Q}", "{slot:YYYY}"):
        with pytest.raises(RefusedError, match=r"has a time of no form that strftime knows: write"):
            check(ScheduleSpec("n", "@daily", "job", ["n=1", arg]))
    for arg in ("{slot}{slot:%-d %%}", "{slots", '{"slot": 1}', "{slot:%Y-%m-%dT%H:%M}"):
        check(ScheduleSpec("n", "@daily", "job", [arg]))
    with pytest.raises(RefusedError, match="take 5,000 bytes, and may take 4,096"):
        check(ScheduleSpec("n", "@daily", "job", ["x" * 5_000]))

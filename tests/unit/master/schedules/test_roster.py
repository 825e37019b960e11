"""Schedules are added, paused, resumed and removed, by commands and by the file; they make runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from master.changes import GivenArguments
from master.released import RELEASED_AT
from master.schedules.expression import slots_of
from master.schedules.keeper import AGAIN_S, AT_ONCE, LATER_S, SLOW_S, Keeper
from master.schedules.naming import ask_for, check
from master.schedules.roster import Roster
from master.schedules.telling import Telling
from master.schedules.watch import FileWatch
from master.server.scheduling import SlotRuns
from queue_manager.errors import NoEnvironmentError, RefusedError
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

    async def check_for_submit(self, ask: StartRun) -> tuple[str, RunOptions, GivenArguments]:
        self.asked.append(ask)
        if self.trouble:
            raise self.raises(self.trouble)
        return "v1", RunOptions(), GivenArguments()


class Rig:
    """The schedules of a master. clock: the machine's clock."""

    def __init__(self, world: World, clock: float = NOON) -> None:
        self.world, self.clock = world, clock
        self.looks: Any = Looks()
        self.roster = Roster(world.turn, lambda: self.clock)
        runs = SlotRuns(world.turn, world.runs, self.looks)
        self.keeper = Keeper(self.roster, runs)
        self.watch: Any = type("Watch", (), {"why": []})()
        self.telling = Telling(self.roster, self.keeper, self.watch, lambda: self.clock)

    async def at(self, clock: float) -> None:
        """A look at the schedules at a time."""
        self.clock = clock
        self.keeper.tick(clock, clock)
        await self.world.turns(9)

    def runs(self) -> list[Any]:
        return [run for run in self.world.broker.runs.values() if run.id]

    def why(self) -> list[str]:
        return self.telling.troubles()


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
        with pytest.raises(RefusedError, match=r"there is another schedule n \(0 .* job\)"):
            await rig.roster.add(ScheduleSpec("n", "0 1 * * *", "job"))
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


def test_a_file_is_taken_when_it_changes_and_a_wrong_one_changes_nothing(
    play: Callable[..., None], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "schedules.toml"

    async def at_once(act: Callable[..., Any], *args: Any) -> Any:  # this loop has no threads
        return act(*args)

    monkeypatch.setattr("master.schedules.watch.asyncio.to_thread", at_once)

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        await watch.look()
        path.write_text('[n]\ncron = "@daily"\njob = "job"\n')
        await watch.look()
        assert list(rig.roster.all) == ["n"]
        path.write_text("[n]\ncron = 1\n")
        await watch.look()
        assert list(rig.roster.all) == ["n"]
        assert watch.why[0].endswith("nothing of the file is taken until that is mended")
        path.unlink()
        await watch.look()
        assert (list(rig.roster.all), watch.why) == ([], [])

    play(scene)


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

        async def check_for_submit(ask: StartRun) -> Any:
            if ask.job == "slow":
                await made.wait()
            return await look(ask)

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


def test_names_and_arguments_are_checked() -> None:
    for name in ("", "a b", "-a", "a" * 101, "a\n"):
        with pytest.raises(RefusedError, match="is no name of a schedule"):
            check(ScheduleSpec(name, "@daily", "job"))
    with pytest.raises(RefusedError, match="take 5,000 bytes, and may take 4,096"):
        check(ScheduleSpec("n", "@daily", "job", ["x" * 5_000]))

"""schedules.toml is taken when two looks find the same, and no error ends the watch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.schedules import watch as watch_module
from master.schedules.watch import EVERY_S, SILENT_S, FileWatch
from queue_manager.client.connection.aside import aside
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.conftest import World
from tests.unit.master.schedules.rig import Rig

DAILY = '[n]\ncron = "@daily"\njob = "job"\n'


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(act: Callable[..., Any], *args: Any) -> Any:  # this loop has no threads
        return act(*args)

    monkeypatch.setattr("master.schedules.watch.aside", at_once)


async def twice(watch: FileWatch) -> None:
    await watch.look()
    await watch.look()


def test_a_file_is_taken_when_it_changes_and_a_wrong_one_changes_nothing(
    play: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "schedules.toml"

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        await twice(watch)
        path.write_text(DAILY)
        await twice(watch)
        assert list(rig.roster.all) == ["n"]
        path.write_text("[n]\ncron = 1\n")
        await twice(watch)
        assert list(rig.roster.all) == ["n"]
        assert watch.why[0].endswith("nothing of the file is taken until that is mended")
        path.unlink()
        await twice(watch)
        assert (list(rig.roster.all), watch.why) == ([], [])

    play(scene)


@pytest.mark.parametrize("half", ["", '[m]\ncron = "@daily"\njob = "job"\n', "[", None])
def test_a_file_that_is_about_to_be_written_takes_no_pause_away(
    play: Callable[..., None], tmp_path: Path, half: str | None
) -> None:
    """Editors empty a file, or remove it, and write it then."""
    path = tmp_path / "schedules.toml"

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        path.write_text(DAILY)
        await twice(watch)
        await rig.roster.change("n", "paused")
        if half is None:
            path.unlink()
        else:
            path.write_text(half)
        await watch.look()
        path.write_text(DAILY)
        await twice(watch)
        assert [(one.name, one.paused) for one in rig.roster.all.values()] == [("n", True)]
        assert watch.why == []

    play(scene)


def test_a_file_that_comes_while_it_is_looked_at_and_goes_again_is_not_kept(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read must not count as what was there the moment before, which was no file."""
    path = tmp_path / "schedules.toml"
    stamp_of, comes = watch_module.stamp_of, [True]

    def write_behind(where: Path) -> tuple[int, ...]:
        stamp = stamp_of(where)
        if comes:
            comes.clear()
            path.write_text(DAILY)
        return stamp

    monkeypatch.setattr(watch_module, "stamp_of", write_behind)

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        await twice(watch)
        assert list(rig.roster.all) == ["n"]
        path.unlink()
        await twice(watch)
        assert list(rig.roster.all) == []

    play(scene)


def test_a_schedule_of_the_file_is_taken_once_the_one_of_a_command_is_removed(
    play: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "schedules.toml").write_text(DAILY)

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        await rig.roster.add(ScheduleSpec("n", "@hourly", "job"))
        await twice(watch)
        assert "(qm schedule remove n)" in watch.why[0]
        await rig.roster.change("n", "removed")
        await watch.look()
        assert rig.roster.all["n"].from_file
        assert watch.why == []

    play(scene)


def test_a_file_that_can_be_read_again_is_no_trouble_any_more(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "schedules.toml").write_text(DAILY)
    stamp_of = watch_module.stamp_of

    def failing(where: Path) -> tuple[int, ...]:
        raise PermissionError(13, "Permission denied")

    async def scene(world: World) -> None:
        watch = FileWatch(Rig(world).roster, tmp_path)
        await twice(watch)
        await watch.look()
        monkeypatch.setattr(watch_module, "stamp_of", failing)
        await watch.look()
        assert watch.why[0].endswith("schedules.toml: Permission denied")
        monkeypatch.setattr(watch_module, "stamp_of", stamp_of)
        await watch.look()
        assert watch.why == []

    play(scene)


def test_no_error_ends_the_watch(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(where: Path) -> tuple[int, ...]:
        raise ZeroDivisionError("x")

    async def scene(world: World) -> None:
        rig = Rig(world)
        watch = FileWatch(rig.roster, tmp_path)
        monkeypatch.setattr(watch_module, "stamp_of", broken)
        watch.tick(0.0)
        await world.turns(3)
        assert watch.why == [
            "schedules.toml can't be taken: an error of ours: ZeroDivisionError('x')"
        ]
        assert not watch.is_settled(EVERY_S)
        monkeypatch.setattr(watch_module, "stamp_of", lambda path: ())
        for number in range(1, 3):
            watch.tick(number * EVERY_S)
            await world.turns(3)
        assert (watch.why, watch.is_settled(EVERY_S)) == ([], True)

    play(scene)


def test_a_file_that_does_not_answer_is_told_and_waited_for_no_longer(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one on a network disk whose server is away."""

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("master.schedules.watch.aside", never)

    async def scene(world: World) -> None:
        watch = FileWatch(Rig(world).roster, tmp_path)
        watch.tick(0.0)
        await world.turns(3)
        watch.tick(SILENT_S - 1)
        assert (watch.why, watch.is_settled(SILENT_S - 1)) == ([], False)
        watch.tick(SILENT_S)
        assert watch.why[0].endswith("schedules.toml was not read or taken within 10 s")
        assert watch.is_settled(SILENT_S)
        watch.stop()
        await world.turns(3)

    play(scene)


def test_a_file_that_does_not_answer_holds_up_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.schedules.watch.aside", aside)
    threads: list[threading.Thread] = []

    def seen(path: Path) -> tuple[int, ...]:
        threads.append(threading.current_thread())
        raise OSError("read it once")

    monkeypatch.setattr(watch_module, "stamp_of", seen)
    roster: Any = None
    asyncio.run(FileWatch(roster, tmp_path).look())
    assert [thread.daemon for thread in threads] == [True]

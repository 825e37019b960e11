"""Those who wait for an environment in the master: how many threads they take, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.jobs import sought
from master.jobs.pythons import Pythons, python_for
from queue_manager.environments import failures, layout
from queue_manager.environments.environments import Environments
from queue_manager.environments.recipe import hash_of
from queue_manager.errors import BrokenEnvironmentError, NoEnvironmentError, RefusedError
from queue_manager.job.needs import Needs
from queue_manager.settings import Settings
from tests.wheels import block

DEADLINE_S = 60.0


class Slow(Environments):
    """Environments that take until `go`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go = threading.Event()
        self.asked: list[str] = []

    def get(self, needs: Needs | None, *, at_once: bool = False) -> str:
        assert needs is not None
        self.asked.append(needs.dependencies[0])
        assert self.go.wait(DEADLINE_S)
        return f"/{needs.dependencies[0]}"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    made = Slow(tmp_path / "environments")
    yield made
    made.go.set()


async def all_wait(slow: Slow, count: int) -> None:
    while len(slow.asked) < count:
        await asyncio.sleep(0.01)


@pytest.mark.timeout(60)
def test_who_waits_for_environments_takes_no_thread_of_others(
    slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the loop's own threads, of two jobs with one block and of many with others."""
    asking: list[Needs] = []
    get = sought.Sought.get

    async def counted(self: sought.Sought, needs: Needs, at_once: bool) -> str:
        asking.append(needs)
        return await get(self, needs, at_once)

    monkeypatch.setattr(sought.Sought, "get", counted)
    for number in range(50):
        (tmp_path / f"job{number}.py").write_text(block(f"lib{number // 2}"))

    async def scene() -> None:
        pythons = Pythons(tmp_path, slow)
        looks = [pythons.for_look(f"job{number}") for number in range(50)]
        waiting = [asyncio.ensure_future(look) for look in looks]
        await all_wait(slow, sought.MOST)
        while len(asking) < 50:  # one that came later would find no wait to share
            await asyncio.sleep(0.01)
        (tmp_path / "plain.py").write_text("")
        for _ in range(3):
            assert (await pythons.for_look("plain")).folder == ""
        assert len(slow.asked) == sought.MOST
        slow.go.set()
        found = [python.folder for python in await asyncio.gather(*waiting)]
        assert found == [f"/lib{number // 2}" for number in range(50)]
        assert len(slow.asked) == 25, "one for each environment"
        pythons.close()

    asyncio.run(scene())


@pytest.mark.timeout(60)
def test_one_who_gives_up_ends_the_wait_of_nobody_else(slow: Slow, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(block("lib"))

    async def scene() -> None:
        pythons = Pythons(tmp_path, slow)
        first, second = (asyncio.ensure_future(pythons.for_look("job")) for _ in range(2))
        await all_wait(slow, 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        slow.go.set()
        assert (await second).folder == "/lib"
        pythons.close()
        with pytest.raises(NoEnvironmentError, match="this process ends"):
            await pythons.for_look("job")

    asyncio.run(scene())


def test_an_environment_that_has_just_failed_is_asked_for_again_by_who_waits_alone(
    slow: Slow, tmp_path: Path
) -> None:
    """Else a schedule of each minute whose packages do not fit would run uv each minute."""
    (tmp_path / "job.py").write_text(block("lib"))
    slow.go.set()
    place = layout.place(tmp_path / "environments", hash_of(Needs(("lib",))))
    place.failure.parent.mkdir(parents=True, exist_ok=True)
    failures.write(place, BrokenEnvironmentError("lib can't be had"))

    async def scene() -> None:
        pythons = Pythons(tmp_path, slow)
        with pytest.raises(RefusedError, match=r"job\.py: lib can't be had"):
            await pythons.for_look("job", at_once=False)
        assert slow.asked == []
        assert (await pythons.for_look("job")).folder == "/lib"
        pythons.close()

    asyncio.run(scene())


@pytest.mark.timeout(60)
def test_ctrl_c_of_a_command_without_a_master_ends_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the command would wait for as long as uv takes."""
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr("queue_manager.environments.uv._program", lambda: str(program))
    made: list[Environments] = []

    def environments(root: Path, keep_days: float, *, shows: bool) -> Environments:
        made.append(Environments(root, keep_days, shows=shows))
        return made[0]

    monkeypatch.setattr("master.jobs.pythons.Environments", environments)
    (tmp_path / "job.py").write_text(block("lib"))
    settings = Settings(jobs_folder=tmp_path, queue_environments=tmp_path / "environments")

    async def scene() -> None:
        look = asyncio.ensure_future(python_for(settings, "job"))
        while not (made and made[0].processes):
            await asyncio.sleep(0.01)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look
        while made[0].processes:
            await asyncio.sleep(0.01)

    asyncio.run(scene())

"""Runners without processes: what the system refuses is no death, and not all start at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.broker.runs.run import Run
from master.changes import CollectCursor
from master.observe import diagnosis
from master.observe.diagnosis import hindered, why_stalled
from master.processes import runners as room
from master.processes.runner import Runner, RunnerState
from master.processes.runners import STARTING, Runners
from queue_manager.wire.records import RunOptions

DEADLINE_S = 60.0


def a_run(number: int = 1) -> Run:
    return Run(number, "job", [], None, RunOptions(), 0.0)


async def until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


class Processes:
    """Stands for what a runner is while it lives: a gate that the test opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive: dict[int, asyncio.Future[int]] = {}
        self.started: list[int] = []
        self.refusals = 0
        monkeypatch.setattr(Runners, "_live", self._live)
        monkeypatch.setattr(room, "_FIRST_PAUSE_S", 0.001)
        monkeypatch.setattr(room, "_LONGEST_WAIT_S", 0.002)

    async def _live(self, runner: Runner) -> int:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        runner.trouble = ""
        self.started.append(runner.run.id)
        end = self.alive[runner.run.id] = asyncio.get_running_loop().create_future()
        return await end


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    return Processes(monkeypatch)


def test_a_process_that_the_system_refuses_is_no_death(processes: Processes) -> None:
    async def scene() -> None:
        runners, run = Runners({}, {}), a_run()
        processes.refusals = 1_000_000
        runners.start(run)
        await until(lambda: processes.refusals < 1_000_000 - 20)
        runner = runners.all[1]
        assert (runner.deaths, why_stalled(run, runner)) == (0, "")
        assert "can't be started" in hindered(run, runner)
        processes.refusals = 0
        await until(lambda: processes.started)
        assert hindered(run, runner) == ""
        runner.state = RunnerState.STOPPING
        processes.alive[1].set_result(0)
        await until(lambda: runner.over)

    asyncio.run(scene())


def test_a_process_that_ends_before_its_run_is_through_is_a_death(processes: Processes) -> None:
    async def scene() -> None:
        runners, run = Runners({}, {}), a_run()
        runners.start(run)
        runner = runners.all[1]
        for times in range(1, room.DEATHS + 1):
            await until(lambda times=times: len(processes.started) == times)
            assert runners.lives(run)
            processes.alive[1].set_result(0)
        await until(lambda: runner.stalled)
        assert "had not said that it is done, 5 times" in runner.why_stalled
        assert not runners.lives(run)
        run.exhausted, run.collect_cursor = True, CollectCursor(closed=True)
        runners.start(run)
        await until(lambda: len(processes.started) == room.DEATHS + 1)
        processes.alive[1].set_result(0)
        await until(lambda: runners.all[1].over)

    asyncio.run(scene())


def test_few_runners_start_at_a_time_and_who_is_waited_for_comes_first(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of those that wait for longer `status` says so."""

    async def scene() -> None:
        runners = Runners({}, {})
        runs = [a_run(number) for number in range(1, 12)]
        for run in runs[:-1]:
            runners.start(run, urgent=False)
        runners.start(runs[-1])
        await until(lambda: len(processes.started) == STARTING)
        await asyncio.sleep(0)
        assert len(processes.started) == STARTING
        first = runners.all[1].ticket
        assert first is not None
        first.leave()  # as `opened` does
        await until(lambda: len(processes.started) == STARTING + 1)
        assert processes.started == [1, 2, 3, 4, 11]
        assert hindered(runs[5], runners.all[6]) == ""
        monkeypatch.setattr(diagnosis, "PATIENCE_S", -1.0)
        assert hindered(runs[10], runners.all[11]) == ""
        assert "waits behind others, of which 4 start at a time" in hindered(
            runs[5], runners.all[6]
        )
        for runner in runners.all.values():
            runner.state = RunnerState.STOPPING
        for end in processes.alive.values():
            end.set_result(0)
        await until(lambda: not runners._tasks)

    asyncio.run(scene())


@pytest.fixture
def sleeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner's process is one that sleeps."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.usefixtures("sleeping")
def test_a_process_that_was_prepared_is_that_of_the_next_run() -> None:
    async def scene() -> None:
        runners = Runners({}, {})
        runners.prepare()
        assert runners._ready is not None
        prepared = await asyncio.shield(runners._ready)
        runners.start(a_run(1))
        runners.start(a_run(2))
        await until(lambda: all(runner.process for runner in runners.all.values()))
        assert runners.all[1].process is prepared
        assert runners.all[2].process is not prepared
        await runners.stop()

    asyncio.run(scene())


@pytest.mark.usefixtures("sleeping")
@pytest.mark.parametrize("how", ["dismissed", "stopped", "killed"])
def test_a_process_that_was_prepared_for_nothing_ends(how: str) -> None:
    async def scene() -> None:
        runners = Runners({}, {})
        runners.prepare()
        assert runners._ready is not None
        prepared = await asyncio.shield(runners._ready)
        if how == "dismissed":
            runners.dismiss()
        elif how == "stopped":
            await runners.stop()
        else:
            prepared.kill()
        await asyncio.wait_for(prepared.wait(), DEADLINE_S)
        if how == "killed":  # the run gets another one
            runners.start(a_run())
            await until(lambda: runners.all[1].process)
            assert runners.all[1].process is not prepared
            await runners.stop()

    asyncio.run(scene())

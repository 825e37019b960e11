"""Schedules with real processes: a master that is killed, a clock that is set, broken jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clocks import WallClock
from tests.integration.processes import Master, eventually

HOUR = 3_600.0
JOB = "def tasks(at=''):\n    yield at\n\ndef work(at):\n    return at\n"


def schedules(master: Master) -> dict[str, Any]:
    lines = master.command("schedule", "list", "--format", "jsonl").out.splitlines()
    return {one["name"]: one for one in map(json.loads, lines)}


def keys(master: Master) -> list[str]:
    return sorted(run.key or "" for run in master.runs() if (run.key or "").startswith("schedule"))


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def test_each_slot_has_one_run_over_kills_and_a_clock_that_is_set(
    start_master: Callable[..., Master], clock: WallClock
) -> None:
    master = start_master(**clock.settings)
    (master.folder / "jobs" / "timed.py").write_text(JOB)
    words = ("0 * * * *", "timed", "at={slot}", "--missed", "all", "--overlap", "allow")
    assert master.command("schedule", "add", "hourly", *words).code == 0
    clock.set_ahead(3 * HOUR)
    made = eventually(lambda: len(keys(master)) == 1 and keys(master))
    assert schedules(master)["hourly"]["waiting"] == 2  # one after the other
    master.process.kill()
    master.serve()
    master.worker()
    made = eventually(lambda: len(keys(master)) == 3 and keys(master))
    clock.set_ahead(0.0)
    master.process.kill()
    master.serve()
    clock.set_ahead(3 * HOUR)
    master.ended_tasks(master.runs()[-1].run, 1)
    assert keys(master) == made
    first = min(run.run for run in master.runs() if run.key == made[0])
    eventually(lambda: master.results(first))
    assert master.results(first)[0]["result"] == made[0].split()[-1]


def test_the_file_is_taken_at_the_start_and_a_broken_job_is_told(
    start_master: Callable[..., Master], clock: WallClock
) -> None:
    master = start_master(**clock.settings)
    (master.folder / "jobs" / "broken.py").write_text("def tasks(:\n")
    file = master.folder / "jobs" / "schedules.toml"
    file.write_text('[often]\ncron = "0 * * * *"\njob = "broken"\n')
    eventually(lambda: "schedule often: its next slot could not run: " in master.status())
    clock.set_ahead(HOUR)
    eventually(lambda: "00Z could not run" in master.status())
    assert "SyntaxError" in schedules(master)["often"]["why"][0]
    assert len(master.process.lines("00Z could not run")) == 1
    file.unlink()
    eventually(lambda: not schedules(master))
    refused = master.command("schedule", "add", "x", "0 3 * * *", "broken")
    assert refused.code == 2
    assert "SyntaxError" in refused.err

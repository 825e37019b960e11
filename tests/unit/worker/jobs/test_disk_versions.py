"""When a worker looks again at a job's file."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager.errors import JobError
from queue_manager.job.loading import job_version
from tests.chaos.ground.canary import slowness
from worker.jobs import disk_versions
from worker.jobs.disk_versions import DiskVersions


def test_a_new_run_gets_the_code_as_it_is_on_disk_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_versions.time, "monotonic", lambda: 100.0)
    file = tmp_path / "edited.py"
    file.write_text("def work(n): return n")
    found = DiskVersions(tmp_path)
    before = found.of("edited", 1)
    file.write_text("def work(n): return -n")
    assert found.of("edited", 1) == before  # once a second is enough within a run
    after = found.of("edited", 2)
    assert after != before
    assert found.of("edited", 1) == after  # an older run does not bring the old code back


def test_a_run_that_goes_on_gets_changed_code_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(disk_versions.time, "monotonic", lambda: now[0])
    file = tmp_path / "edited.py"
    file.write_text("def work(n): return n")
    found = DiskVersions(tmp_path)
    before = found.of("edited", 1)
    file.write_text("def work(n): return -n")
    now[0] += disk_versions.FRESH_S + 0.1
    assert found.of("edited", 1) != before


def test_a_new_run_whose_version_was_read_just_now_needs_no_other_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, reads = [100.0], []
    monkeypatch.setattr(disk_versions.time, "monotonic", lambda: now[0])

    def read(job: str, folder: Path) -> str:
        reads.append(job)
        return "as it is"

    found = DiskVersions(tmp_path, read)
    for run in range(1, 100):
        assert found.of("short", run, "as it is") == "as it is"
    assert len(reads) == 1
    assert found.of("short", 100, "another") == "as it is"  # looked again: its file may be new
    now[0] += disk_versions.FRESH_S + 0.1
    assert found.of("short", 100, "as it is") == "as it is"
    assert len(reads) == 3


class SlowDisk:
    """Reads as `job_version` does, once it may."""

    def __init__(self) -> None:
        self.may, self.reads = threading.Event(), 0

    def read(self, job: str, folder: Path) -> str:
        self.reads += 1
        assert self.may.wait(20)
        return job_version(job, folder)


def test_a_slow_disk_is_waited_for_in_a_thread_and_told_of(tmp_path: Path, wait_until: Any) -> None:
    """Nobody waits, it is read once for all who ask, and what is not there is an error then."""
    (tmp_path / "slow.py").write_text("def work(n): return n")
    disk, told = SlowDisk(), threading.Event()
    found = DiskVersions(tmp_path, disk.read)
    began = time.monotonic()
    assert [found.of("slow", 1) for _ in range(20)] == [None] * 20
    assert found.of("missing", 1) is None
    assert time.monotonic() - began < slowness()
    assert disk.reads == 2
    found.when_read("slow", told.set)
    assert not told.is_set()
    disk.may.set()
    assert told.wait(20)
    assert found.of("slow", 1) == job_version("slow", tmp_path)
    wait_until(lambda: found._readings["missing"].version.done())
    with pytest.raises(JobError, match="no job 'missing'"):
        found.of("missing", 1)


def test_what_is_read_just_as_the_waiting_ends_is_had_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late.py").write_text("def work(n): return n")
    disk = SlowDisk()
    found = DiskVersions(tmp_path, disk.read)

    def ends_too_soon(readings: list[Any], _: float) -> Any:
        disk.may.set()
        readings[0].result(20)
        return SimpleNamespace(done=set())

    with monkeypatch.context() as patch:
        patch.setattr(disk_versions, "wait", ends_too_soon)
        assert found.of("late", 1) is None
    assert found.of("late", 1) == job_version("late", tmp_path)


def test_what_was_read_before_a_run_is_no_answer_for_it(tmp_path: Path, wait_until: Any) -> None:
    file = tmp_path / "edited.py"
    file.write_text("def work(n): return n")
    disk = SlowDisk()
    found = DiskVersions(tmp_path, disk.read)
    assert found.of("edited", 1) is None
    disk.may.set()
    wait_until(lambda: found._readings["edited"].version.done())
    file.write_text("def work(n): return -n")
    wait_until(lambda: found.of("edited", 2))
    assert found.of("edited", 2) == job_version("edited", tmp_path)


def test_the_supervisor_goes_on_beside_a_slow_disk(jobs: Any, run_worker: Any) -> None:
    """Its loop turns, and the lease runs when its file is read."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        disk = SlowDisk()
        rig.supervisor.pool._eligibility.versions._read = disk.read
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: disk.reads)
        for _ in range(20):
            began = time.monotonic()
            await asyncio.sleep(0)
            assert time.monotonic() - began < slowness()
        disk.may.set()
        await rig.until(lambda: rig.done or rig.released)
        again = jobs.lease([1])
        rig.give(again)
        await rig.until(lambda: (again.number, 0) in rig.done)

    run_worker(scenario)

"""What a worker remembers of jobs that it can't run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from queue_manager.errors import JobError
from queue_manager.job.loading import job_version
from queue_manager.wire.records import Lease
from worker.jobs import eligibility as lacks_module
from worker.jobs.code_folder import CodeFolders
from worker.jobs.disk_versions import DiskVersions
from worker.jobs.eligibility import LOADING_DEATHS, Eligibility
from worker.supervisor.slots.lease import OpenLease

VERSION = "5" * 64


def lease(job: str) -> OpenLease:
    return OpenLease(Lease(1, 1, job, 1, 0, 1, b"L\x91\x01"), 0.0, version="one")


def test_troubles_are_remembered_of_the_newest_jobs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lacks_module, "KEPT", 4)
    lacks = Eligibility(tmp_path)
    for number in range(20):
        lacks.failed(lease(f"job{number}"), "no")
        assert not lacks.killed(lease(f"job{number}"), "SIGKILL")
    assert (len(lacks._unfit), len(lacks._deaths)) == (4, 4)
    whys = [lacks.killed(lease("job19"), "SIGKILL") for _ in range(LOADING_DEATHS - 1)]
    assert whys[-1] == "job19: import or setup() killed its slot: SIGKILL"


def test_no_disk_is_looked_at_while_code_is_on_its_way(tmp_path: Path) -> None:
    """A look for a job that is not there parses all jobs of the folder, to say which there are."""
    asked: list[str] = []
    fetched = CodeFolders(lambda job, version: asked.append(version))
    jobs = Eligibility(tmp_path, fetched)
    looks: list[str] = []

    def look(job: str, folder: Path) -> str:
        looks.append(job)
        return job_version(job, folder)

    jobs.versions = DiskVersions(tmp_path, look)
    waits = msgspec.structs.replace(lease("times").given, version=VERSION)

    async def scenario() -> None:
        deadline = time.monotonic() + 20
        while not asked:  # a busy disk may take more than one look
            assert not jobs.check(OpenLease(waits, 0.0))
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)
        looks.clear()
        assert not any(jobs.check(OpenLease(waits, 0.0)) for _ in range(5))
        assert (looks, asked) == ([], [VERSION])
        fetched.refused(VERSION, "it has just changed")
        with pytest.raises(JobError, match="it has just changed"):
            jobs.check(OpenLease(waits, 0.0))

    asyncio.run(scenario())

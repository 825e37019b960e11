"""What a worker remembers of jobs that it can't run."""

from __future__ import annotations

from pathlib import Path

import pytest

from queue_manager.wire.records import Lease
from worker.jobs import eligibility as lacks_module
from worker.jobs.eligibility import LOADING_DEATHS, Eligibility
from worker.supervisor.slots.lease import OpenLease


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

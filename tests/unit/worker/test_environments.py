"""A worker whose jobs ask for packages: two versions at once, what can't be made, who removes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import block, make_wheel, offline


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of one library, which uv finds without a network."""
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        make_wheel(folder, "qmlib", version)
    for name, value in offline(folder).items():
        monkeypatch.setenv(name, value)
    return folder


WORK = """
import qmlib


def work(payload):
    import os, sys
    return qmlib.__version__, os.getpid(), sys.prefix
"""


def test_two_versions_of_a_library_are_in_two_jobs_at_once(
    jobs: Any, run_worker: Callable[..., None]
) -> None:
    jobs.write(block("qmlib==1.0") + WORK + "    # waits\n", "old")
    jobs.write(block("qmlib==2.0") + WORK, "new")

    async def scenario(rig: Any) -> None:
        old, new = jobs.lease([1, 2], "old"), jobs.lease([1], "new")
        for _ in range(3):
            await _settled(rig, old, new)
            if (old.number, 1) in rig.done and (new.number, 0) in rig.done:
                break
            old, new = jobs.lease([1, 2], "old"), jobs.lease([1], "new")
        assert [rig.done[old.number, i][0] for i in (0, 1)] == ["1.0", "1.0"]
        assert rig.done[new.number, 0][0] == "2.0"
        assert rig.done[new.number, 0][2] != rig.done[old.number, 0][2]

    run_worker(scenario, slots=2)


async def _settled(rig: Any, *leases: Any) -> None:
    """Give leases, and wait until each of their tasks has an outcome or is back."""
    rig.give(*leases)
    await rig.until(
        lambda: all(
            (one.number, position) in rig.done or position in rig.released.get(one.number, [])
            for one in leases
            for position in range(one.start, one.stop)
        )
    )

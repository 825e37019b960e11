"""Jobs that name packages, in containers: the root is read-only, a volume has the environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheels import block, make_wheel

from .conftest import Stack, eventually

JOB = """
import qmlib, sys, time

def tasks(count: int = 6):
    yield from range(count)

def work(number):
    time.sleep(0.1)
    return qmlib.__version__, sys.prefix

def finish(results):
    print("finished", qmlib.__version__)
"""


def asked(version: str) -> str:
    """A requirement that no index is asked for."""
    return f"qmlib @ file:///app/jobs/wheels/qmlib-{version}-py3-none-any.whl"


@pytest.fixture
def jobs(clone: Path) -> Path:
    """The folder of jobs of the stack, with two versions of a library."""
    folder = clone / "jobs"
    for version in ("1.0", "2.0"):
        make_wheel(folder / "wheels", "qmlib", version).chmod(0o644)
    (folder / "wheels").chmod(0o755)
    return folder


def test_two_jobs_have_two_versions_of_a_library_from_a_volume(stack: Stack, jobs: Path) -> None:
    for name, version in (("older", "1.0"), ("newer", "2.0")):
        (jobs / f"{name}.py").write_text(block(asked(version)) + JOB)
    assert "('1.0', '/environments/" in stack.qm("check", "older")
    folders = set()
    for name, version in (("older", "1.0"), ("newer", "2.0")):
        run = int(stack.qm("submit", name, "--wait"))
        found = [row["result"]["$tuple"] for row in stack.results(run)]
        assert {one for one, _ in found} == {version}
        folders |= {folder for _, folder in found}
        assert f"finished {version}" in stack.compose("logs", "--no-log-prefix", "master")
    assert len(folders) == 2, "workers and master share them"
    listed = stack.compose("exec", "-T", "master", "ls", *folders)
    assert listed.count("quartermaster-made") == 2
    for service in ("master", "worker"):
        for container in stack.containers(service):
            assert container.attrs["HostConfig"]["ReadonlyRootfs"]


def test_a_block_that_breaks_in_the_middle_is_one_dead_letter_with_evidence(
    stack: Stack, jobs: Path
) -> None:
    """The master finds it first, and has no task that shows it. So one worker tries once more."""
    file = jobs / "breaks.py"
    file.write_text(block(asked("1.0")) + JOB)
    run = int(stack.qm("submit", "breaks", "count=400"))
    eventually(lambda: len(stack.results(run)) > 5)
    file.write_text(block(asked("1.0"), "qmlib>=2") + JOB)
    dead = eventually(lambda: [row for row in stack.results(run) if row["state"] == "dead"], 60)
    eventually(lambda: "tasks of breaks wait until that is mended" in stack.qm("status"), 60)
    assert len(dead) == 1
    assert "| error: No solution found when resolving dependencies" in stack.qm("failed", str(run))
    file.write_text(block(asked("2.0")) + JOB)
    eventually(lambda: len(stack.results(run)) == 400, 120)
    rows = stack.results(run)
    assert [row["state"] for row in rows].count("dead") == 1
    assert rows[-1]["result"]["$tuple"][0] == "2.0"

"""A worker whose jobs ask for packages: two versions at once, what is broken, who is not killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager import codec
from queue_manager.environments import uv
from queue_manager.environments.environments import Environments
from queue_manager.errors import BrokenEnvironmentError
from queue_manager.job.loading import job_version
from queue_manager.job.needs import needs_of
from tests.wheels import block, make_wheel, offline
from worker.ipc.pipe import Frames, Give, decode_report, frame
from worker.ipc.shared_page import SharedPage
from worker.jobs import job_environments
from worker.jobs.job_environments import JobEnvironments

DEADLINE_S = 60.0

WORK = """
import qmlib, sys

def work(payload):
    return payload, qmlib.__version__, sys.prefix
"""


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of one library, which uv finds without a network."""
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        make_wheel(folder, "qmlib", version)
    for name, value in offline(folder).items():
        monkeypatch.setenv(name, value)
    return folder


async def results(rig: Any, *leases: Callable[[], Any]) -> list[Any]:
    """The result of the first task of each lease. What goes back is given again, as a master does.

    A lease waits for a second, and making an environment may take longer on a busy machine.
    """
    found: list[Any] = []
    given = [make() for make in leases]
    rig.give(*given)
    for make, lease in zip(leases, given, strict=True):
        while True:
            number = lease.number
            await rig.until(lambda number=number: (number, 0) in rig.done or number in rig.released)
            if (number, 0) in rig.done:
                found.append(rig.done[number, 0])
                break
            lease = make()
            rig.give(lease)
    return found


def test_two_versions_of_a_library_are_in_two_slots_at_once_and_in_one_after_the_other(
    jobs: Any, run_worker: Callable[..., None]
) -> None:
    for name, version in (("old", "1.0"), ("new", "2.0")):
        jobs.write(block(f"qmlib=={version}") + WORK, name)
    jobs.write(
        "import sys\ndef work(payload):\n    return 'qmlib' in sys.modules, sys.prefix", "no"
    )
    makers = [lambda name=name: jobs.lease([7], name) for name in ("old", "new", "no", "old")]

    async def scenario(rig: Any) -> None:
        old, new, no, again = await results(rig, *makers)
        assert (old[:2], new[:2], again) == ((7, "1.0"), (7, "2.0"), old)
        assert no == (False, sys.prefix)
        assert len({old[2], new[2], sys.prefix}) == 3
        assert not any(getattr(one, "lacks", "") for one in rig.outcomes)

    for slots in (2, 1):
        run_worker(scenario, slots=slots)


def test_what_is_broken_is_told_once_and_what_waits_for_it_goes_back(
    jobs: Any, run_worker: Callable[..., None]
) -> None:
    jobs.write(block("qmlib==3.0") + WORK)

    async def scenario(rig: Any) -> None:
        while not rig.failed:  # a lease waits for a second only
            first, second = jobs.lease([1, 2, 3]), jobs.lease([4])
            rig.give(first)
            await rig.until(lambda first=first: first.number in rig.released)
        (failed,) = rig.failed
        assert failed.reject
        assert (failed.lease, failed.position) == (first.number, 0)
        assert rig.released[first.number] == [1, 2]
        assert "no version of qmlib==3.0" in failed.error
        assert "No solution found" in failed.evidence
        rig.give(second)
        await rig.until(lambda: rig.released.get(second.number) == [0])
        assert len(rig.failed) == 1
        lacks = [one.lacks for one in rig.outcomes if getattr(one, "lease", 0) == second.number]
        assert ["no version of qmlib==3.0" in one for one in lacks] == [True]

    run_worker(scenario)


def test_a_worker_kills_nobody_who_makes_an_environment(
    jobs: Any, run_worker: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker ends what dead slots have left behind, and uv is a child of it, too."""
    real, go = uv._program(), tmp_path / "go"
    slow = tmp_path / "uv"
    slow.write_text(f'#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(uv, "_program", lambda: str(slow))
    jobs.write(block("qmlib==1.0") + WORK)
    jobs.write("def work(payload):\n    return payload", "plain")

    async def scenario(rig: Any) -> None:
        made = rig.supervisor._environments
        await results(rig, lambda: jobs.lease([1], "plain"))
        rig.give(jobs.lease([1]))
        await rig.until(made.processes)
        (maker,) = made.processes()
        rig.supervisor._orphans.sweep()
        slot = rig.pids[0]
        os.kill(slot, signal.SIGKILL)
        await rig.until(lambda: rig.pids and slot not in rig.pids)
        rig.supervisor._orphans.sweep()
        assert made.processes() == {maker}
        go.touch()
        ((_, version, _),) = await results(rig, lambda: jobs.lease([1]))
        assert version == "1.0"
        assert not rig.failed

    run_worker(scenario, adopts=True)


def test_a_slot_takes_all_that_it_has_read_into_its_environment(jobs: Any, tmp_path: Path) -> None:
    """Orders behind the one that names the environment, and a piece of another one."""
    source = block("qmlib==2.0") + WORK
    jobs.write(source)
    folder = Environments(tmp_path / "environments").get(needs_of(source.encode()))
    version = job_version("trial", jobs.folder)
    page = SharedPage.create()
    leases = [jobs.lease([number]) for number in range(3)]
    orders = b""
    for row, lease in enumerate(leases):
        page.rows[row].reset(lease.start, lease.stop)
        orders += frame(Give(lease, row, version, 1 << 20, environment=folder))
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    ours.sendall(orders[:-5])
    words = [theirs.fileno(), page.descriptor, os.getpid(), jobs.folder]
    slot = subprocess.Popen(
        [sys.executable, "-m", "worker.slot.main", *map(str, words)],
        pass_fds=[theirs.fileno(), page.descriptor],
    )
    theirs.close()
    frames, found = Frames(), []
    while len(found) < 3:
        data = ours.recv(1 << 20)
        assert data, "the slot closed its pipe"
        for body in frames.feed(data):
            for outcome in decode_report(body).outcomes:
                found += codec.decode_batch(outcome.results)
                if len(found) == 1:
                    ours.sendall(orders[-5:])
    assert found == [(number, "2.0", folder) for number in range(3)]
    ours.close()
    assert slot.wait(DEADLINE_S) == 0


def test_evidence_is_kept_until_a_task_has_shown_it(jobs: Any, tmp_path: Path) -> None:
    """It may come when no lease waits any more."""
    jobs.write(block("qmlib==3.0") + WORK)
    version = job_version("trial", jobs.folder)
    kept = JobEnvironments(jobs.folder, Environments(tmp_path / "environments"))

    def error() -> BrokenEnvironmentError:
        while True:
            try:
                assert kept.of("trial", version, "", lambda: None) is None
            except BrokenEnvironmentError as error:
                return error
            time.sleep(0.01)

    async def scene() -> None:
        first = error()
        assert first.evidence
        (answer,) = kept._answers.values()
        answer._until = 0.0
        assert error() is first
        first.evidence = ""
        assert error() is not first

    asyncio.run(scene())


def test_evidence_that_is_old_charges_nobody_for_what_was_mended_meanwhile(
    jobs: Any, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lease waited any more when the words of uv came. The note on disk is still fresh."""
    monkeypatch.setattr(job_environments, "SHOWABLE_S", 0.0)
    monkeypatch.setattr(job_environments, "REFUSED_S", 0.0)
    jobs.write(block("qmlib==3.0") + WORK)
    version = job_version("trial", jobs.folder)
    kept = JobEnvironments(jobs.folder, Environments(tmp_path / "environments"))

    def ended() -> BaseException | str | None:
        """What the next lease finds after all that was asked."""
        kept.of("trial", version, "", lambda: None)
        (answer,) = kept._answers.values()
        return answer.found.exception(DEADLINE_S) or answer.found.result()

    async def scene() -> None:
        first, again = ended(), ended()
        assert isinstance(again, BrokenEnvironmentError)
        assert again is not first
        assert "No solution found" in again.evidence, "it is still to be shown"
        make_wheel(wheels, "qmlib", "3.0")
        assert isinstance(ended(), str)

    asyncio.run(scene())

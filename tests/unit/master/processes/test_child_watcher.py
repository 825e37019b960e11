"""Child processes take no thread of the process that started them."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from master.broker.runs.run import Run
from master.processes import runners
from master.processes.child_watcher import watch_children_by_pidfd
from master.processes.runners import Runners
from queue_manager.wire.records import RunOptions

RUNNERS = 10
DEADLINE_S = 60.0


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system has no pidfds")
def test_ten_living_runners_add_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(runners, "STARTING", RUNNERS)

    async def scene() -> None:
        watch_children_by_pidfd()
        before = threading.active_count()
        keeper = Runners({}, {})
        for number in range(1, RUNNERS + 1):
            keeper.start(Run(number, "job", [], None, RunOptions(), 0.0))
        deadline = time.monotonic() + DEADLINE_S
        while not all(runner.process for runner in keeper.all.values()):
            assert time.monotonic() < deadline, "they do not start"
            await asyncio.sleep(0.01)
        assert threading.active_count() == before
        await keeper.stop()
        assert not any(runner.process for runner in keeper.all.values())

    asyncio.run(scene())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python chooses by itself")
def test_a_system_without_pidfds_keeps_its_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    before = asyncio.get_child_watcher()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    watch_children_by_pidfd()
    assert asyncio.get_child_watcher() is before


def test_children_are_known_whoever_asks_for_the_watcher_again() -> None:
    """`run` has started its worker before the service asks."""

    async def scene() -> None:
        watch_children_by_pidfd()
        child = await asyncio.create_subprocess_exec("sleep", "60")
        watch_children_by_pidfd()
        child.kill()
        assert await asyncio.wait_for(child.wait(), DEADLINE_S) == -9

    asyncio.run(scene())

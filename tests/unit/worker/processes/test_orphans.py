"""What slots leave behind is gone when they are, also when the supervisor is killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.conftest import DEADLINE_S
from tests.unit.worker.supervisor.pool.test_pool import alive
from worker.supervisor import pulse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")


def pids(folder: Path) -> list[int]:
    """What tasks have written down, each in a file of its own."""
    return [int(path.name) for path in folder.glob("[0-9]*")]


def test_a_daemon_of_a_dead_slot_is_killed_with_its_children(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any, wait_until: Any
) -> None:
    """Though it is in a session of its own and its parent is gone; one of a living slot stays."""
    monkeypatch.setattr(pulse, "PULSE_S", 60.0)  # not only when it is looked for by the way
    jobs.write(
        f"""
        import os, pathlib, subprocess, time
        NOTE = 'touch {tmp_path}/$$; '
        def daemon():
            script = NOTE + "setsid sh -c '" + NOTE + "while :; do sleep 1; done' & wait"
            subprocess.Popen(["setsid", "-f", "sh", "-c", script])
        def work(n):
            daemon()
            while len(list(pathlib.Path({str(tmp_path)!r}).glob("[0-9]*"))) < n: time.sleep(0.01)
            if n == 4: os._exit(1)
            time.sleep(60)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([2]))
        await rig.until(lambda: len(pids(tmp_path)) == 2)
        stays = pids(tmp_path)
        rig.give(jobs.lease([4]))
        await rig.until(lambda: rig.failed)
        gone = set(pids(tmp_path)) - set(stays)
        assert len(gone) == 2
        await rig.until(lambda: not any(map(alive, gone)))
        assert all(map(alive, stays))
        await rig.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone))  # reaped

    run_worker(scenario, slots=2, adopts=True)
    wait_until(lambda: not any(map(alive, pids(tmp_path))))  # the guardian, after the worker's end


CLEAN = """
import os, pathlib, subprocess, sys, time
folder = pathlib.Path({folder!r})
SCRIPT = r'echo >$0/$$; /usr/bin/env -i setsid /bin/sh -c "echo >$0/\\$\\$; exec sleep 60" & wait'
def spawn(count):
    subprocess.Popen(["/bin/sh", "-c", SCRIPT, str(folder)], start_new_session=True, env={{}})
    while len(list(folder.glob("[0-9]*"))) < count: time.sleep(0.01)
def work(how):
    spawn(2 if how == "stays" else 4)
    if how == "exits": os._exit(1)
    while how == "loops": pass
    time.sleep(0 if how == "returns" else 60)
"""


@pytest.mark.parametrize("how", ["times out", "loops", "exits"])
def test_what_has_neither_group_nor_mark_of_its_slot_is_gone_with_it(
    jobs: Any, run_worker: Any, tmp_path: Path, how: str, monkeypatch: Any, wait_until: Any
) -> None:
    """A child with an environment and a session of its own, and its child; others stay."""
    monkeypatch.setattr(pulse, "PULSE_S", 60.0)
    jobs.write(CLEAN.format(folder=str(tmp_path)))

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["stays"]))
        await rig.until(lambda: len(pids(tmp_path)) == 2)
        stays = pids(tmp_path)
        rig.give(jobs.lease([how], timeout_s=None if how == "exits" else 1.5))
        await rig.until(lambda: rig.failed)
        gone = set(pids(tmp_path)) - set(stays)
        assert len(gone) == 2
        await rig.until(lambda: not any(map(alive, gone)))
        assert all(map(alive, stays))

    run_worker(scenario, slots=2, adopts=True)
    wait_until(lambda: not any(map(alive, pids(tmp_path))))


def test_what_a_task_has_left_that_returned_lives_until_its_slot_ends(
    jobs: Any, run_worker: Any, tmp_path: Path, wait_until: Any
) -> None:
    """It may be what the next tasks need, such as a browser."""
    jobs.write(CLEAN.format(folder=str(tmp_path)))

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["stays"]))
        await rig.until(lambda: len(pids(tmp_path)) == 2)
        lease = jobs.lease(["returns"])
        rig.give(lease)
        await rig.until(lambda: (lease.number, 0) in rig.done)
        rig.supervisor._orphans.sweep()
        await asyncio.sleep(0.1)
        assert all(map(alive, pids(tmp_path)))

    run_worker(scenario, slots=2, adopts=True)
    wait_until(lambda: not any(map(alive, pids(tmp_path))))


def test_a_daemon_that_nobody_knows_is_left_while_a_slot_lives_that_may_need_it(
    run_worker: Any, tmp_path: Path
) -> None:
    """It came to the supervisor between two looks, without mark or parent."""

    async def scenario(rig: Any) -> None:
        script = f"echo >{tmp_path}/$$; exec sleep 60"
        subprocess.run(["setsid", "-f", "sh", "-c", script], env={"PATH": os.environ["PATH"]})
        await rig.until(lambda: pids(tmp_path))
        first, second = rig.pids
        rig.supervisor._orphans.sweep()
        os.kill(first, 9)
        await rig.until(lambda: first not in rig.pids and len(rig.pids) == 2)
        assert all(map(alive, pids(tmp_path)))
        os.kill(second, 9)
        await rig.until(lambda: not any(map(alive, pids(tmp_path))))

    run_worker(scenario, slots=2, adopts=True)


def test_a_fork_bomb_is_gone_with_its_slot(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """All of 50 children, while good tasks beside it are done and uncharged."""
    jobs.write(
        f"""
        import os, pathlib, time
        def work(n):
            if n >= 0: return n
            for _ in range(50):
                if os.fork() == 0:
                    pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
                    while True: time.sleep(1)
            while len(list(pathlib.Path({str(tmp_path)!r}).glob("[0-9]*"))) < 50: time.sleep(0.01)
            os._exit(1)
        """
    )

    async def scenario(rig: Any) -> None:
        bad, good = jobs.lease([-1]), jobs.lease(list(range(200)))
        rig.give(bad, good)
        await rig.until(lambda: rig.failed and len(rig.done) == 200)
        assert [f.lease for f in rig.failed] == [bad.number]
        assert len(pids(tmp_path)) == 50
        await rig.until(lambda: not any(map(alive, pids(tmp_path))))

    run_worker(scenario, slots=2, adopts=True)


SUPERVISOR = """
import asyncio, os, pathlib, sys
from queue_manager import codec
from queue_manager.wire.records import Lease
from worker.supervisor.slots.lease import OpenLease
from worker.processes.orphans import Orphans
from worker.supervisor.slots.output import Relays
from worker.supervisor.slots.slot_process import SlotProcess
async def main(folder, pids):
    orphans = Orphans()
    mark = orphans.new_mark()
    slot = SlotProcess(folder, Relays.standard(), lambda *_: None, lambda *_: None, 0, mark)
    orphans.started(slot.pid, mark)
    slot.give(OpenLease(Lease(1, 1, "trial", 1, 0, 1, codec.encode_batch([0])), 0.0), 1000)
    while len(list(pids.glob("[0-9]*"))) < 5:
        await asyncio.sleep(0.005)
    while not orphans._owners:
        orphans.sweep()
        await asyncio.sleep(0.005)
    os.kill(os.getpid(), 9)
asyncio.run(main(*map(pathlib.Path, sys.argv[1:])))
"""


def test_children_of_a_slot_in_c_code_die_with_the_supervisor(
    jobs: Any, wait_until: Any, tmp_path: Path
) -> None:
    """Killed without a word; those in the slot's group and those that have left it."""
    folder = tmp_path / "pids"
    folder.mkdir()
    jobs.write(
        f"""
        import os, pathlib, subprocess
        NOTE = 'touch {folder}/$$; while :; do sleep 1; done'
        def work(n):
            plain = {{"PATH": os.environ["PATH"]}}
            subprocess.Popen(["sh", "-c", "trap '' HUP TERM; " + NOTE], env=plain)
            subprocess.Popen(["sh", "-c", NOTE])
            subprocess.Popen(["setsid", "-f", "sh", "-c", NOTE])
            subprocess.Popen(["sh", "-c", NOTE], env=plain, start_new_session=True)
            pathlib.Path({str(folder)!r}, str(os.getpid())).touch()
            return sum(range(10**13))
        """
    )
    root = Path(__file__).parents[4]
    words = [sys.executable, "-c", SUPERVISOR, str(jobs.folder), str(folder)]
    ended = subprocess.run(words, cwd=root, timeout=DEADLINE_S)
    assert ended.returncode == -9
    found = pids(folder)
    try:
        assert len(found) == 5
        wait_until(lambda: not any(map(alive, found)))
    finally:
        for pid in filter(alive, found):
            os.kill(pid, 9)


def test_a_guardian_that_was_killed_is_replaced(jobs: Any, run_worker: Any) -> None:
    """Who looks for a process to kill may find that one."""

    async def scenario(rig: Any) -> None:
        orphans = rig.supervisor._orphans
        first = orphans._guardian
        first.kill()
        first.wait()
        orphans.sweep()
        assert orphans._guardian.pid != first.pid
        assert orphans._guardian.poll() is None

    run_worker(scenario, adopts=True)

"""What becomes of leases when tasks are long, slots die, limits pass and jobs change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from queue_manager.job.loading import job_version
from queue_manager.job.raised import TIME_LIMIT
from tests.unit.worker.conftest import DEADLINE_S
from worker.processes.death import has_ended

GATED = """
import os, pathlib, time
def work(word):
    pathlib.Path(r"{folder}", word + ".pid").write_text(str(os.getpid()))
    while word.startswith("wait") and not pathlib.Path(r"{folder}", word).exists():
        time.sleep(0.005)
    return word
"""


def gated(jobs: Any, folder: Path) -> None:
    """A job whose tasks called wait... end when a file of their name is there."""
    jobs.write(GATED.format(folder=folder))


def started(folder: Path, word: str) -> int:
    """The slot that runs or ran this task; 0 before it started."""
    path = folder / f"{word}.pid"
    return int(path.read_text() or 0) if path.exists() else 0


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("patient")
def test_a_killed_slot_costs_exactly_the_task_it_ran(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Results before it stand, the rest goes back uncharged, and the next slot works."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["a", "b", "wait", "c", "d"])
        rig.give(lease)
        await rig.until(lambda: len(rig.done) == 2)
        os.kill(started(tmp_path, "wait"), 9)
        await rig.until(lambda: rig.failed and rig.released)
        (failed,) = rig.failed
        assert (failed.lease, failed.position) == (lease.number, 2)
        assert "SIGKILL" in failed.error
        assert rig.released == {lease.number: [3, 4]}
        assert set(rig.done) == {(lease.number, 0), (lease.number, 1)}
        after = jobs.lease(["e"])
        rig.give(after)
        await rig.until(lambda: (after.number, 0) in rig.done)

    run_worker(scenario)


def test_a_slot_that_exits_leaves_code_and_stderr(jobs: Any, run_worker: Any) -> None:
    """The evidence of a task that kills its process."""
    jobs.write(
        """
        import os, sys
        def work(n):
            print("last words", file=sys.stderr)
            os._exit(7)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.failed)
        assert "exit code 7" in rig.failed[0].error
        assert "last words" in rig.failed[0].evidence

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_the_evidence_is_of_the_task_alone(jobs: Any, run_worker: Any) -> None:
    """What an earlier task of the slot wrote, such as a traceback, is not held against it."""
    jobs.write(
        """
        import os, sys, time
        def work(n):
            if n != 2: print("Traceback of", n, file=sys.stderr)
            if n == 1: print("own words", file=sys.stderr); os._exit(3)
            if n == 2: os.write(2, b"raw"); os._exit(3)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 0, 1]))
        await rig.until(lambda: rig.failed)
        assert rig.failed[0].evidence == "Traceback of 1\nown words"
        rig.give(jobs.lease([0, 2]))
        await rig.until(lambda: len(rig.failed) == 2)
        assert rig.failed[1].evidence == "raw"

    run_worker(scenario)


def test_the_evidence_is_the_end_of_stderr(jobs: Any, run_worker: Any) -> None:
    """However much was written before it."""
    jobs.write(
        """
        import ctypes, sys
        def work(n):
            for i in range(5_000): print("line", i, file=sys.stderr)
            ctypes.string_at(0)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.failed)
        assert "SIGSEGV" in rig.failed[0].error
        assert "string_at" in rig.failed[0].evidence
        assert len(rig.failed[0].evidence) <= 4_096

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_task_over_its_limit_is_killed_with_its_children(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Counted from its own start; also a child that ignores SIGTERM."""
    jobs.write(
        f"""
        import pathlib, subprocess
        def work(n):
            if n == 0:
                return n
            child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 60 & wait; sleep 60"])
            pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
            while True: pass
        """
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1, 2], timeout_s=0.4)
        rig.give(lease)
        await rig.until(lambda: rig.failed and rig.released)
        (failed,) = rig.failed
        assert (failed.position, failed.error) == (1, "timed out after 0.4 s")
        assert failed.raised == TIME_LIMIT
        assert 0.4 <= failed.took_s < 2.4  # SIGTERM ends it; SIGKILL would come 2 s later
        assert rig.released == {lease.number: [2]}
        assert set(rig.done) == {(lease.number, 0)}
        child = int((tmp_path / "child").read_text())
        await rig.until(lambda: not alive(child))

    run_worker(scenario)


def test_a_limit_holds_for_work_that_ignores_sigterm(jobs: Any, run_worker: Any) -> None:
    """SIGKILL follows after 2 s."""
    jobs.write(
        """
        import signal
        def work(n):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: pass
        """
    )

    async def scenario(rig: Any) -> None:
        began = time.monotonic()
        rig.give(jobs.lease([0], timeout_s=0.2))
        await rig.until(lambda: rig.failed)
        assert rig.failed[0].error == "timed out after 0.2 s"
        assert time.monotonic() - began < 6

    run_worker(scenario)


def test_a_task_that_notices_sigterm_has_still_timed_out(jobs: Any, run_worker: Any) -> None:
    """What it raises then is not what happened."""
    jobs.write(
        """
        import signal, sys
        def work(n):
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
            while True: pass
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0], timeout_s=0.2))
        await rig.until(lambda: rig.failed)
        assert rig.failed[0].error == "timed out after 0.2 s"

    run_worker(scenario)


def test_tasks_behind_a_long_one_go_back(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """After 1 s, uncharged, while it runs on and is done in the end."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["wait", "b", "c"])
        rig.give(lease)
        await rig.until(lambda: rig.released)
        assert rig.released == {lease.number: [1, 2]}
        assert not rig.failed
        (tmp_path / "wait").touch()
        await rig.until(lambda: rig.done)
        assert rig.done == {(lease.number, 0): "wait"}
        assert not started(tmp_path, "b")

    run_worker(scenario)


def test_tasks_of_a_lease_that_turns_out_long_go_back(
    jobs: Any, run_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size was made for shorter tasks. Other workers may have nothing to do."""
    monkeypatch.setattr("worker.supervisor.pool.deadlines.LONG_S", 0.3)
    jobs.write("import time\ndef work(n): time.sleep(0.02)")

    async def scenario(rig: Any) -> None:
        warm, lease = jobs.lease([0]), jobs.lease([0] * 200)
        rig.give(warm)  # the import counts, too
        await rig.until(lambda: rig.done)
        rig.give(lease)
        back = await rig.until(lambda: rig.released.get(lease.number))
        await rig.until(lambda: not rig.slots[0].held)
        done = sum(number == lease.number for number, _ in rig.done)
        assert done > 1, "no task was long by itself"
        assert back == list(range(done, 200))

    run_worker(scenario)


def test_a_lease_behind_a_long_task_goes_back(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """One that waits in the slot's pipe, asked for when tasks were quick."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        quick = jobs.lease(["a"])
        rig.give(quick)
        await rig.until(lambda: rig.wanted == 3)  # one at first, then two: it asks ahead
        long, behind = jobs.lease(["wait"]), jobs.lease(["b", "c"])
        rig.give(long, behind)
        await rig.until(lambda: rig.released)
        assert rig.released == {behind.number: [0, 1]}
        (tmp_path / "wait").touch()
        await rig.until(lambda: (long.number, 0) in rig.done)
        later = jobs.lease(["d"])
        rig.give(later)
        await rig.until(lambda: (later.number, 0) in rig.done)
        assert not started(tmp_path, "b")

    run_worker(scenario)


def test_a_lease_behind_a_long_task_goes_to_an_idle_slot(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Where there is one, nothing has to travel to the master and back."""
    gated(jobs, tmp_path)

    async def scenario(rig: Any) -> None:
        pool = rig.supervisor.pool
        first, second = jobs.lease(["a"]), jobs.lease(["b"])
        rig.give(first, second)
        await rig.until(lambda: len(rig.done) == 2)
        long, other, behind = jobs.lease(["wait1"]), jobs.lease(["wait2"]), jobs.lease(["c"])
        rig.give(long, other, behind)
        await rig.until(lambda: started(tmp_path, "wait1") and started(tmp_path, "wait2"))
        full = next(slot for slot in pool.inventory.slots if len(slot.held) == 2)
        empty = next(slot for slot in pool.inventory.slots if len(slot.held) == 1)
        word = "wait2" if full.held[0].given is long else "wait1"
        (tmp_path / word).touch()
        await rig.until(lambda: (behind.number, 0) in rig.done)
        assert started(tmp_path, "c") == empty.pid
        assert rig.released == {}
        (tmp_path / "wait1").touch()
        (tmp_path / "wait2").touch()

    run_worker(scenario, slots=2)


def test_slow_tasks_are_not_hoarded(jobs: Any, run_worker: Any) -> None:
    """A worker whose leases take long asks for one each."""
    jobs.write(
        """
        import time
        def work(n): time.sleep(0.25)
        """
    )

    async def scenario(rig: Any) -> None:
        for _ in range(3):
            lease = jobs.lease([0])
            rig.give(lease)
            await rig.until(lambda: (lease.number, 0) in rig.done)  # noqa: B023
        assert rig.wanted == 4

    run_worker(scenario)


def test_a_changed_job_runs_afresh(jobs: Any, run_worker: Any) -> None:
    """Without a restart of the worker."""
    jobs.write("def work(n): return 'old'")

    async def scenario(rig: Any) -> None:
        first, second = jobs.lease([0]), jobs.lease([0])
        rig.give(first)
        await rig.until(lambda: rig.done)
        jobs.write("def work(n): return 'new one'")
        rig.supervisor.pool._eligibility.versions._known.clear()  # as a second later
        rig.give(second)
        await rig.until(lambda: len(rig.done) == 2)
        assert rig.done == {(first.number, 0): "old", (second.number, 0): "new one"}
        assert not rig.failed
        assert rig.released == {}

    run_worker(scenario)


def test_an_unknown_job_is_released_with_the_reason(jobs: Any, run_worker: Any) -> None:
    """One line, no slot needed."""

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1], job="nothing"))
        await rig.until(lambda: rig.outcomes)
        (released,) = rig.outcomes
        assert "no job 'nothing'" in released.lacks
        assert (released.start, released.stop) == (0, 2)

    run_worker(scenario)


def test_a_mended_job_runs(jobs: Any, run_worker: Any) -> None:
    """After setup() had failed in the slot."""
    jobs.write("def setup(): raise OSError('no model')\ndef work(n): return n")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.outcomes)
        assert "no model" in rig.outcomes[0].lacks
        jobs.write("def work(n): return 'mended'")
        rig.supervisor.pool._eligibility.versions._known.clear()  # as a second later
        second = jobs.lease([0])
        rig.give(second)
        await rig.until(lambda: rig.done)
        assert rig.done == {(second.number, 0): "mended"}

    run_worker(scenario)


def test_a_failed_setup_is_not_tried_with_every_lease(
    jobs: Any, run_worker: Any, tmp_path: Any
) -> None:
    """Each try is a process and a traceback in the log."""
    tries = tmp_path / "tries"
    jobs.write(
        f"def setup():\n    open({str(tries)!r}, 'a').write('x')\n    raise OSError('no model')\n"
        "def work(n): return n"
    )

    async def scenario(rig: Any) -> None:
        for count in (1, 2, 3):
            rig.give(jobs.lease([0]))
            await rig.until(lambda count=count: len(rig.outcomes) == count)
            assert "no model" in rig.outcomes[-1].lacks
        assert tries.read_text() == "x"

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_setup_that_kills_its_slot_is_no_task_s_fault(jobs: Any, run_worker: Any) -> None:
    """Uncharged; after some such deaths the worker says that it can't run the job."""
    jobs.write("import os\ndef setup(): os._exit(9)\ndef work(n): return n")

    async def scenario(rig: Any) -> None:
        for count in (1, 2, 3):
            rig.give(jobs.lease([0]))
            await rig.until(lambda: len(rig.outcomes) == count)  # noqa: B023
        assert not rig.failed
        assert [bool(o.lacks) for o in rig.outcomes] == [False, False, True]
        assert "exit code 9" in rig.outcomes[2].lacks

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_memory_limit_fails_the_task_and_stays_with_its_job(jobs: Any, run_worker: Any) -> None:
    """Another job gets a slot without that limit."""
    limit = 600 * 1024 * 1024
    jobs.write(
        f"""
        from queue_manager import Options
        OPTIONS = Options(memory_bytes={limit})
        def work(n): return len(bytearray(n))
        """
    )
    jobs.write("def work(n): return len(bytearray(n))", name="free")

    async def scenario(rig: Any) -> None:
        small, large = jobs.lease([1_000]), jobs.lease([2 * limit])
        free = jobs.lease([2 * limit], job="free")
        rig.give(small, large)
        await rig.until(lambda: rig.failed and rig.done)
        assert rig.failed[0].error.startswith("MemoryError")
        rig.give(free)
        await rig.until(lambda: (free.number, 0) in rig.done)

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it limits addresses")
def test_a_memory_limit_is_not_one_of_addresses(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """What CUDA reserves, and weights that are mapped from a file, take no memory."""
    limit = 300 * 1024 * 1024
    jobs.write(
        f"""
        import mmap
        from queue_manager import Options
        OPTIONS = Options(memory_bytes={limit})
        def work(what):
            private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            if what == "reserved": return len(mmap.mmap(-1, {100 * limit}, private, 0))
            if what == "taken": return len(bytearray({2 * limit}))
            with open({str(tmp_path / "weights")!r}, "w+b") as file:
                file.truncate({10 * limit})
                return len(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        """
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["reserved", "mapped", "taken"])
        rig.give(lease)
        await rig.until(lambda: rig.failed and len(rig.done) == 2)
        assert rig.failed[0].error.startswith("MemoryError")
        assert rig.failed[0].position == 2

    run_worker(scenario)


def test_a_job_s_children_end_with_its_slot(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Also when the slot dies of itself."""
    jobs.write(
        f"""
        import os, pathlib, subprocess
        def work(n):
            child = subprocess.Popen(["sleep", "60"])
            pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
            os._exit(1)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.failed)
        child = int((tmp_path / "child").read_text())
        await rig.until(lambda: not alive(child))

    run_worker(scenario)


def test_what_a_slot_finished_before_its_death_counts(
    jobs: Any, run_worker: Any, wait_until: Any
) -> None:
    """Its last report may still be in the pipe when its end is noticed."""
    jobs.write(
        """
        import os, time
        def work(n):
            if n == 1:
                time.sleep(0.2)
                os._exit(1)
            return n
        """
    )

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1])
        rig.give(lease)
        # The loop is held up here, so that it notices end and report together.
        wait_until(lambda: has_ended(rig.slots[0].pid))
        await rig.until(lambda: rig.failed)
        assert rig.done == {(lease.number, 0): 0}
        assert rig.released == {}

    run_worker(scenario)


ORPHAN = """
import asyncio, os, pathlib, sys
from queue_manager import codec
from queue_manager.wire.records import Lease
from worker.supervisor.slots.lease import OpenLease
from worker.supervisor.slots.output import Relays
from worker.supervisor.slots.slot_process import SlotProcess
async def main(folder, pid):
    slot = SlotProcess(folder, Relays.standard(), lambda *_: None, lambda *_: None)
    slot.give(OpenLease(Lease(1, 1, "trial", 1, 0, 1, codec.encode_batch([0])), 0.0), 1000)
    while not pid.exists():
        await asyncio.sleep(0.005)
    os.kill(os.getpid(), 9)
asyncio.run(main(*map(pathlib.Path, sys.argv[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_slot_that_holds_the_gil_dies_with_its_supervisor(
    jobs: Any, wait_until: Any, tmp_path: Path
) -> None:
    """Neither its pipe nor a thread of its own can tell it."""
    pid = tmp_path / "pid"
    jobs.write(
        f"""
        import os, pathlib
        def work(n):
            draft = pathlib.Path({str(tmp_path / "draft")!r})
            draft.write_text(str(os.getpid()))
            draft.rename({str(pid)!r})
            return sum(range(10**13))
        """
    )
    root = Path(__file__).parents[5]
    words = [sys.executable, "-c", ORPHAN, str(jobs.folder), str(pid)]
    ended = subprocess.run(words, cwd=root, timeout=DEADLINE_S)
    assert ended.returncode == -9
    orphan = int(pid.read_text())
    try:
        wait_until(lambda: not alive(orphan))
    finally:
        if alive(orphan):
            os.kill(orphan, 9)


def test_a_lease_of_another_version_goes_back_with_both(jobs: Any, run_worker: Any) -> None:
    """The first characters of each, and what to do."""
    jobs.write("def work(n): return n")
    here = job_version("trial", jobs.folder)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([0, 1], version="5e6f7a8b" * 8)
        rig.give(lease)
        await rig.until(lambda: rig.released)
        assert rig.released == {lease.number: [0, 1]}
        assert rig.outcomes[0].lacks.startswith(
            f"its jobs/trial.py is another version (here {here[:8]}, the master has 5e6f7a8b): "
        )

    run_worker(scenario, worker_jobs="local")


def test_a_lease_of_the_version_that_was_just_saved_runs(jobs: Any, run_worker: Any) -> None:
    """What was read of the file a moment ago is not what it is judged by."""
    jobs.write("def work(n): return 'old'")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0], version=job_version("trial", jobs.folder)))
        await rig.until(lambda: rig.done)
        jobs.write("def work(n): return 'new'")
        second = jobs.lease([0], version=job_version("trial", jobs.folder))
        rig.give(second)
        await rig.until(lambda: len(rig.done) == 2)
        assert rig.done[second.number, 0] == "new"
        assert not rig.released

    run_worker(scenario)


def test_a_file_that_changes_before_it_is_imported_is_looked_at_anew(
    jobs: Any, run_worker: Any, monkeypatch: Any
) -> None:
    """The slot finds it out, leaves without running anything, and the lease goes back."""
    jobs.write("def work(n): return 'old'")
    old = job_version("trial", jobs.folder)

    async def scenario(rig: Any) -> None:
        assert rig.supervisor.pool._eligibility.versions.of("trial", 1) == old
        jobs.write("def work(n): return 'new'")  # the supervisor will know in a second
        lease, (pid,) = jobs.lease([0], version=old), rig.pids
        rig.give(lease)
        await rig.until(lambda: rig.released)
        assert "another version" in rig.outcomes[0].lacks
        assert rig.supervisor._orphans._count <= 2  # one slot has tried it, not one after another
        await rig.until(lambda: rig.pids and pid not in rig.pids)
        assert not rig.done

    run_worker(scenario, worker_jobs="local")

"""Slots that import a job before the worker knows its master."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queue_manager.settings import Settings
from worker.processes.orphans import adopt
from worker.supervisor.slots.early import EarlySlots


def test_a_job_is_imported_and_set_up_before_the_first_lease(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    jobs.write(f"""
        import os, pathlib
        def setup(): pathlib.Path({str(there)!r}).write_text(str(os.getpid()))
        def work(n): return os.getpid()
    """)

    async def scenario(rig: Any) -> None:
        await rig.until(there.exists)
        lease = jobs.lease([1])
        rig.give(lease)
        done = await rig.until(lambda: rig.done)
        assert list(done.values()) == [int(there.read_text())] == rig.pids

    run_worker(scenario, early="trial")


def test_a_job_that_fails_early_fails_in_the_next_process_with_its_lease(
    jobs: Any, run_worker: Any, capfd: Any
) -> None:
    """Nothing is said before: nobody may have asked for the job."""
    jobs.write("""
        def setup(): raise RuntimeError("no model")
        def work(n): return n
    """)

    async def scenario(rig: Any) -> None:
        (early,) = rig.pids
        await rig.until(lambda: early not in rig.pids and rig.pids)
        assert capfd.readouterr().err == ""
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: rig.released)
        (released,) = (o for o in rig.outcomes if o.lease == lease.number)
        assert "no model" in released.lacks

    run_worker(scenario, early="trial")


def test_early_slots_that_are_not_wanted_are_killed(jobs: Any, wait_until: Any) -> None:
    jobs.write("def work(n): return n")
    try:
        early = EarlySlots(Settings(jobs_folder=jobs.folder, worker_slots=2), "trial")
        early.kill()
        for seed in early.seeds:
            assert seed.process.wait(20) == -9
            seed.pipe.close()
            seed.page.free()
            for stream in (seed.process.stdout, seed.process.stderr):
                assert stream is not None
                stream.close()
    finally:
        adopt(False)
    assert len(early.seeds) == 2

"""An async `work`: many in flight, each answered for by itself."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queue_manager import Options, codec
from queue_manager.job.loading import Job, job_version
from queue_manager.job.raised import TIME_LIMIT
from queue_manager.wire.records import Done, Failed, GroupLimit, HeldLease, Lease
from worker.ipc.outcomes import merged
from worker.ipc.pipe import Cancel, Give, SlotEnd, frame
from worker.ipc.shared_page import SharedPage
from worker.slot.async_slot import AsyncSlot
from worker.slot.steps import Steps
from worker.supervisor.pool import deadlines

pytestmark = pytest.mark.usefixtures("patient")

HEAD = """
import asyncio, os, pathlib, sys, time
from queue_manager import Options, Reject, Result, Retry
OPTIONS = Options(concurrency={concurrency})
folder = pathlib.Path(r"{folder}")
async def gate(word):
    (folder / (word + ".on")).touch()
    while not (folder / word).exists():
        await asyncio.sleep(0.005)
    return word
"""


def write(jobs: Any, folder: Path, work: str, concurrency: int = 10) -> None:
    jobs.write(HEAD.format(folder=folder, concurrency=concurrency) + work)


def on(folder: Path, word: str) -> bool:
    return (folder / f"{word}.on").exists()


def test_tasks_of_several_leases_fly_together(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """As many as `concurrency`, in one slot."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n", 3)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a"]), jobs.lease(["b"]), jobs.lease(["c", "d"]))
        await rig.until(lambda: all(on(tmp_path, word) for word in "abc"))
        assert not on(tmp_path, "d")
        (tmp_path / "b").touch()
        await rig.until(lambda: rig.done == {(2, 0): "b"})
        await rig.until(lambda: on(tmp_path, "d"))
        for word in "acd":
            (tmp_path / word).touch()
        await rig.until(lambda: len(rig.done) == 4)

    run_worker(scenario)


def test_results_failures_and_follow_ups_are_told_apart(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """As in a plain slot."""
    work = """
loops = []
async def setup(): loops.append(asyncio.get_running_loop())
async def work(n):
    assert loops == [asyncio.get_running_loop()]
    await asyncio.sleep(0)
    if n == 1: raise ValueError("one")
    if n == 2: raise Retry(3.0)
    if n == 3: raise Reject("three")
    if n == 4: return Result(4, [40])
    if n == 5: return object()
    if n == 6: raise SystemExit
    return [n]
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1, 2, 3, 4, 5, 6, 7]))
        await rig.until(lambda: len(rig.done) == 3 and len(rig.failed) == 5)
        assert {key[1]: value for key, value in rig.done.items()} == {0: [0], 4: 4, 7: [7]}
        failed = {f.position: f for f in rig.failed}
        assert failed[1].error == "ValueError: one"
        assert failed[2].delay_s == 3.0
        assert failed[3].reject
        assert "object" in failed[5].error
        assert failed[6].error == "SystemExit"
        (branch,) = [o for o in rig.outcomes if isinstance(o, Done) and o.follow]
        assert codec.decode_batch(branch.follow[0].body) == [40]

    run_worker(scenario)


def test_a_time_limit_cancels_one_coroutine(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Its neighbours go on, in the same process."""
    work = """
async def work(word):
    return await gate(word) + str(os.getpid())
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["never"], timeout_s=0.2), jobs.lease(["b"]))
        await rig.until(lambda: rig.failed)
        assert (rig.failed[0].lease, rig.failed[0].error) == (1, "timed out after 0.2 s")
        assert rig.failed[0].raised == TIME_LIMIT
        (tmp_path / "b").touch()
        await rig.until(lambda: rig.done)
        assert rig.done == {(2, 0): f"b{rig.pids[0]}"}

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
def test_a_blocked_loop_is_killed_and_only_its_task_charged(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """The one whose step does not end; neighbours go back."""
    work = """
async def work(word):
    while word == "block": pass
    return await gate(word)
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a"], timeout_s=60.0))
        await rig.until(lambda: on(tmp_path, "a"))
        rig.give(jobs.lease(["block"], timeout_s=0.2))
        await rig.until(lambda: rig.failed and rig.released)
        (failed,) = rig.failed
        assert (failed.lease, failed.error) == (2, "timed out after 0.2 s")
        assert rig.released == {1: [0]}

    run_worker(scenario)


def test_the_time_of_a_blocked_loop_counts_from_its_tasks_start(
    jobs: Any, run_worker: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """What it has waited for before is part of its limit."""
    monkeypatch.setattr(deadlines, "CANCEL_S", 0.2)
    work = """
async def work(wait_s):
    await asyncio.sleep(wait_s)
    while True: pass
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([1.8], timeout_s=2.0))
        await rig.until(lambda: rig.failed)
        assert rig.failed[0].error == "timed out after 2 s"
        assert 2.0 < rig.failed[0].took_s < 3.8  # counted from the step it was 4

    run_worker(scenario)


def test_a_step_that_begins_behind_the_limit_is_not_late_at_once() -> None:
    """A cancelled coroutine may put things in order, as long as each step is short."""
    shared_page = SharedPage.create()
    seen: list[float] = []

    async def cleanup() -> None:
        seen.append(time.monotonic() - shared_page.rows[0].look().step)

    for age_s in (3.0, 100.0):
        since = time.monotonic() - age_s
        asyncio.run(_await(Steps(cleanup(), shared_page.rows[0], 0, since, 10.0)))
    assert 3.0 <= seen[0] < 4.0
    assert 10.0 <= seen[1] < 11.0
    shared_page.free()


async def _await(steps: Steps) -> None:
    await steps


@pytest.mark.usefixtures("short_grace")
def test_a_coroutine_that_does_not_let_go_costs_its_slot(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """It is charged, neighbours go back uncharged, the next slot works."""
    work = """
async def work(word):
    while word == "stay":
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
    return await gate(word) if word == "a" else word
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a"]), jobs.lease(["stay"], timeout_s=0.1))
        await rig.until(lambda: rig.failed and rig.released)
        assert (rig.failed[0].lease, rig.failed[0].error) == (2, "timed out after 0.1 s")
        assert rig.released == {1: [0]}
        rig.give(jobs.lease(["next"]))
        await rig.until(lambda: rig.done == {(3, 0): "next"})

    run_worker(scenario)


def test_a_step_that_kills_the_process_is_charged_to_its_task(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Not to those that were waiting."""
    work = """
async def work(word):
    if word == "kill":
        await asyncio.sleep(0.01)
        os._exit(5)
    return await gate(word)
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a", "kill", "b"]))
        await rig.until(lambda: rig.failed and len(rig.released.get(1, [])) == 2)
        (failed,) = rig.failed
        assert failed.position == 1
        assert "exit code 5" in failed.error
        assert sorted(rig.released[1]) == [0, 2]

    run_worker(scenario)


def test_after_a_death_between_steps_tasks_run_alone(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Nobody knows which it was, so nobody is charged, and it is found out."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n")

    async def scenario(rig: Any) -> None:
        import os

        rig.give(jobs.lease(["a", "b"]))
        await rig.until(lambda: on(tmp_path, "a") and on(tmp_path, "b"))
        await rig.until(lambda: rig.slots[0].page.rows[0].look().position == -1)
        os.kill(rig.pids[0], 9)
        await rig.until(lambda: len(rig.released.get(1, [])) == 2)
        assert not rig.failed
        rig.give(jobs.lease(["c", "d"]))
        await rig.until(lambda: on(tmp_path, "c"))
        assert not on(tmp_path, "d")
        await rig.until(lambda: rig.slots[0].page.rows[0].look().position == -1)
        os.kill(rig.pids[0], 9)
        await rig.until(lambda: rig.failed)
        assert (rig.failed[0].lease, rig.failed[0].position) == (2, 0)

    run_worker(scenario)


def test_neighbouring_results_are_one_record() -> None:
    """Whatever the order in which they landed; failures and gaps stay apart."""
    found = [Done(1, p, p + 1, codec.encode_batch([p]), 0.5) for p in (3, 1, 2, 5)]
    failed = Failed(1, 4, "error")
    first, second, third = merged([*found, failed], 1_000)
    assert isinstance(first, Done)
    assert (first.start, first.stop, first.took_s) == (1, 4, 1.5)
    assert codec.decode_batch(first.results) == [1, 2, 3]
    assert (second.start, third) == (5, failed)


def test_a_result_that_sets_limits_stays_by_itself() -> None:
    limits = {"a": GroupLimit(1)}
    first = Done(1, 1, 2, codec.encode_batch([1]), 0.5, [], limits)
    second, third = (Done(1, p, p + 1, codec.encode_batch([p]), 0.5) for p in (2, 3))
    joined, alone = merged([first, second, third], 1_000)
    assert isinstance(joined, Done)
    assert (joined.start, joined.stop, alone) == (2, 4, first)


def test_revoked_coroutines_are_cancelled(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """Without outcomes, with and without a limit of time; the neighbour goes on beside them."""
    work = """
async def work(word):
    try:
        return await gate(word) + str(os.getpid())
    finally:
        (folder / (word + ".off")).touch()
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        plain, timed = jobs.lease(["a", "b"]), jobs.lease(["c"], timeout_s=60.0)
        stays = jobs.lease(["d"])
        rig.give(plain, timed, stays)
        await rig.until(lambda: all(on(tmp_path, word) for word in "abcd"))
        rig.revoke(plain, timed)
        await rig.until(lambda: all((tmp_path / f"{word}.off").exists() for word in "abc"))
        (tmp_path / "d").touch()
        await rig.until(lambda: rig.done)
        assert rig.done == {(stays.number, 0): f"d{rig.pids[0]}"}
        await rig.until(lambda: not rig.slots[0].held)
        assert [o.lease for o in rig.outcomes] == [stays.number]

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
def test_a_revoked_coroutine_that_does_not_let_go_costs_its_slot(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """After 2 s; its neighbour goes back uncharged."""
    work = """
async def work(word):
    while word == "stay":
        (folder / "stay.on").touch()
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
    return await gate(word)
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        stays, other = jobs.lease(["stay"]), jobs.lease(["a"])
        rig.give(stays, other)
        await rig.until(lambda: on(tmp_path, "stay") and on(tmp_path, "a"))
        rig.revoke(stays)
        assert rig.supervisor.pool.free == 8  # it still flies
        await rig.until(lambda: rig.outcomes)
        assert rig.released == {other.number: [0]}
        assert not rig.failed

    run_worker(scenario)


def test_only_what_the_master_recognizes_goes_on(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Of one lease in flight some tasks may be somebody else's by now."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n", 2)

    async def scenario(rig: Any) -> None:
        lease = jobs.lease(["a", "b", "c", "d"])
        rig.give(lease)
        await rig.until(lambda: on(tmp_path, "a") and on(tmp_path, "b"))
        rig.link.drop()
        rig.link.connect([HeldLease(lease.number, 1, 7, [(1, 3)])])
        for word in "abcd":
            (tmp_path / word).touch()
        await rig.until(lambda: len(rig.done) == 2)
        await rig.until(lambda: not rig.supervisor.pool.running)
        assert rig.done == {(lease.number, 1): "b", (lease.number, 2): "c"}
        assert not on(tmp_path, "d")
        assert not rig.failed

    run_worker(scenario)


def test_a_failure_shows_what_its_own_task_printed(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Though the steps of several interleave; also what a coroutine that it started prints."""
    work = """
async def say(n):
    print("second", n)
async def work(n):
    print("first", n)
    await asyncio.sleep(0.01)
    await asyncio.create_task(say(n))
    print("third", n, file=sys.stderr)
    if n == 1: await asyncio.sleep(60)
    raise ValueError
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]), jobs.lease([1], timeout_s=0.3), jobs.lease([2]))
        await rig.until(lambda: len(rig.failed) == 3)
        for failed in rig.failed:
            n = failed.lease - 1
            assert failed.printed == f"first {n}\nsecond {n}\nthird {n}\n"

    run_worker(scenario)


def test_free_places_of_an_async_slot_are_told(jobs: Any, run_worker: Any, tmp_path: Path) -> None:
    """A limited task starts beside others up to `concurrency`, and goes back beyond it."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n", 3)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a"]))
        await rig.until(lambda: on(tmp_path, "a") and rig.slots[0].load.concurrency == 3)
        assert rig.supervisor.pool.free == 2
        leases = [jobs.lease([word], limited=True) for word in "bcd"]
        rig.give(*leases)
        await rig.until(lambda: on(tmp_path, "b") and on(tmp_path, "c"))
        await rig.until(lambda: rig.released)
        assert rig.released == {leases[2].number: [0]}
        for word in "abc":
            (tmp_path / word).touch()
        await rig.until(lambda: len(rig.done) == 3)
        await rig.until(lambda: rig.exchanges[-1].free == 3)

    run_worker(scenario)


def test_what_comes_together_is_started_together_and_cancelled_before_its_first_step(
    jobs: Any, slot: Any, tmp_path: Path
) -> None:
    """One read may bring leases and the word that one of them has ended."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n")
    first, revoked, last = (jobs.lease([word]) for word in "abc")
    version = job_version("trial", jobs.folder)
    for row in range(3):
        slot.page.rows[row].reset(0, 1)
    gives = [Give(lease, row, version, 1_000) for row, lease in enumerate((first, revoked, last))]
    slot._sock.sendall(b"".join(map(frame, [*gives, Cancel(revoked.number, [(0, 1)])])))
    found: list[Any] = []
    while not found:
        found += slot.report().outcomes
    assert (found[0].lease, found[0].error) == (revoked.number, "CancelledError")
    (tmp_path / "a").touch()
    (tmp_path / "c").touch()
    while len(found) < 3:
        found += slot.report().outcomes
    assert {o.lease for o in found[1:]} == {first.number, last.number}
    assert not on(tmp_path, "b")


def test_a_lease_that_is_over_is_reported_at_once_also_behind_one_that_is_not(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    """Else each turn of a crawl would wait for the next report that is due."""
    work = """
import worker.slot.async_slot
worker.slot.async_slot.FLUSH_S = 60.0
async def work(word): return word if word == "quick" else await gate(word)
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        slow, quick = jobs.lease(["a", "quick"]), jobs.lease(["b"])
        rig.give(slow, quick)
        await rig.until(lambda: on(tmp_path, "a") and on(tmp_path, "b"))
        (tmp_path / "b").touch()
        await rig.until(lambda: (quick.number, 0) in rig.done)
        (tmp_path / "a").touch()
        await rig.until(lambda: len(rig.done) == 3)

    run_worker(scenario)


def test_an_async_slot_asks_for_as_many_again_as_it_has_in_flight(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n", 3)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["a", "b", "c", "d"]))
        await rig.until(lambda: all(on(tmp_path, word) for word in "abc"))
        await rig.until(lambda: rig.supervisor.pool.want > 0)
        rig.give(jobs.lease(["e", "f"]))
        await rig.until(lambda: rig.supervisor.pool.want <= 0)
        for word in "abcdef":
            (tmp_path / word).touch()
        await rig.until(lambda: len(rig.done) == 6)

    run_worker(scenario)


@pytest.mark.usefixtures("short_grace")
def test_a_slot_that_leaves_several_leases_gets_one_successor(
    jobs: Any, run_worker: Any, tmp_path: Path
) -> None:
    work = """
async def work(word):
    while word == "stay":
        (folder / "stay.on").touch()
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
    return await gate(word)
"""
    write(jobs, tmp_path, work)

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease(["stay"], timeout_s=0.1), jobs.lease(["a"]), jobs.lease(["b"]))
        await rig.until(lambda: on(tmp_path, "stay") and on(tmp_path, "a") and on(tmp_path, "b"))
        old = rig.slots[0]
        await rig.until(lambda: old not in rig.slots)
        assert len(rig.slots) == 1

    run_worker(scenario)


def test_a_lease_that_was_taken_back_starts_nothing_on_the_page_of_the_next(
    jobs: Any, slot: Any, tmp_path: Path, wait_until: Any
) -> None:
    """It is over without a task of its own that lands, while others hold all places."""
    write(jobs, tmp_path, "async def work(word): return await gate(word)\n", concurrency=2)
    first = jobs.lease(["a", "b", "c"])
    slot.give(first)
    taken_back = jobs.lease(["d", "e"])
    slot.give(taken_back, row=1)
    wait_until(lambda: on(tmp_path, "a") and on(tmp_path, "b"))
    slot.page.rows[1].lower(0)
    (tmp_path / "a").touch()
    while not (report := slot.report()).finished:
        pass
    assert (report.lease, report.outcomes) == (taken_back.number, [])
    slot.give(jobs.lease(["f", "g"]), row=1)
    (tmp_path / "b").touch()
    wait_until(lambda: on(tmp_path, "c") and on(tmp_path, "f"))
    for word in "cfg":
        (tmp_path / word).touch()
    slot.outcomes()
    slot.outcomes()
    assert not on(tmp_path, "d")
    assert not on(tmp_path, "e")


def test_a_lease_that_has_ended_keeps_no_timer() -> None:
    """Its payloads would stay in memory for `timeout_s`."""

    async def work(payload: str) -> int:
        return len(payload)

    page = SharedPage.create()
    near, far = socket.socketpair()
    with near, far:
        end = SimpleNamespace(sock=near, send=lambda *_: None, read=lambda: True, taken=lambda: [])
        job = SimpleNamespace(work=work, setup=None, options=Options(concurrency=4))
        slot = AsyncSlot(cast(Job, job), cast(SlotEnd, end), page)
        body = codec.encode_batch(["x"])
        for number in (1, 2, 3):
            page.rows[0].reset(0, 1)
            lease = Lease(number, 1, "sleepy", 0, 0, 1, body, 300.0)
            assert slot.run(Give(lease, 0, "", 1 << 20))
        assert not [timer for timer in slot._loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

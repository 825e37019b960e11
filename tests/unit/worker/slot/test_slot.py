"""A slot's own code: one lease in, its outcomes out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from queue_manager import codec
from queue_manager.wire.records import Done, Failed, Released
from worker.ipc.shared_page import LIMIT, POSITION, STARTED


def test_a_lease_of_small_tasks_is_one_report(jobs: Any, slot: Any) -> None:
    """One batch, one record, which covers the range of the lease and no more."""
    jobs.write("def work(n): return n * n")
    lease = jobs.lease(list(range(100)), start=40)
    slot.give(lease)
    (outcome,) = slot.outcomes()
    assert (outcome.start, outcome.stop) == (40, 100)
    assert codec.decode_batch(outcome.results) == [n * n for n in range(40, 100)]
    assert 0 < outcome.took_s < 5


def test_a_task_that_raises_is_charged_alone(jobs: Any, slot: Any) -> None:
    """Those before and behind it are done; line and traceback tell what happened."""
    jobs.write(
        """
        def work(n):
            if n == 2:
                raise ValueError("two is\\nwrong")
            return n
        """
    )
    before, failed, after = slot.run([0, 1, 2, 3])
    assert (before.start, before.stop, after.start, after.stop) == (0, 2, 3, 4)
    assert (failed.position, failed.error) == (2, "ValueError: two is wrong")
    assert 'raise ValueError("two is' in failed.evidence
    assert "work_loop" not in failed.evidence
    assert (failed.reject, failed.delay_s) == (False, None)


def test_retry_and_reject_are_told_apart(jobs: Any, slot: Any) -> None:
    """Retry carries its delay, Reject its reason."""
    jobs.write(
        """
        from queue_manager import Reject, Retry
        def work(n):
            raise Retry(2.5) if n else Reject("no such row")
        """
    )
    rejected, again = slot.run([0, 1])
    assert (rejected.reject, rejected.error) == (True, "no such row")
    assert (again.reject, again.delay_s) == (False, 2.5)


def test_work_cannot_end_its_slot_by_an_exception(jobs: Any, slot: Any) -> None:
    """SystemExit and KeyboardInterrupt are failures as any other."""
    jobs.write(
        """
        def work(n):
            if n == 0: raise SystemExit(3)
            if n == 1: raise KeyboardInterrupt
            return n
        """
    )
    first, second, done = slot.run([0, 1, 2])
    assert (first.error, second.error) == ("SystemExit: 3", "KeyboardInterrupt")
    assert isinstance(done, Done)


def test_follow_ups_travel_with_their_result(jobs: Any, slot: Any) -> None:
    """A task with follow-ups is a record by itself; its neighbours are not lost."""
    jobs.write(
        """
        from queue_manager import Result, Task
        def work(n):
            return Result(-n, [Task(n + 10, key=f"k{n}"), n + 20]) if n == 1 else n
        """
    )
    before, branch, after = slot.run([0, 1, 2])
    assert (before.start, before.stop, after.start, after.stop) == (0, 1, 2, 3)
    assert codec.decode_batch(branch.results) == [-1]
    keyed, plain = branch.follow
    assert (keyed.keys, codec.decode_batch(keyed.body)) == (["k1"], [11])
    assert (plain.keys, codec.decode_batch(plain.body)) == (None, [21])


def test_follow_ups_that_cannot_travel_fail_the_task(jobs: Any, slot: Any) -> None:
    """Result and follow-ups are recorded together or not at all."""
    jobs.write(
        """
        from queue_manager import Result
        def work(n): return Result(n, [object()])
        """
    )
    (failed,) = slot.run([0])
    assert isinstance(failed, Failed)
    assert "object" in failed.error


def test_a_result_that_is_not_plain_data_is_a_failure(jobs: Any, slot: Any) -> None:
    """It is found in the slot, with the codec's line."""
    jobs.write("def work(n): return object() if n == 1 else {n}")
    first, failed, last = slot.run([0, 1, 2])
    assert codec.decode_batch(first.results) == [{0}]
    assert codec.decode_batch(last.results) == [{2}]
    assert failed.position == 1
    assert failed.error.startswith("object cannot travel: plain data is")


def test_a_result_is_frozen_when_work_returns(jobs: Any, slot: Any) -> None:
    """A list that the next task changes is recorded as it was."""
    jobs.write(
        """
        seen = []
        def work(n):
            seen.append(n)
            return seen
        """
    )
    (done,) = slot.run([1, 2])
    assert codec.decode_batch(done.results) == [[1], [1, 2]]


def test_a_result_too_large_is_a_failure(jobs: Any, slot: Any) -> None:
    """It says to pass a path instead; its neighbours are done."""
    jobs.write("def work(n): return 'x' * n")
    outcomes = slot.run([10, 2_000, 20], max_bytes=1_000)
    assert [type(o) for o in outcomes] == [Done, Failed, Done]
    assert "pass its path instead" in outcomes[1].error


def test_many_large_results_leave_in_pieces(jobs: Any, slot: Any) -> None:
    """No report grows with the number of tasks."""
    jobs.write("def work(n): return b'x' * 100_000")
    outcomes = slot.run(list(range(10)))
    assert sum(o.stop - o.start for o in outcomes) == 10
    assert max(len(o.results) for o in outcomes) < 500_000


def test_a_payload_that_cannot_be_decoded_fails_its_task_only(jobs: Any, slot: Any) -> None:
    """The others of the batch run."""
    jobs.write("def work(n): return n")
    import msgspec

    body = codec.encode_items([codec.encode(1), b"\x80nonsense", codec.encode((3,))])
    slot.give(msgspec.structs.replace(jobs.lease([0, 0, 0]), body=body))
    first, failed, last = slot.outcomes()
    assert (first.start, failed.position, last.start) == (0, 1, 2)
    assert codec.decode_batch(last.results) == [(3,)]


def test_finished_results_do_not_wait_for_a_long_task(jobs: Any, slot: Any, tmp_path: Any) -> None:
    """They are reported while it runs."""
    gate = tmp_path / "gate"
    jobs.write(
        f"""
        import pathlib, time
        def work(n):
            while n == 2 and not pathlib.Path({str(gate)!r}).exists():
                time.sleep(0.005)
            return n
        """
    )
    slot.give(jobs.lease([0, 1, 2]))
    report = slot.report()
    assert [(o.start, o.stop) for o in report.outcomes] == [(0, 2)]
    assert not report.finished
    gate.touch()
    (last,) = slot.outcomes()
    assert (last.start, last.stop) == (2, 3)


def test_results_leave_every_few_tasks_when_tasks_take_a_while(jobs: Any, slot: Any) -> None:
    """20 ms of work are a report."""
    jobs.write(
        """
        import time
        def work(n):
            end = time.monotonic() + 0.015
            while time.monotonic() < end: pass
        """
    )
    assert len(slot.run([0] * 8)) >= 3


def test_times_add_up_to_what_the_tasks_took(jobs: Any, slot: Any) -> None:
    """Import and setup are no part of it: the master sizes leases by it."""
    jobs.write(
        """
        import time
        def setup(): time.sleep(0.3)
        def work(n):
            began = time.monotonic()
            time.sleep(0.01)
            return time.monotonic() - began
        """
    )
    outcomes = slot.run([0] * 5)
    slept_s = sum(s for outcome in outcomes for s in codec.decode_batch(outcome.results))
    assert 0.05 <= slept_s <= sum(outcome.took_s for outcome in outcomes) < slept_s + 0.3


def test_setup_runs_once_before_the_first_task(jobs: Any, slot: Any) -> None:
    """Once per slot, not per lease."""
    jobs.write(
        """
        calls = []
        def setup(): calls.append(1)
        def work(n): return len(calls)
        """
    )
    results = [codec.decode_batch(o.results) for _ in range(2) for o in slot.run([0])]
    assert results == [[1], [1]]


def test_a_setup_that_raises_releases_the_lease(jobs: Any, slot: Any) -> None:
    """Uncharged, with one line that says why, and the slot makes room for a fresh one."""
    jobs.write(
        """
        def setup(): raise RuntimeError("no model")
        def work(n): return n
        """
    )
    slot.give(jobs.lease([1, 2]))
    report = slot.report()
    (released,) = report.outcomes
    assert isinstance(released, Released)
    assert (released.start, released.stop) == (0, 2)
    assert "setup" in released.lacks
    assert "RuntimeError: no model" in released.lacks
    assert report.leaving
    slot.thread.join(60)
    assert not slot.thread.is_alive()


def test_a_job_that_does_not_import_releases_the_lease(jobs: Any, slot: Any) -> None:
    """The line names file and error."""
    jobs.write("import os\n1 / 0")
    (released,) = slot.run([1])
    assert "jobs/trial.py line 2: ZeroDivisionError" in released.lacks


def test_a_job_that_has_changed_needs_a_fresh_slot(jobs: Any, slot: Any) -> None:
    """The lease goes to the successor: nothing of it is run or reported here."""
    jobs.write("def work(n): return 1")
    slot.run([0])
    jobs.write("def work(n): return 22")
    slot.give(jobs.lease([0]))
    report = slot.report()
    assert report.leaving
    assert report.outcomes == []
    assert not report.finished


def test_tasks_behind_the_limit_do_not_start(jobs: Any, slot: Any) -> None:
    """The supervisor lowers it while a task runs."""
    jobs.write(
        """
        import time
        def work(n):
            if n == 1:
                while n == 1 and not done: time.sleep(0.001)
            return n
        done = []
        """
    )
    row = slot.page.rows[0]
    slot.give(jobs.lease([0, 1, 2, 3]))
    deadline = time.monotonic() + 10
    while row.numbers[POSITION] != 1 or not row.times[STARTED]:
        assert time.monotonic() < deadline
    assert row.lower(0) == 2
    import sys

    sys.modules["jobs.trial"].done.append(1)
    assert max(o.stop for o in slot.outcomes()) == 2
    assert row.numbers[LIMIT] == 0
    assert row.look().unstarted == 2


def test_the_slot_ends_with_its_pipe(slot: Any) -> None:
    """An end of file is the supervisor's word for it."""
    slot.close()
    assert not slot.thread.is_alive()


def test_short_tasks_with_follow_ups_are_one_report_in_their_order(
    jobs: Any, slot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As plain results, they wait for others a little: a message for each would cost more."""
    jobs.write(
        """
        from queue_manager import Result, Task
        def work(n): return n if n == 2 else Result(n, follow=[Task(10 * n)])
        """
    )
    monkeypatch.setattr("worker.slot.main.FLUSH_S", 60.0)
    slot.give(jobs.lease(list(range(4))))
    outcomes = slot.report().outcomes
    assert [outcome.start for outcome in outcomes] == [0, 1, 2, 3]
    assert [len(outcome.follow) for outcome in outcomes] == [1, 1, 0, 1]


def test_a_task_behind_which_much_follows_is_reported_soon(
    jobs: Any, slot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.write(
        """
        from queue_manager import Result, Task
        def work(n): return Result(n, follow=[Task("x" * 300_000)])
        """
    )
    monkeypatch.setattr("worker.slot.main.FLUSH_S", 60.0)
    slot.give(jobs.lease(list(range(2))))
    assert [len(slot.report().outcomes) for _ in range(3)] == [1, 1, 0]

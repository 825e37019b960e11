"""A run: its counts, where its next task is, and how large its leases are."""

from __future__ import annotations

import pytest

from master.broker.lanes.tracked import Tracked
from master.broker.lanes.window import Range
from master.broker.runs.run import Run
from master.changes import CollectCursor, LoadedRun, RunCounts, RunRecord, RunState
from queue_manager.wire.records import BLOCK_TASKS, GroupLimit, RunOptions

NOW = 100.0


def new_run(*, limited: bool = False) -> Run:
    limit = GroupLimit() if limited else None
    return Run(1, "job", [], None, RunOptions(per_group=limit), 0.0)


def ready_tracked(run: Run, task: int, group: str | None = None, priority: int = 0) -> None:
    lane = run.lane_of(group)
    tracked = Tracked(task, task, 0, priority, group)
    lane.tracked.admit(tracked)
    lane.tracked.make_ready(tracked)
    run.look(lane, NOW)


# --- counts ---


def test_waiting_is_what_is_in_no_other_place() -> None:
    run = new_run(limited=True)
    run.tasks, run.done, run.dead, run.leased, run.staged = 100, 10, 1, 5, 7
    run.tracked, run.tracked_leased = 9, 2
    ready_tracked(run, 50)
    ready_tracked(run, 51, "a")
    assert (run.unended, run.delayed, run.waiting) == (89, 5, 72)


def test_a_run_is_ready_with_a_task_in_memory_but_not_with_tasks_on_disk() -> None:
    run = new_run(limited=True)
    run.lane.window.more_on_disk = True
    assert not run.ready
    for group in (None, "a"):
        run.lane.window.more_on_disk = False
        run.admit(group, 0, Range(5, 9, 0, 1), NOW)
        assert run.ready
        lane = run.next_lane(True)
        assert lane is not None
        run.take(lane, 1)
        assert not run.ready


# --- where the next task is ---


def test_without_a_limit_all_groups_are_one_lane() -> None:
    run = new_run()
    run.admit("a", 0, Range(1, 1, 0, 5), NOW)
    assert run.lane_of("b") is run.lane
    assert run.take(run.lane, 3)[0] == Range(1, 1, 0, 3)


def test_a_task_of_a_limited_group_is_taken_alone() -> None:
    run = new_run(limited=True)
    run.admit("a", 0, Range(1, 1, 0, 5), NOW)
    assert run.take(run.lane_of("a"), 3)[0] == Range(1, 1, 0, 1)


def test_the_lane_with_the_higher_priority_is_next_and_a_limited_one_among_equals() -> None:
    run = new_run(limited=True)
    run.admit(None, 1, Range(1, 1, 0, 1), NOW)
    assert run.next_lane(True) is run.lane
    run.admit("a", 0, Range(2, 2, 0, 1), NOW)
    assert run.next_lane(True) is run.lane
    run.admit("b", 1, Range(3, 3, 0, 1), NOW)
    assert run.next_lane(True) is run.lane_of("b")
    assert run.next_lane(False) is run.lane
    run.lane.take(1)
    assert run.next_lane(False) is None


def test_a_cleared_run_has_nothing_in_any_lane() -> None:
    run = new_run(limited=True)
    for group in (None, "a"):
        run.admit(group, 0, Range(1, 1, 0, 1), NOW)
    run.clear()
    assert not run.ready
    assert [lane.group for lane in run.lanes] == [None]


# --- from and to disk ---


def test_a_run_goes_to_disk_and_comes_back_as_it_was() -> None:
    record = RunRecord(
        3, "job", ["a=1"], "key", RunOptions(per_group=GroupLimit(2)), RunState.ACTIVE, True, 5.0,
        None, CollectCursor(7, 9), 2, "version", 0,
    )  # fmt: skip
    counts = RunCounts(100, 90, 50, 3, 8, 40)
    run = Run.loaded(LoadedRun(record, counts))
    assert run.record() == record
    assert run.counts(0) == counts
    assert run.counts(55).last_seq == 55
    assert (run.delayed, run.waiting) == (8, 39)
    assert [lane.group for lane in run.lanes] == [None]
    assert run.groups is not None
    assert run.groups.hidden.anything
    assert all(lane.window.more_on_disk and lane.tracked.more_on_disk for lane in run.lanes)


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "pruned"])
def test_nothing_is_read_of_a_run_that_has_ended(state: str) -> None:
    ended = RunState(state)
    record = RunRecord(3, "job", [], None, RunOptions(), ended, True, 5.0, 6.0, cancelled=4)
    run = Run.loaded(LoadedRun(record, RunCounts(10, 0, 6)))
    assert not run.active
    assert not run.lane.low
    assert run.unended == 0


# --- the size of a lease ---


@pytest.mark.parametrize("took_s", [1.0, 1e-9])
def test_the_size_of_a_lease_follows_the_pace_within_its_bounds(took_s: float) -> None:
    run = new_run()
    for _ in range(10):
        run.learn(1, took_s)
    assert run.size == (1 if took_s == 1.0 else BLOCK_TASKS)


def test_a_lease_has_no_more_results_than_a_worker_can_hold() -> None:
    run = new_run()
    for _ in range(10):
        run.learn(100, 0.001, 100 * 1_000_000)
    assert run.size == 4


def test_one_slow_task_makes_the_next_leases_shorter() -> None:
    run = new_run()
    for _ in range(10):
        run.learn(100, 0.001)
    run.learn(1, 1.0)
    assert run.size == 1


def test_a_share_of_very_short_tasks_is_never_cut_below_what_is_worth_its_way() -> None:
    run = new_run()
    assert run.least == 0
    run.learn(1, 0.0001)
    assert run.least == 10
    run.learn(1, 1e-12)
    run.learn(1_000_000, 1e-12)
    for _ in range(40):
        run.learn(1, 1e-12)
    assert run.least == BLOCK_TASKS

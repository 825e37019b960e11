"""Tasks of a run that goes on are cancelled: what waits ends, what is leased goes on."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.runs.run import Run
from master.changes import CANCELLED
from queue_manager.ranges import Ranges
from queue_manager.wire.records import GroupLimit
from tests.asked import block_states
from tests.unit.master.desk import Desk, counts, tasks

ALL = [(1, 2**62)]


def stage(desk: Desk, wanted: Ranges, run: Run | None = None) -> Ranges:
    """As the server does it: the blocks are read before the turn."""
    run = run or desk.run
    found = desk.store.find_blocks(run.id, wanted, 1_000)
    states = block_states(desk.store, {block: (0, count) for block, _, count in found})
    return desk.broker.cancel_tasks(run, states.values(), wanted)


def cancel(desk: Desk, *wanted: tuple[int, int]) -> Ranges:
    found = stage(desk, list(wanted) or ALL)
    desk.commit()
    return found


def test_what_waits_is_cancelled_and_what_is_leased_goes_on() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(10)
    lease = desk.lease(session)
    assert tasks(lease) == [1]
    assert cancel(desk) == [(2, 11)]
    assert counts(desk.run) == {"tasks": 10, "leased": 1, "cancelled": 9}
    assert desk.leases(session) == []
    assert desk.done(lease)
    desk.commit()
    assert counts(desk.run) == {"tasks": 10, "done": 1, "cancelled": 9}


def test_some_tasks_of_some_blocks_are_cancelled_and_the_others_are_leased() -> None:
    desk = Desk()
    desk.submit(100)
    desk.submit(100, priority=3)
    assert cancel(desk, (3, 5), (99, 103)) == [(3, 5), (99, 101), (101, 103)]
    gone = {3, 4, 99, 100, 101, 102}
    assert sorted(desk.drain(desk.session())) == [n for n in range(1, 201) if n not in gone]


def test_a_run_whose_other_tasks_have_ended_is_done() -> None:
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(3)
    lease = desk.lease(session)
    desk.broker.exhaust(desk.run)
    cancel(desk)
    assert desk.run.active
    desk.done(lease)
    desk.commit()
    assert desk.run.state == "done"


def test_a_run_of_which_all_is_cancelled_ends_with_that_and_one_with_dead_letters_has_failed() -> (
    None
):
    desk = Desk(attempts=1)
    desk.submit(2)
    desk.fail(desk.lease(desk.session()))
    desk.broker.exhaust(desk.run)
    desk.commit()
    cancel(desk)
    assert (desk.run.state, desk.run.cancelled) == ("failed", 1)


def test_nothing_of_it_comes_back_after_a_restart_not_even_as_a_claim() -> None:
    desk = Desk()
    desk.submit(4)
    desk.submit(2, delay_s=5.0)
    assert cancel(desk, (2, 4), (6, 7)) == [(2, 4), (6, 7)]
    desk = desk.restarted()
    assert counts(desk.run) == {"tasks": 6, "waiting": 2, "delayed": 1, "cancelled": 3}
    assert desk.drain(desk.session()) == [1, 4]
    desk.later(6.0)
    assert desk.drain(desk.session()) == [5]


def test_delayed_and_failed_tasks_are_cancelled_and_keep_their_attempts() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.submit(3, delay_s=5.0)
    desk.fail(desk.lease(session), delay_s=9.0)
    desk.commit()
    assert counts(desk.run) == {"tasks": 4, "delayed": 4}
    assert cancel(desk) == [(1, 2), (2, 5)]
    assert counts(desk.run) == {"tasks": 4, "cancelled": 4}
    assert (desk.run.tracked, desk.run.lane.tracked.in_memory) == (0, {})
    desk.later(20.0)
    assert desk.leases(session) == []
    record = desk.store.read_task(1, 1)
    assert record is not None
    assert record.tracked is not None
    assert (record.tracked.state, record.tracked.attempts) == ("done", 1)


def test_a_tracked_task_that_is_leased_goes_on() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1, delay_s=1.0)
    desk.later(2.0)
    lease = desk.lease(session)
    assert cancel(desk) == []
    desk.done(lease)
    desk.commit()
    assert counts(desk.run) == {"tasks": 1, "done": 1}


def test_tasks_of_a_quarantine_are_given_to_nobody() -> None:
    desk = Desk(losses=3)
    desk.submit(1)
    first = desk.session()
    desk.lease(first)
    desk.drop(first)
    desk.commit()
    assert desk.broker.quarantine.waiting
    assert cancel(desk) == [(1, 2)]
    assert desk.leases(desk.session()) == []


def test_tasks_of_limited_groups_are_cancelled_in_memory_and_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("master.broker.lanes.groups.LANES", 2)
    desk = Desk(per_group=GroupLimit(1))
    for n in range(5):
        desk.submit(2, group=f"g{n}")
    session = desk.session()
    lease = desk.lease(session)
    assert sum(b - a for a, b in cancel(desk)) == 9
    assert desk.leases(session) == []
    desk.done(lease)
    desk.commit()
    assert counts(desk.run) == {"tasks": 10, "done": 1, "cancelled": 9}


def test_a_million_tasks_are_a_row_a_block() -> None:
    desk = Desk()
    for _ in range(4):
        desk.submit(1_024)
    desk.fail(desk.lease(desk.session()))
    desk.commit()
    found = stage(desk, ALL)
    changes = desk.commit()
    assert sum(b - a for a, b in found) == desk.run.cancelled == 4_096
    assert len(changes.outcomes) == 4
    assert {o.results for o in changes.outcomes} == {CANCELLED}
    assert len(changes.tracked) == 1


def test_what_this_turn_has_staged_otherwise_is_left_alone() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(5)
    done, given_back = desk.lease(session), desk.lease(session)
    desk.done(done)
    desk.release(given_back)
    assert stage(desk, ALL) == [(3, 6)]
    desk.commit()
    assert counts(desk.run) == {"tasks": 5, "waiting": 1, "done": 1, "cancelled": 3}


def test_a_block_that_grows_in_this_turn_grows_no_more_in_the_next() -> None:
    """Its `open` would become 0 while new tasks of it wait."""
    desk = Desk()
    desk.submit(1)
    desk.stage(1)
    assert stage(desk, ALL) == [(1, 2)]
    desk.stage(1)
    desk.commit()
    assert len(desk.store.find_blocks(1, ALL, 9)) == 1
    desk.submit(1)
    assert len(desk.store.find_blocks(1, ALL, 9)) == 2
    assert desk.drain(desk.session()) == [2, 3, 4]


def test_a_block_of_which_something_was_cancelled_grows_no_more() -> None:
    desk = Desk()
    desk.submit(1)
    cancel(desk)
    desk.submit(1)
    assert len(desk.store.find_blocks(1, ALL, 9)) == 2
    assert desk.drain(desk.session()) == [2]


@pytest.mark.parametrize("delayed", [0.0, 5.0])
def test_a_cancel_that_cannot_be_written_has_not_been(delayed: float) -> None:
    desk = Desk()
    desk.submit(3, delay_s=delayed)
    before: Any = counts(desk.run)
    assert stage(desk, ALL) == [(1, 4)]
    desk.broker.finish_runs(desk.wall)
    desk.broker.rolled_back()
    assert counts(desk.run) == before
    desk.later(6.0)
    assert desk.drain(desk.session()) == [1, 2, 3]


def test_the_end_of_the_whole_run_counts_each_task_once() -> None:
    desk = Desk()
    desk.submit(5)
    cancel(desk, (1, 3))
    desk.broker.cancel(desk.run, desk.wall)
    desk.commit()
    assert (desk.run.state, desk.run.cancelled, desk.run.unended) == ("cancelled", 5, 0)

"""Who gets which task: turns, shares, sizes, limits, and the pause after a restart."""

from __future__ import annotations

import pytest

from master.changes import QUEUE_RUN
from queue_manager.wire.records import GroupLimit
from tests.unit.master.desk import Desk, counts, tasks


def limited(at_once: int | None = None, every_s: float = 0.0) -> Desk:
    return Desk(per_group=GroupLimit(at_once, every_s))


# --- sizes, shares and turns ---


def test_the_first_lease_is_one_task_and_leases_grow_with_short_tasks() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1_000)
    sizes = []
    for _ in range(4):
        lease = desk.lease(session)
        ((start, stop),) = lease.open
        sizes.append(stop - start)
        desk.broker.done(session, lease.number, start, stop, b"", 0.0001 * (stop - start))
    assert sizes == [1, 4, 16, 64]


def test_a_lease_aims_at_less_than_a_tenth_of_a_second_of_work() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1_024)
    for _ in range(8):
        lease = desk.lease(session)
        ((start, stop),) = lease.open
        desk.broker.done(session, lease.number, start, stop, b"", 0.01 * (stop - start))
    assert 5 <= desk.run.size <= 10


@pytest.mark.parametrize("took_s", [0.0, 5e-324, -1.0, float("inf")])
def test_a_strange_duration_does_not_stop_the_broker(took_s: float) -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(4)
    lease = desk.lease(session)
    assert desk.broker.done(session, lease.number, 0, 1, b"", took_s)
    assert desk.lease(session)


def test_the_end_of_a_run_is_shared_out_over_the_slots_that_are_there() -> None:
    desk = Desk()
    sessions = [desk.session() for _ in range(4)]
    gone = desk.session(slots=4)
    desk.submit(16)
    desk.drop(gone)
    desk.commit()
    desk.run.size = 1_000
    assert [len(tasks(desk.lease(session))) for session in sessions] == [4, 3, 3, 2]


def test_thousands_of_slots_share_out_no_lease_shorter_than_a_millisecond() -> None:
    desk = Desk()
    session = desk.session()
    desk.session(slots=4_000)
    desk.submit(500)
    desk.run.learn(1_000_000, 1.0)
    desk.run.size = 1_000
    assert len(tasks(desk.lease(session))) == 500


def test_runs_take_turns_also_when_one_has_nothing_for_a_while() -> None:
    desk = Desk()
    session = desk.session()
    other, empty = desk.new_run("other"), desk.new_run("empty")
    desk.submit(10)
    desk.submit(10, other)
    order = [desk.lease(session).run.id for _ in range(6)]
    assert order == [desk.run.id, other.id] * 3
    desk.submit(1, empty)
    assert empty.id in [desk.lease(session).run.id for _ in range(3)]


def test_a_run_that_is_passed_over_keeps_its_turn_for_who_may_take_it() -> None:
    desk = Desk()
    runs = [desk.run, desk.new_run("b"), desk.new_run("c")]
    for run in runs:
        desk.submit(9, run)
    lacking, able = desk.session(), desk.session()
    lacking.lacks["job"] = "no numpy"
    assert desk.lease(lacking).run is runs[1]
    assert [desk.lease(able).run for _ in range(3)] == [runs[0], runs[2], runs[1]]


def test_a_higher_priority_goes_first_within_a_run() -> None:
    desk = Desk()
    session = desk.session()
    for priority in (0, 5, -3, 5):
        desk.submit(1, priority=priority)
    assert desk.leases(session) == [[2], [4], [1], [3]]


def test_numbers_of_leases_grow_from_one_start_of_the_master_to_the_next() -> None:
    first = Desk()
    first.submit(2)
    before = first.lease(first.session()).number
    second = first.restarted()
    assert second.lease(second.session()).number > before
    assert before >> 32 == first.broker.epoch < second.broker.epoch


# --- who may take what ---


def test_a_stock_session_takes_one_task_of_the_stock_job_or_the_queue_run_only() -> None:
    desk = Desk(job="square")
    stock = desk.session(0, stock=True)
    desk.submit(10)
    assert desk.broker.lease(stock, desk.now) is None
    square = desk.new_run("square")
    square.size = 100
    desk.submit(10, square)
    desk.submit(1, desk.broker.runs[QUEUE_RUN])
    leases = [desk.lease(stock) for _ in range(3)]
    assert sorted(lease.run.id for lease in leases) == [QUEUE_RUN, square.id, square.id]
    assert all(lease.held == 1 for lease in leases)


def test_our_workers_take_no_task_that_has_no_job() -> None:
    desk = Desk()
    desk.submit(1, desk.broker.runs[QUEUE_RUN])
    assert desk.broker.lease(desk.session(), desk.now) is None
    assert tasks(desk.lease(desk.session(stock=True))) == [1]


def test_a_session_gets_nothing_of_a_job_that_it_lacks() -> None:
    desk = Desk()
    lacking, able = desk.session(), desk.session()
    desk.submit(2)
    desk.release(desk.lease(lacking), "no numpy")
    desk.commit()
    assert desk.broker.lease(lacking, desk.now) is None
    assert tasks(desk.lease(able)) == [1]


def test_what_goes_back_is_not_charged_and_comes_first() -> None:
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(4)
    desk.release(desk.lease(session))
    assert not desk.broker.changes.must_commit
    assert desk.broker.lease(session, desk.now)
    desk.commit()
    assert tasks(desk.lease(session)) == [1]


# --- limited groups ---


def test_a_task_of_a_limited_group_is_leased_alone_to_one_that_would_start_it_at_once() -> None:
    desk = limited()
    busy, idle = desk.session(free=0), desk.session(free=2)
    desk.submit(9, group="a")
    desk.run.size = 100
    assert desk.broker.lease(busy, desk.now) is None
    assert desk.leases(idle) == [[1], [2]]
    assert idle.free == 0


def test_a_session_without_a_free_slot_gets_what_is_not_limited() -> None:
    desk = limited()
    busy = desk.session(free=0)
    desk.submit(1, group="a")
    desk.submit(1)
    desk.session()  # it may start the group's task
    lease = desk.lease(busy)
    assert (tasks(lease), lease.limited) == ([2], False)
    assert desk.broker.lease(busy, desk.now) is None


def test_at_once_holds_over_all_sessions_until_an_end_is_on_disk() -> None:
    desk = limited(at_once=2)
    sessions = [desk.session() for _ in range(3)]
    desk.submit(5, group="a")
    first, _ = desk.lease(sessions[0]), desk.lease(sessions[1])
    assert desk.broker.lease(sessions[2], desk.now) is None
    desk.done(first)
    assert desk.broker.lease(sessions[2], desk.now) is None
    desk.commit()
    assert desk.leases(sessions[2]) == [[3]]


@pytest.mark.parametrize("how", ["fail", "release", "drop", "cancelled"])
def test_a_limited_task_makes_room_however_its_lease_ends(how: str) -> None:
    desk = limited(at_once=1)
    session, other = desk.session(), desk.session()
    desk.submit(2, group="a")
    lease = desk.lease(session)
    if how == "fail":
        desk.fail(lease, delay_s=60.0)
    elif how == "release":
        desk.release(lease)
    elif how == "drop":
        desk.drop(session)
    else:
        desk.broker.cancel(desk.run, desk.wall)
    desk.commit()
    assert len(desk.leases(other)) == (0 if how == "cancelled" else 1)


def test_every_s_holds_over_all_sessions_and_ends_by_itself() -> None:
    desk = limited(every_s=5.0)
    sessions = [desk.session() for _ in range(2)]
    desk.submit(3, group="a")
    assert [desk.leases(session) for session in sessions] == [[[1]], []]
    assert desk.broker.next_due == desk.now + 5.0
    desk.later(5.0)
    assert desk.leases(sessions[1]) == [[2]]


@pytest.mark.parametrize("unstarted", [True, False])
def test_a_lease_that_never_started_costs_its_group_no_pause(unstarted: bool) -> None:
    desk = limited(every_s=5.0)
    lacking, able = desk.session(), desk.session()
    desk.submit(1, group="a")
    desk.release(desk.lease(lacking), "another version", unstarted=unstarted)
    desk.commit()
    assert desk.leases(able) == ([[1]] if unstarted else [])


def test_what_never_started_ends_no_pause_of_one_that_did() -> None:
    desk = limited(every_s=5.0)
    first, second = desk.session(), desk.session()
    desk.submit(3, group="a")
    late = desk.lease(first)
    desk.later(5.0)
    desk.lease(second)
    desk.release(late, unstarted=True)
    desk.commit()
    assert desk.leases(first) == []


def test_limits_hold_over_a_restart_also_for_groups_that_come_later() -> None:
    desk = limited(every_s=5.0)
    session = desk.session()
    desk.submit(2, group="a")
    desk.submit(1, group="b")
    desk.done(desk.lease(session))
    desk.done(desk.lease(session))
    desk.commit()
    after = desk.restarted()
    after.submit(1, group="b")
    session = after.session()
    assert after.leases(session) == []
    after.later(5.0)
    assert sorted(after.leases(session)) == [[2], [4]]


def test_a_retry_of_a_limited_group_waits_in_its_lane_also_after_a_restart() -> None:
    desk = limited(at_once=1)
    desk.submit(1, group="a")
    desk.fail(desk.lease(desk.session()), delay_s=0.0)
    desk.commit()
    after = desk.restarted()
    session = after.session()
    after.submit(1, group="a")
    lease = after.lease(session)
    assert (tasks(lease), lease.limited, after.leases(session)) == ([1], True, [])


# --- the pause after a restart ---


def test_nothing_is_given_until_the_known_workers_have_come_and_it_is_on_disk() -> None:
    desk = Desk()
    desk.submit(2)
    other = desk.session(worker="new")
    desk.broker.await_known_workers({"x", "y"}, 5.0)
    desk.session(worker="x")
    assert desk.broker.recovering
    assert not desk.broker.any_ready
    assert desk.broker.lease(other, desk.now) is None
    last = desk.session(worker="y")
    assert not desk.broker.recovering
    assert desk.leases(last) == [[1], [2]]


def test_a_worker_has_not_come_before_that_is_on_disk() -> None:
    desk = Desk()
    desk.submit(1)
    desk.session()
    session = desk.session()
    desk.broker.await_known_workers({"x"}, 5.0)
    session.worker = "x"
    desk.broker.enter(session)
    assert desk.broker.recovering
    desk.broker.rolled_back()
    assert desk.broker.recovering


def test_the_pause_is_over_after_its_time_by_itself() -> None:
    desk = Desk()
    desk.submit(1)
    session = desk.session()
    desk.broker.await_known_workers({"x"}, 5.0)
    desk.later(0.0)
    assert desk.broker.next_due == desk.now + 5.0
    desk.later(4.9)
    assert desk.leases(session) == []
    desk.later(0.1)
    assert desk.leases(session) == [[1]]
    assert desk.broker.next_due is None


def test_the_pause_begins_when_the_first_has_come() -> None:
    """Where the master's name is not there yet, nobody comes, and then all do at once."""
    desk = Desk()
    desk.submit(1)
    desk.broker.await_known_workers({"x", "y"}, 5.0)
    assert not desk.broker.recovering
    desk.later(60.0)
    assert desk.broker.next_due is None
    first = desk.session(worker="x")
    assert desk.broker.next_due is not None
    assert desk.broker.next_due <= desk.now
    desk.later(0.0)
    assert desk.broker.recovering
    assert desk.leases(first) == []
    desk.later(4.9)
    assert desk.leases(first) == []
    desk.later(0.1)
    assert desk.leases(first) == [[1]]


def test_nobody_is_expected_where_nobody_was_known() -> None:
    desk = Desk()
    desk.submit(1)
    desk.broker.await_known_workers(set(), 5.0)
    assert not desk.broker.recovering
    assert desk.leases(desk.session()) == [[1]]


def test_a_worker_that_did_not_come_is_not_waited_for_at_the_next_start() -> None:
    before = Desk()
    before.session(worker="x")
    desk = before.restarted()
    desk.broker.await_known_workers(desk.store.workers, 5.0)
    desk.session(worker="y")
    desk.later(0.0)
    desk.later(5.0)
    assert desk.restarted().store.workers == {"y"}


def test_a_session_that_has_left_gets_nothing() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.drop(session)
    assert desk.leases(session) == []


# --- workers on disk ---


def test_a_worker_is_known_on_disk_from_its_coming_to_its_going() -> None:
    desk = Desk()
    session = desk.session(worker="x")
    desk.session(worker="y")
    assert desk.store.reopen().workers == {"x", "y"}
    desk.drop(session)
    assert desk.broker.changes.must_commit is False
    desk.broker.committed()  # a turn that had nothing to write
    assert desk.broker.progress
    desk.commit()
    assert desk.store.reopen().workers == {"y"}
    assert not desk.broker.progress


def test_a_worker_that_comes_back_before_its_going_was_written_is_known() -> None:
    desk = Desk()
    desk.drop(desk.session(worker="x"))
    desk.broker.committed()
    session = desk.session(worker="x")
    assert desk.store.reopen().workers == {"x"}
    desk.commit()
    assert desk.store.reopen().workers == {"x"}
    desk.drop(session)
    desk.commit()
    assert desk.store.reopen().workers == set()


def test_a_worker_that_comes_and_goes_in_one_turn_is_not_known() -> None:
    desk = Desk()
    session = desk.session(worker="x")
    desk.drop(session)
    desk.commit()
    desk.broker.enter(session)
    desk.drop(session)
    desk.commit()
    assert desk.store.reopen().workers == set()
    assert counts(desk.run) == {}


def test_a_group_that_starts_at_once_waits_for_one_slot_and_not_for_all_other_work() -> None:
    """Slots at work have their next lease already, so no slot would ever be free for the group."""
    desk = Desk()
    limited = desk.new_run(per_group=GroupLimit(at_once=2))
    desk.submit(1, limited, group="a")
    desk.submit(99)
    first, second = desk.session(free=0), desk.session(free=0)
    assert desk.broker.lease(first, desk.now) is None, "it is held back"
    assert desk.lease(second).run is desk.run, "one session is, no more"
    assert desk.broker.lease(first, desk.now) is None
    first.free = 1
    assert desk.lease(first).run is limited
    first.free = 0
    assert desk.lease(first).run is desk.run, "nothing waits for a slot"


def test_a_group_does_not_wait_for_all_tasks_of_its_run_that_have_none() -> None:
    desk = Desk(per_group=GroupLimit(at_once=2))
    desk.submit(9, priority=1)
    desk.submit(1, group="a")
    desk.submit(99)
    session = desk.session(free=0)
    assert desk.leases(session) == [[n] for n in range(1, 10)], "a higher priority goes first"
    assert desk.broker.lease(session, desk.now) is None
    session.free = 1
    assert desk.leases(session, 1) == [[10]]


def test_a_session_that_wants_nothing_is_not_held_back_for_a_group() -> None:
    desk = Desk()
    limited = desk.new_run(per_group=GroupLimit(at_once=2))
    desk.submit(1, limited, group="a")
    desk.submit(99)
    full, other = desk.session(free=0), desk.session(free=0)
    assert desk.broker.lease(full, desk.now) is None
    full.wanted = 0
    assert desk.broker.lease(other, desk.now) is None, "the next one that asks is"
    desk.drop(other)
    desk.commit()
    full.wanted = 1
    assert desk.broker.lease(full, desk.now) is None

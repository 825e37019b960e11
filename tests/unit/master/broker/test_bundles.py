"""Small blocks are given together, as many as one lease may be; nothing else is."""

from __future__ import annotations

import pytest

from master.broker.leases.job_pace import FIRST_TASKS
from master.broker.leases.lease import Session
from master.broker.leases.leasing import BUNDLE
from master.broker.runs.run import AIM_S
from queue_manager import codec
from queue_manager.wire.records import GroupLimit
from tests.unit.master.desk import Desk

pytestmark = pytest.mark.usefixtures("apart")


def with_size(desk: Desk, size: int) -> Session:
    """A session, when a lease of the run may be so large."""
    desk.run.size = size
    return desk.session()


def held(desk: Desk, session: Session) -> list[int]:
    return [lease.held for lease in desk.broker.leases(session, desk.now)]


def test_blocks_of_one_task_are_given_together_up_to_the_size_of_a_lease() -> None:
    desk = Desk()
    for _ in range(40):
        desk.submit(1)
    assert held(desk, with_size(desk, 8)) == [1] * 5


def test_no_bundle_is_larger_than_the_most() -> None:
    desk = Desk()
    for _ in range(2 * BUNDLE):
        desk.submit(1)
    assert held(desk, with_size(desk, 1_000)) == [1] * BUNDLE


def test_a_session_that_asks_for_much_has_no_more_than_the_most_together() -> None:
    desk = Desk()
    for _ in range(4 * BUNDLE):
        desk.submit(1)
    session = with_size(desk, 1_000)
    assert [len(held(desk, session)) for _ in range(3)] == [BUNDLE, 1, 1]


def test_a_lease_of_more_than_half_the_size_is_given_alone() -> None:
    desk = Desk()
    desk.submit(10)
    desk.submit(10)
    assert held(desk, with_size(desk, 12)) == [10]


def test_the_share_of_the_others_is_left_to_them() -> None:
    desk = Desk()
    desk.session()
    for _ in range(10):
        desk.submit(1)
    assert sum(held(desk, with_size(desk, 1_000))) < 10


def test_a_tracked_task_is_given_alone_though_plain_tasks_wait_behind_it() -> None:
    """It may be what ends its worker: nobody is to be lost beside it in its lease's bundle."""
    desk = Desk()
    desk.submit(1)
    first = desk.session()
    desk.lease(first)
    desk.drop(first)
    desk.commit()
    for _ in range(9):
        desk.submit(1)
    session = with_size(desk, 100)
    (tracked,) = desk.broker.leases(session, desk.now)
    assert tracked.tracked is not None
    assert sum(held(desk, session)) > 1


@pytest.mark.parametrize("limit", [(2, 0.0), (None, 0.0), (1, 5.0)])
def test_a_task_that_starts_at_once_is_given_alone(limit: tuple[int | None, float]) -> None:
    desk = Desk(per_group=GroupLimit(*limit))
    desk.submit(1, group="a")
    for _ in range(9):
        desk.submit(1)
    assert held(desk, with_size(desk, 100)) == [1]


def test_tasks_of_groups_with_one_at_a_time_are_given_together() -> None:
    """One of each group, for the next of a group waits until its first one has ended."""
    desk = Desk(per_group=GroupLimit(at_once=1))
    for group in ("a", "a", "b", "c", "c"):
        desk.submit(1, group=group)
    for _ in range(3):
        desk.submit(1)
    leases = desk.broker.leases(with_size(desk, 100), desk.now)
    assert [lease.lane.group for lease in leases] == ["a", "b", "c", None]
    assert all(lease.may_wait for lease in leases)


@pytest.mark.parametrize(("at_once", "given"), [(1, 3), (2, 2)])
def test_only_with_one_at_a_time_a_task_is_given_to_slots_at_work(at_once: int, given: int) -> None:
    """Of two, the one that waits in its worker might start in a pause that the other asks for."""
    desk = Desk(per_group=GroupLimit(at_once=at_once))
    for group in "abcd":
        desk.submit(1, group=group)
    session = desk.session(free=2)
    assert sum(len(held(desk, session)) for _ in range(3)) == given


def of_groups(desk: Desk, groups: str) -> Desk:
    """Many tasks wait in each of these groups, and a lease may be large."""
    for group in groups:
        desk.submit(9, group=group)
    desk.run.size = 100
    return desk


def test_no_group_waits_in_a_worker_while_another_one_is_idle() -> None:
    """All of their tasks but one each count as waiting, and can't start."""
    desk = of_groups(Desk(per_group=GroupLimit(at_once=1)), "abcd")
    sessions = [desk.session() for _ in range(4)]
    assert [held(desk, session) for session in sessions] == [[1]] * 4


def test_groups_are_shared_by_the_slots_that_could_start_them() -> None:
    desk = of_groups(Desk(per_group=GroupLimit(at_once=1)), "abcdef")
    sessions = [desk.session(), desk.session()]
    assert [held(desk, session) for session in sessions] == [[1] * 3, [1]]


def test_a_slot_at_work_gets_no_group_that_an_idle_one_could_start() -> None:
    desk = of_groups(Desk(per_group=GroupLimit(at_once=1)), "ab")
    busy, idle = desk.session(free=0), desk.session(free=1)
    assert held(desk, busy) == []
    assert held(desk, idle) == [1]
    assert held(desk, busy) == [1], "nobody is idle any more: it would wait for ever else"


def test_tasks_that_take_less_than_handing_them_out_are_given_together_all_the_same() -> None:
    desk = of_groups(Desk(per_group=GroupLimit(at_once=1)), "abcd")
    desk.run.pace_s = 0.000_1
    sessions = [desk.session(), desk.session(), desk.session(), desk.session()]
    assert held(desk, sessions[0]) == [1] * 4


def test_a_lane_that_waits_does_not_hide_one_that_must_start_at_once() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.broker.set_limits(desk.run, {"b": GroupLimit(at_once=2)})
    desk.commit()
    for group in ("a", "b", "c"):
        desk.submit(1, group=group)
    session = with_size(desk, 100)
    found = [desk.broker.leases(session, desk.now) for _ in range(3)]
    groups = [[lease.lane.group for lease in leases] for leases in found]
    assert groups == [["a"], ["b"], ["c"]]


def test_a_stock_client_gets_one_task() -> None:
    desk = Desk("job")
    for _ in range(9):
        desk.submit(1)
    desk.run.size = 100
    assert held(desk, desk.session(stock=True)) == [1]


# --- several runs ---


def with_runs(count: int, tasks: int, took_s: float = 1e-6) -> Desk:
    """So many runs of one job, of which a task has taken so long in another run."""
    desk = Desk()
    desk.submit(1)
    session = desk.session()
    lease = desk.lease(session)
    assert desk.broker.done(session, lease.number, 0, 1, codec.encode_batch([0]), took_s)
    desk.drop(session)
    for _ in range(count):
        desk.submit(tasks, desk.new_run())
    return desk


def runs_of(desk: Desk, session: Session) -> list[tuple[int, int]]:
    """The runs of the next leases that are given together, and their tasks."""
    return [(one.run.id, one.held) for one in desk.broker.leases(session, desk.now)]


def test_a_new_run_begins_with_leases_as_large_as_the_pace_of_its_job_allows() -> None:
    desk = with_runs(1, 300)
    assert runs_of(desk, desk.session()) == [(2, FIRST_TASKS)]
    slow = with_runs(1, 300, took_s=AIM_S / 5)
    assert runs_of(slow, slow.session()) == [(2, 5)]


def test_a_job_or_a_version_that_is_not_known_begins_with_one_task() -> None:
    desk = with_runs(0, 0)
    other, changed = desk.new_run("other"), desk.new_run()
    changed.version = "changed"
    for run in other, changed:
        desk.submit(300, run)
    session = desk.session()
    assert [runs_of(desk, session) for _ in range(2)] == [[(other.id, 1)], [(changed.id, 1)]]


def test_short_runs_are_given_together_in_their_turn_while_there_are_more_than_slots() -> None:
    desk = with_runs(8, 10)
    desk.session(3)
    session = desk.session(1)
    assert runs_of(desk, session) == [(2, 10), (3, 10)]
    assert runs_of(desk, session) == [(4, 10)]  # six runs, four slots


def test_runs_are_given_together_only_as_far_as_they_are_short_together() -> None:
    desk = with_runs(8, 10, took_s=AIM_S / 25)
    assert runs_of(desk, desk.session()) == [(2, 10), (3, 10)]


def test_a_slow_run_counts_at_once_for_its_job_and_a_quick_one_bit_by_bit() -> None:
    desk = with_runs(8, 10)
    session = desk.session(4)
    slow, quick = (desk.broker.leases(session, desk.now)[0] for _ in range(2))
    results = codec.encode_batch([0] * 10)
    assert desk.broker.done(session, slow.number, 0, 10, results, 100.0)
    assert desk.broker.done(session, quick.number, 0, 10, results, 0.0)
    assert runs_of(desk, session)[0][1] == 1

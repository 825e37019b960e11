"""Small blocks are given together, as many as one lease may be; nothing else is."""

from __future__ import annotations

from master.broker.leases.lease import Session
from master.broker.leases.leasing import BUNDLE
from queue_manager.wire.records import GroupLimit
from tests.unit.master.desk import Desk


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


def test_a_limited_task_is_given_alone() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(1, group="a")
    for _ in range(9):
        desk.submit(1)
    assert held(desk, with_size(desk, 100)) == [1]


def test_a_stock_client_gets_one_task() -> None:
    desk = Desk("job")
    for _ in range(9):
        desk.submit(1)
    desk.run.size = 100
    assert held(desk, desk.session(stock=True)) == [1]

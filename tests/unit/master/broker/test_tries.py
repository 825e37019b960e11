"""What the broker tells of each try that has ended, and how tries are counted."""

from __future__ import annotations

import pytest

from master.broker.leases.lease import Session
from master.tries import Fate
from tests.unit.master.desk import WALL, Desk


@pytest.fixture
def desk() -> Desk:
    """A run of one task, which may fail often."""
    desk = Desk(attempts=3, losses=3)
    desk.submit(1)
    return desk


def again(desk: Desk, session: Session, **fields: object) -> None:
    """The task fails, and its pause is over."""
    assert desk.fail(desk.lease(session), **{"delay_s": 0.0, **fields})
    desk.commit()


def told(desk: Desk) -> list[tuple[int, Fate, str, float, float | None]]:
    """Its tries as they are on disk: number, fate, worker, seconds after the start, seconds."""
    return [
        (one.number, one.fate, one.worker, one.ended_at - WALL, one.took_s)
        for one in desk.store.read_tries(1, 1)
    ]


def test_failed_lost_and_done_tries_are_told_with_their_worker_and_seconds(desk: Desk) -> None:
    first, second = desk.session(name="a/1"), desk.session(name="b/2")
    desk.later(1.0)
    again(desk, first, took_s=0.25, evidence="trace", printed="out")
    desk.lease(first)
    desk.later(4.0)
    desk.drop(first)
    desk.commit()
    lease = desk.lease(second)
    desk.later(2.0)
    assert desk.broker.done(second, lease.number, 0, 1, b"L\x91\x00", 1.5)
    desk.commit()
    assert told(desk) == [
        (3, Fate.DONE, "b/2", 7.0, 1.5),
        (2, Fate.LOST, "a/1", 5.0, 4.0),
        (1, Fate.FAILED, "a/1", 1.0, 0.25),
    ]
    texts = [(one.error, one.evidence, one.printed) for one in desk.store.read_tries(1, 1)]
    lost = ("its lease was lost: a/1 ended", "", "")
    assert texts == [("", "", ""), lost, ("bad", "trace", "out")]


def test_a_worker_that_does_not_say_how_long_it_took_leaves_that_unknown(desk: Desk) -> None:
    again(desk, desk.session())
    assert [took_s for *_, took_s in told(desk)] == [None]


def test_a_retry_and_a_restart_do_not_set_the_number_of_a_try_back(desk: Desk) -> None:
    session = desk.session()
    for _ in range(3):
        again(desk, session)
    assert desk.run.dead == 1
    desk.broker.retry(desk.run, desk.wall)
    desk.commit()
    desk = desk.restarted()
    session = desk.session()
    again(desk, session)
    assert [number for number, *_ in told(desk)] == [4, 3, 2, 1]
    assert desk.fail(desk.lease(session), reject=True)
    desk.commit()
    assert [number for number, *_ in told(desk)] == [5, 4, 3, 2, 1]


def test_a_roll_back_does_not_count_a_try(desk: Desk) -> None:
    session = desk.session()
    again(desk, session)
    lease = desk.lease(session)
    assert desk.fail(lease, delay_s=0.0)
    desk.broker.rolled_back()
    assert desk.done(lease)
    desk.broker.rolled_back()
    assert desk.fail(lease, delay_s=0.0)
    desk.commit()
    assert [number for number, *_ in told(desk)] == [2, 1]


def test_a_task_that_is_done_at_once_has_no_try_and_one_that_was_delayed_has_one() -> None:
    desk = Desk()
    session = desk.session(name="a/1")
    desk.submit(1)
    desk.submit(1, delay_s=5.0)
    desk.done(desk.lease(session))
    desk.later(6.0)
    desk.done(desk.lease(session))
    desk.commit()
    assert desk.store.read_tries(1, 1) == []
    (one,) = desk.store.read_tries(1, 2)
    assert (one.number, one.fate, one.worker) == (1, Fate.DONE, "a/1")

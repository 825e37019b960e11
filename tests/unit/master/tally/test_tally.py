"""What becomes of tasks is counted by job, once it is on disk."""

from __future__ import annotations

from typing import Any

import pytest

from master.changes import CANCELLED
from master.tally.histogram import Histogram
from master.tally.labels import MOST_NAMES, OTHER
from master.tally.tally import JobTally
from tests.asked import block_states
from tests.unit.master.desk import Desk


def of(desk: Desk, job: str = "job") -> JobTally:
    return desk.broker.tally.of(job)


def became(desk: Desk) -> dict[str, int]:
    return dict(of(desk).became)


def values(found: Histogram) -> list[tuple[float, int]]:
    """The bounds with values, and how many."""
    bounds = [*found.bounds, float("inf")]
    return [(bound, n) for bound, n in zip(bounds, found.counts, strict=True) if n]


def test_tasks_are_counted_as_they_are_accepted_and_done() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(5)
    assert of(desk).new == 5
    desk.drain(session)
    assert became(desk) == {"done": 5}


def test_a_turn_that_is_undone_has_counted_nothing() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(2)
    lease = desk.lease(session)
    desk.stage(7)
    desk.done(lease)
    desk.broker.rolled_back()
    assert (of(desk).new, became(desk)) == (2, {})
    desk.done(lease)
    desk.commit()
    assert became(desk) == {"done": 1}


def test_a_failed_try_counts_as_failed_and_the_last_one_as_dead() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    desk.submit(1)
    desk.fail(desk.lease(session), delay_s=0.0)
    desk.commit()
    assert became(desk) == {"failed": 1}
    desk.fail(desk.lease(session))
    desk.commit()
    assert became(desk) == {"failed": 1, "dead": 1}


def test_a_rejected_task_is_dead_at_once() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    assert became(desk) == {"dead": 1}


def test_tasks_that_go_back_and_tasks_of_a_session_that_ends_are_counted() -> None:
    desk = Desk(losses=1)
    first, second = desk.session(), desk.session()
    desk.submit(2)
    desk.release(desk.lease(first))
    desk.commit()
    assert became(desk) == {"released": 1}
    desk.lease(second)
    desk.drop(second)
    desk.commit()
    assert became(desk) == {"released": 1, "dead": 1}
    assert of(desk).leases_lost == 1


def test_a_task_that_is_lost_and_waits_again_is_not_dead() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.lease(session)
    desk.drop(session)
    desk.commit()
    assert became(desk) == {"lost": 1}


def test_cancelled_tasks_are_counted_one_by_one_and_with_their_run() -> None:
    desk = Desk()
    desk.submit(10)
    blocks = block_states(desk.store, {1: (0, 10)}).values()
    desk.broker.cancel_tasks(desk.run, blocks, [(3, 5)])
    assert desk.commit().outcomes[0].results == CANCELLED
    assert became(desk) == {"cancelled": 2}
    desk.broker.cancel(desk.run, desk.wall)
    desk.commit()
    assert became(desk) == {"cancelled": 10}


def test_an_outcome_of_an_old_lease_is_not_counted() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    lease = desk.lease(session)
    desk.done(lease)
    assert not desk.done(lease, 0, 1)
    desk.commit()
    assert became(desk) == {"done": 1}


# --- seconds ---


def done_after(desk: Desk, wait_s: float, took_s: float, **fields: Any) -> None:
    """A task waits, runs, and its result comes."""
    session = desk.session()
    desk.submit(1, **fields)
    desk.later(wait_s)
    lease = desk.lease(session)
    desk.later(took_s)
    (start, stop), *_ = lease.open
    desk.broker.done(session, lease.number, start, stop, b"\x91\x00", took_s)
    desk.commit()


def test_a_task_has_waited_from_when_it_was_accepted_until_it_began() -> None:
    desk = Desk()
    done_after(desk, 20.0, 2.0)
    assert values(of(desk).waited) == [(30.0, 1)]
    assert of(desk).waited.sum_s == pytest.approx(20.0)
    assert values(of(desk).ran) == [(2.5, 1)]


def test_the_wait_of_a_delayed_task_begins_when_its_delay_is_over() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1, delay_s=100.0)
    desk.later(103.0)
    lease = desk.lease(session)
    desk.done(lease)
    desk.commit()
    assert of(desk).waited.sum_s == pytest.approx(3.0)


def test_the_wait_of_another_try_begins_when_its_pause_is_over() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.later(7.0)
    desk.fail(desk.lease(session), delay_s=50.0, took_s=0.5)
    desk.commit()
    assert (of(desk).waited.sum_s, of(desk).ran.sum_s) == (pytest.approx(6.5), 0.5)
    desk.later(54.0)
    desk.done(desk.lease(session))
    desk.commit()
    assert of(desk).waited.sum_s == pytest.approx(6.5 + 4.0)


def test_the_tasks_of_a_range_took_their_share_each() -> None:
    desk = Desk()
    session = desk.session()
    desk.run.size = 8
    desk.submit(8)
    lease = desk.lease(session)
    desk.broker.done(session, lease.number, 0, 8, b"\x98" + b"\x00" * 8, 4.0)
    desk.commit()
    assert values(of(desk).ran) == [(0.5, 8)]
    assert of(desk).ran.sum_s == pytest.approx(4.0)


def test_what_a_task_waited_is_known_after_a_restart() -> None:
    desk = Desk()
    desk.submit(1)
    desk.later(1.0)
    again = desk.restarted()
    again.later(19.0)
    session = again.session()
    again.done(again.lease(session))
    again.commit()
    assert of(again).waited.sum_s == pytest.approx(20.0)


def test_jobs_behind_the_first_ones_are_counted_together() -> None:
    desk = Desk()
    for n in range(MOST_NAMES + 5):
        desk.submit(1, desk.new_run(f"job{n}"))
    assert len(desk.broker.tally.jobs) == MOST_NAMES + 1
    assert of(desk, OTHER).new == 5

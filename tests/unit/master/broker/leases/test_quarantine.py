"""Quarantine: tasks that lost their workers again and again get one without neighbours."""

from __future__ import annotations

from master.broker.leases.lease import Session
from master.broker.leases.quarantine import EXCLUSIVE_S, RESERVE_S
from queue_manager.wire.records import GroupLimit
from tests.unit.master.desk import Desk, counts, tasks


def lose(desk: Desk, times: int = 1, session: Session | None = None) -> None:
    """The first task is lost with its worker so often."""
    for _ in range(times):
        session = desk.session()
        while 1 not in tasks(desk.lease(session)):
            pass
        desk.drop(session)
        desk.commit()


def quarantined(losses: int = 5, **options: object) -> Desk:
    """A run whose first task is a quarantined task and has two neighbours."""
    desk = Desk(losses=losses, **options)
    desk.submit(1)
    lose(desk, max(1, losses - 2))
    desk.submit(2)
    return desk


def test_a_task_is_a_quarantined_task_two_losses_before_its_end_and_not_earlier() -> None:
    desk = Desk(losses=5)
    desk.submit(1)
    lose(desk, 2)
    busy = desk.session()
    desk.submit(1)
    assert desk.leases(busy) == [[1], [2]]
    desk.drop(busy)
    desk.commit()
    session = desk.session()
    assert tasks(desk.lease(session)) == [1]
    assert desk.leases(session) == []


def test_where_few_losses_are_allowed_the_first_makes_a_quarantined_task() -> None:
    for losses in (2, 3):
        desk = quarantined(losses)
        session = desk.session()
        assert desk.leases(session) == [[1]]


def test_a_quarantined_task_goes_to_one_that_holds_nothing_and_gets_no_neighbours() -> None:
    desk = quarantined()
    busy, idle = desk.session(), desk.session()
    desk.run.size = 1
    assert tasks(desk.lease(idle)) == [1]
    assert desk.leases(idle) == []
    assert desk.leases(busy) == [[2], [3]]


def test_a_busy_session_is_passed_over_while_an_idle_one_waits() -> None:
    desk = quarantined()
    busy, idle = desk.session(wanted=0), desk.session()
    busy.leases[99] = object()  # type: ignore[assignment]
    assert desk.leases(busy) == [[2], [3]]
    assert desk.leases(idle) == [[1]]


def test_with_all_busy_one_is_kept_free_until_it_holds_nothing() -> None:
    desk = Desk(losses=3)
    desk.submit(1)
    lose(desk)
    busy, other = desk.session(), desk.session()
    for session in (busy, other):
        session.leases[-1] = object()  # type: ignore[assignment]
    desk.submit(2)
    assert desk.leases(busy) == []
    assert desk.leases(other) == [[2], [3]]
    assert desk.leases(busy) == []
    del busy.leases[-1]
    assert tasks(desk.lease(busy)) == [1]


def test_after_a_while_any_worker_will_do() -> None:
    desk = quarantined()
    busy = desk.session()
    busy.leases[-1] = object()  # type: ignore[assignment]
    assert desk.broker.next_due == desk.now + RESERVE_S
    assert desk.broker.lease(busy, desk.now) is None
    desk.later(RESERVE_S)
    assert tasks(desk.lease(busy)) == [1]


def test_neighbours_come_when_the_quarantined_task_has_ended_or_has_run_for_a_while() -> None:
    desk = quarantined()
    session = desk.session()
    lease = desk.lease(session)
    desk.done(lease)
    desk.commit()
    assert desk.leases(session) == [[2, 3]]
    desk = quarantined()
    session = desk.session()
    desk.lease(session)
    assert desk.broker.next_due == desk.now + EXCLUSIVE_S
    desk.later(EXCLUSIVE_S - 0.1)
    assert desk.leases(session) == []
    desk.later(0.1)
    assert desk.leases(session) == [[2], [3]]


def test_a_quarantined_task_is_not_offered_to_one_that_lacks_its_job() -> None:
    desk = quarantined()
    lacking, able = desk.session(), desk.session()
    lacking.lacks["job"] = "no numpy"
    assert desk.leases(lacking) == []
    assert desk.leases(able) == [[1]]


def test_one_that_is_kept_free_and_comes_to_lack_the_job_goes_on_with_others() -> None:
    desk = quarantined()
    other = desk.new_run("other")
    desk.submit(1, other)
    busy = desk.session()
    busy.leases[-1] = object()  # type: ignore[assignment]
    assert desk.leases(busy) == []
    busy.lacks["job"] = "no numpy"
    assert [lease.run for lease in [desk.lease(busy)]] == [other]


def test_one_that_is_kept_free_and_goes_is_replaced() -> None:
    desk = quarantined()
    first, second = desk.session(), desk.session()
    for session in (first, second):
        session.leases[-1] = object()  # type: ignore[assignment]
    assert desk.leases(first) == []
    assert desk.leases(second, 1) == [[2]]
    first.leases.clear()
    desk.drop(first)
    desk.commit()
    assert desk.leases(second) == []


def test_many_quarantined_tasks_that_nobody_may_take_do_not_hide_the_others() -> None:
    desk = Desk(losses=3)
    desk.submit(20)
    able = desk.new_run("able", losses=3)
    desk.submit(1, able)
    for _ in range(21):
        session = desk.session()
        while desk.broker.lease(session, desk.now):
            pass
        desk.drop(session)
        desk.commit()
    session = desk.session()
    session.lacks["job"] = "no numpy"
    assert desk.lease(session).run is able


def test_a_quarantined_task_of_a_full_group_waits_until_it_may_start() -> None:
    desk = Desk(losses=3, per_group=GroupLimit(at_once=1))
    desk.submit(1, group="a")
    lose(desk)
    desk.submit(1, group="a")
    first = desk.session()
    lease = desk.lease(first)
    assert tasks(lease) == [1]
    other = desk.session()
    assert desk.leases(other) == []
    desk.done(lease)
    desk.commit()
    assert desk.leases(other) == [[2]]


def test_a_quarantined_task_of_a_group_keeps_to_its_pause_and_to_free_slots() -> None:
    desk = Desk(losses=3, per_group=GroupLimit(every_s=5.0))
    desk.submit(1, group="a")
    lose(desk)
    idle, busy = desk.session(), desk.session(free=0)
    assert desk.leases(idle) == []
    desk.later(5.0)
    assert desk.leases(busy) == []
    assert desk.leases(idle) == [[1]]


def test_a_task_that_was_never_lost_is_not_in_quarantine() -> None:
    desk = Desk(losses=1)
    session = desk.session()
    desk.submit(2)
    desk.fail(desk.lease(session), delay_s=0.0)
    desk.later(0.0)
    assert desk.leases(session) == [[1], [2]]


def test_counts_are_right_while_quarantined_tasks_wait_are_leased_and_are_cancelled() -> None:
    desk = quarantined()
    assert counts(desk.run) == {"tasks": 3, "waiting": 3}
    session = desk.session()
    desk.lease(session)
    assert counts(desk.run) == {"tasks": 3, "waiting": 2, "leased": 1}
    desk = quarantined()
    desk.broker.cancel(desk.run, desk.wall)
    desk.commit()
    assert counts(desk.run) == {"tasks": 3, "cancelled": 3}
    assert not desk.broker.any_ready
    assert desk.broker.next_due is None


def test_a_quarantined_task_is_one_again_after_a_restart() -> None:
    desk = quarantined().restarted()
    session = desk.session()
    assert counts(desk.run) == {"tasks": 3, "waiting": 3}
    assert desk.leases(session) == [[1]]


def test_a_stock_client_gets_a_quarantined_task_and_more_in_its_round() -> None:
    """It may take several before it puts: kept without neighbours it would wait for ever."""
    desk = Desk("job", losses=5)
    desk.submit(1)
    lose(desk, 3)
    desk.submit(2)
    client = desk.session(0, stock=True)
    assert desk.leases(client) == [[1], [2], [3]]


def test_not_in_quarantine_is_kept_for_a_stock_client_that_holds_tasks() -> None:
    desk = Desk("job", losses=5)
    desk.submit(4)
    client = desk.session(0, stock=True)
    assert desk.leases(client, 1) == [[1]]
    lost = desk.session(0, stock=True)
    for _ in range(3):
        assert desk.leases(lost, 1) == [[2]]
        desk.drop(lost)
        desk.commit()
        lost = desk.session(0, stock=True)
    desk.drop(lost)
    desk.commit()
    assert desk.leases(client, 2) == [[3], [4]]
    assert desk.leases(client) == []
    desk.later(RESERVE_S)
    assert desk.leases(client) == [[2]]

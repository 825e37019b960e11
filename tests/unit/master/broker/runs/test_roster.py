"""The roster: a turn looks at runs with something to do alone, however many are active."""

from __future__ import annotations

import pytest

from master.broker.runs.run import Run
from queue_manager.wire.records import GroupLimit

from ...desk import Desk, held

MANY = 50


def many_idle(desk: Desk) -> list[Run]:
    """Active runs that have nothing waiting."""
    runs = [desk.new_run() for _ in range(MANY)]
    assert desk.leases(desk.session()) == []
    return runs


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs of which somebody asks what is next."""
    asked: list[Run] = []
    next_lane = Run.next_lane

    def counted(run: Run, *how: bool) -> object:
        asked.append(run)
        return next_lane(run, *how)

    monkeypatch.setattr(Run, "next_lane", counted)
    return asked


def test_a_lease_looks_at_no_run_that_has_nothing_to_lease(looked_at: list[Run]) -> None:
    desk = Desk()
    busy = many_idle(desk)[MANY // 2]
    desk.submit(2, busy)
    looked_at.clear()
    assert desk.lease(desk.session()).run is busy
    assert set(looked_at) == {busy}


def test_reading_ahead_looks_at_the_runs_that_are_low_alone() -> None:
    desk = Desk()
    many_idle(desk)
    again = desk.restarted()
    assert not again.broker.roster.low or again.broker.low_lanes() == []
    assert not again.broker.roster.low, "all was read, and nothing is behind it"


def test_runs_with_limited_groups_alone_are_woken() -> None:
    desk = Desk()
    many_idle(desk)
    limited = desk.new_run(per_group=GroupLimit(at_once=1))
    assert list(desk.broker.roster.limited) == [limited]


def test_runs_take_turns_when_tasks_came_to_all_of_them() -> None:
    desk = Desk()
    runs = [desk.new_run() for _ in range(3)]
    for run in (*runs, *runs):
        desk.submit(1, run)
    session = desk.session()
    assert [desk.lease(session).run for _ in range(6)] == [*runs, *runs]


def test_a_raised_limit_makes_a_run_ready_at_once() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(2, group="a")
    session = desk.session()
    assert len(desk.leases(session)) == 1
    desk.broker.set_limits(desk.run, {"a": GroupLimit(at_once=2)})
    desk.commit()
    assert desk.broker.any_ready
    assert len(desk.leases(session)) == 1


def test_a_retried_run_takes_turns_again_and_not_when_that_is_undone() -> None:
    desk = Desk(attempts=1)
    desk.submit(1)
    desk.broker.exhaust(desk.run)
    session = desk.session()
    desk.fail(desk.lease(session))
    desk.commit()
    assert not desk.run.active
    desk.broker.retry(desk.run, desk.wall)
    desk.broker.rolled_back()
    assert desk.run not in desk.broker.roster.low
    desk.broker.retry(desk.run, desk.wall)
    desk.commit()
    assert len(desk.leases(session)) == 1


def test_a_run_that_is_cancelled_and_forgotten_in_one_turn_gets_no_leases() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(3)
    desk.broker.cancel(desk.run, desk.wall)
    desk.broker.forget(desk.run)
    desk.commit()
    assert desk.leases(desk.session()) == []
    roster = desk.broker.roster
    assert not [*roster.rotation, *roster.low, *roster.limited]


def test_what_a_claim_gives_back_is_read_again_when_a_cancel_behind_it_is_undone() -> None:
    """The claim is undone while the run counts as cancelled, for its count was saved before."""
    before = Desk()
    for count in (1, 3):
        before.submit(count)
    old = before.session()
    claimed = [held(before.lease(old)) for _ in range(2)][1]
    desk = before.restarted()
    session, again = desk.session(), desk.session()
    desk.done(desk.lease(session))
    desk.claim(again, claimed)
    desk.broker.cancel(desk.run, desk.wall)
    desk.broker.rolled_back()
    desk.commit()
    assert desk.drain(session) == [2, 3, 4]

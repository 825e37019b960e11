"""Leases that go on over a restart of the master, or in a new session of their worker."""

from __future__ import annotations

import pytest

from master.broker.leases.lease import Lease, Session
from master.changes import Mishap
from queue_manager.wire.records import GroupLimit, HeldLease
from tests.unit.master.desk import Desk, counts, held, tasks


def leased(count: int = 8, size: int = 4, **fields: object) -> tuple[Desk, Lease]:
    """A run whose first tasks are leased."""
    desk = Desk(attempts=2)
    desk.submit(count, **fields)
    desk.run.size = size
    return desk, desk.lease(desk.session(worker="x"))


def rest(desk: Desk, session: Session) -> list[int]:
    """All the tasks that are still to be had, in their order."""
    return sorted(task for some in desk.leases(session) for task in some)


# --- over a restart of the master ---


def test_a_lease_goes_on_after_a_restart_and_nobody_else_gets_its_tasks() -> None:
    before, lease = leased()
    desk = before.restarted()
    session = desk.session()
    assert desk.claim(session, held(lease)) == [held(lease)]
    desk.commit()
    assert counts(desk.run) == {"tasks": 8, "waiting": 4, "leased": 4}
    assert rest(desk, desk.session()) == [5, 6, 7, 8]
    assert desk.done(session.leases[lease.number])
    desk.commit()
    assert desk.run.done == 4


def test_a_lease_goes_on_though_its_tasks_were_not_read_from_disk_yet() -> None:
    before, lease = leased()
    desk = before.restarted()
    desk.run.lane.window.unload()
    session = desk.session()
    assert desk.claim(session, held(lease)) == [held(lease)]
    desk.commit()
    assert rest(desk, desk.session()) == [5, 6, 7, 8]


def test_only_what_still_waits_goes_on() -> None:
    before, lease = leased()
    before.done(lease, 0, 1)
    before.fail(lease, 2, delay_s=0.0)
    before.commit()
    desk = before.restarted()
    (found,) = desk.claim(desk.session(), held(lease, (0, 4)))
    assert found.ranges == [(1, 2), (3, 4)]
    desk.commit()
    assert rest(desk, desk.session()) == [3, 5, 6, 7, 8]


def test_a_lease_of_which_nothing_waits_is_not_recognized() -> None:
    before, lease = leased()
    claim = held(lease)
    before.done(lease)
    before.commit()
    desk = before.restarted()
    assert desk.claim(desk.session(), claim) == []
    assert counts(desk.run) == {"tasks": 8, "waiting": 4, "done": 4}


@pytest.mark.parametrize(
    "wrong",
    [
        HeldLease(1 << 32 | 1, 9, 1, [(0, 4)]),
        HeldLease(1 << 32 | 1, 1, 99, [(0, 4)]),
        HeldLease(1 << 32 | 1, 1, 1, [(40, 44)]),
        HeldLease(2 << 32 | 1, 1, 1, [(0, 4)]),
        HeldLease(9 << 32 | 1, 1, 1, [(0, 4)]),
    ],
    ids=["run", "block", "range", "this epoch", "later epoch"],
)
def test_a_claim_of_what_there_is_not_or_was_not_before_the_restart_is_nothing(
    wrong: HeldLease,
) -> None:
    desk = leased()[0].restarted()
    assert desk.claim(desk.session(), wrong) == []
    assert desk.run.leased == 0


def test_a_claim_of_another_runs_block_or_of_an_ended_run_is_nothing() -> None:
    before, lease = leased()
    desk = before.restarted()
    other = desk.new_run("other")
    assert desk.claim(desk.session(), HeldLease(lease.number, other.id, 1, [(0, 1)])) == []
    desk.broker.cancel(desk.run, desk.wall)
    assert desk.claim(Session(77, 1), held(lease)) == []


def test_two_claims_of_the_same_lease_count_once() -> None:
    before, lease = leased()
    desk = before.restarted()
    session, other = desk.session(), desk.session()
    assert desk.claim(session, held(lease)) == [held(lease)]
    assert desk.claim(other, held(lease)) == []
    assert desk.claim(session, held(lease)) == []
    assert desk.run.leased == 4


def test_what_was_given_back_in_this_very_turn_is_not_claimed() -> None:
    before, lease = leased()
    desk = before.restarted()
    session, other = desk.session(), desk.session()
    desk.claim(session, held(lease))
    desk.commit()
    desk.broker.release(session, lease.number, 0, 2, "")
    desk.broker.done(session, lease.number, 2, 3, b"", 0.0)
    desk.broker.fail(session, lease.number, 3, Mishap("bad"), desk.now, desk.wall, delay_s=9.0)
    assert desk.claim(other, held(lease, (0, 4))) == []
    desk.commit()
    assert rest(desk, other) == [1, 2, 5, 6, 7, 8]


# --- tracked ---


def test_a_tracked_task_that_is_held_goes_on_with_its_attempts() -> None:
    before, lease = leased(size=1)
    before.fail(lease, delay_s=0.0)
    before.commit()
    again = before.lease(before.session())
    desk = before.restarted()
    session = desk.session()
    assert desk.claim(session, held(again)) == [held(again)]
    desk.commit()
    assert counts(desk.run) == {"tasks": 8, "waiting": 7, "leased": 1}
    assert 1 not in rest(desk, desk.session())
    desk.broker.fail(session, again.number, 0, Mishap("bad"), desk.now, desk.wall)
    desk.commit()
    assert desk.run.dead == 1


def test_a_tracked_task_that_was_recorded_for_a_lease_or_a_newer_one_is_not_claimed_by_it() -> None:
    before, lease = leased(size=1)
    claim = held(lease)
    before.fail(lease, delay_s=0.0)
    before.commit()
    again = before.lease(before.session())
    desk = before.restarted()
    assert desk.claim(desk.session(), claim) == []
    assert desk.claim(desk.session(), held(again)) == [held(again)]


def test_a_delayed_task_that_is_held_does_not_wait_for_its_delay_again() -> None:
    before = Desk()
    before.submit(2, delay_s=5.0)
    before.later(5.0)
    lease = before.lease(before.session())
    desk = before.restarted()
    session = desk.session()
    assert desk.claim(session, held(lease)) == [held(lease)]
    desk.commit()
    assert counts(desk.run) == {"tasks": 2, "waiting": 1, "leased": 1}
    assert rest(desk, desk.session()) == [2]


def test_of_two_tracked_tasks_that_one_claim_holds_neither_is_lost() -> None:
    before = Desk()
    before.submit(2, delay_s=1.0)
    before.later(1.0)
    session = before.session()
    assert before.leases(session) == [[1], [2]]
    numbers = list(session.leases)
    desk = before.restarted()
    first, liar = desk.session(), desk.session()
    desk.claim(first, *[HeldLease(n, 1, 1, [(i, i + 1)]) for i, n in enumerate(numbers)])
    desk.commit()
    desk.claim(liar, HeldLease(numbers[1] + 7, 1, 1, [(0, 2)]))
    desk.commit()
    assert desk.run.leased == sum(
        lease.held for s in desk.broker.sessions.values() for lease in s.leases.values()
    )
    assert counts(desk.run)["leased"] == 2


# --- who is right ---


def test_of_two_that_hold_the_same_the_newer_lease_is_right() -> None:
    before, old = leased()
    stale = held(old)
    before.drop(old.session)
    before.commit()
    new = before.lease(before.session())
    assert tasks(new) == [1]
    desk = before.restarted()
    assert desk.claim(desk.session(), held(new)) == [held(new)]
    assert desk.claim(desk.session(), stale) == []


def test_a_newer_lease_takes_its_tasks_from_an_older_one_that_came_first() -> None:
    before, old = leased(size=4)
    before.release(old)
    before.commit()
    before.run.size = 2
    new = before.lease(before.session())
    desk = before.restarted()
    stale, right = desk.session(), desk.session()
    stale_claim = HeldLease(old.number, 1, 1, [(0, 4)])
    assert desk.claim(stale, stale_claim) == [stale_claim]
    desk.commit()
    assert desk.claim(right, held(new)) == [held(new)]
    desk.commit()
    assert desk.broker.superseded == []
    assert stale.leases[old.number].open == [(2, 4)]
    assert counts(desk.run)["leased"] == 4
    newest = HeldLease(new.number + 5, 1, 1, [(0, 4)])
    assert desk.claim(desk.session(), newest) == [newest]
    desk.commit()
    assert desk.broker.superseded == [(stale, old.number), (right, new.number)]
    assert counts(desk.run)["leased"] == 4


# --- limits and lanes ---


def test_a_limited_lease_that_goes_on_counts_for_its_group() -> None:
    before = Desk(per_group=GroupLimit(at_once=1))
    before.submit(2, group="a")
    lease = before.lease(before.session())
    desk = before.restarted()
    session, other = desk.session(), desk.session()
    assert desk.claim(session, held(lease)) == [held(lease)]
    desk.commit()
    assert desk.leases(other) == []
    desk.done(session.leases[lease.number])
    desk.commit()
    assert desk.leases(other) == [[2]]


# --- a claim that can't be made durable ---


@pytest.mark.parametrize("tracked", [False, True])
def test_a_claim_that_is_rolled_back_leaves_its_tasks_to_all(tracked: bool) -> None:
    before, lease = leased(size=1)
    if tracked:
        before.fail(lease, delay_s=0.0)
        before.commit()
        lease = before.lease(before.session())
    desk = before.restarted()
    session, other = Session(77, 1, worker="x"), desk.session()
    before_it = counts(desk.run)
    desk.broker.enter(session)
    desk.claim(session, held(lease))
    desk.broker.rolled_back()
    assert session.leases == {}
    desk.refill()
    assert counts(desk.run) == before_it
    assert rest(desk, other) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.usefixtures("apart")
def test_a_hello_that_is_rolled_back_gives_back_what_gave_way_to_it_in_between() -> None:
    """Counts and positions are put back in the order in which they were changed."""
    before = Desk()
    for _ in range(3):
        before.submit(4)
    number = before.store.epoch << 32
    desk = before.restarted()
    there, session, late = desk.session(), Session(77, 1, worker="x"), desk.session()
    stale = HeldLease(number + 5, 1, 2, [(0, 4)])
    assert desk.claim(there, stale) == [stale]
    desk.commit()
    before_it = counts(desk.run)
    held_by = [(1, (0, 2)), (1, (2, 4)), (2, (1, 3)), (3, (0, 1)), (3, (1, 4))]
    hello = [HeldLease(number + 10 + at, 1, block, [r]) for at, (block, r) in enumerate(held_by)]
    desk.broker.enter(session)
    assert desk.claim(session, *hello) == hello
    assert counts(desk.run)["leased"] == 12
    desk.broker.rolled_back()
    desk.refill()
    assert (counts(desk.run), session.leases) == (before_it, {})
    assert there.leases[stale.number].open == [(0, 4)]
    assert desk.claim(late, HeldLease(number + 1, 1, 2, [(0, 4)])) == []
    assert rest(desk, late) == [1, 2, 3, 4, 9, 10, 11, 12]


@pytest.mark.usefixtures("apart")
def test_very_many_leases_of_a_hello_have_one_undo_together() -> None:
    undos = set()
    for count in (1, 50):
        before = Desk()
        for _ in range(count):
            before.submit(1)
        desk, number = before.restarted(), before.store.epoch << 32
        old, new = (Session(id, 1, worker="x") for id in (77, 78))
        held = [HeldLease(number + n, 1, n, [(0, 1)]) for n in range(1, count + 1)]
        desk.broker.enter(old)
        assert desk.claim(old, *held) == held
        claimed = len(desk.broker.journal._undo)
        desk.commit()
        desk.broker.enter(new)
        assert list(desk.broker.resume(old, new, held).values()) == held
        undos.add((claimed, len(desk.broker.journal._undo)))
    assert len(undos) == 1


# --- a new session of a worker that the master has not given up ---


def test_a_worker_goes_on_in_a_new_session_with_what_it_holds() -> None:
    desk, lease = leased()
    old, session = lease.session, Session(77, 1, worker="x")
    desk.broker.enter(session)
    kept = desk.broker.resume(lease.session, session, [held(lease, (1, 3))])
    assert kept == {lease.number: held(lease, (1, 3))}
    desk.commit()
    assert set(desk.broker.sessions) == {77}
    assert (lease.session, old.leases, desk.run.tracked) == (session, {}, 0)
    assert counts(desk.run) == {"tasks": 8, "waiting": 6, "leased": 2}
    assert not desk.broker.done(old, lease.number, 1, 2, b"", 0.0)
    assert rest(desk, desk.session()) == [1, 4, 5, 6, 7, 8]
    assert desk.store.reopen().workers == {"x"}


def test_what_a_worker_never_got_is_offered_again_uncharged() -> None:
    desk, lease = leased(size=1)
    desk.fail(lease, delay_s=0.0)
    desk.commit()
    again = desk.lease(lease.session)
    session = Session(77, 1, worker="x")
    desk.broker.enter(session)
    assert desk.broker.resume(again.session, session, []) == {}
    desk.commit()
    found = desk.lease(session)
    assert found.tracked is not None
    assert (tasks(found), found.tracked.attempts, found.tracked.losses) == ([1], 1, 0)


def test_a_new_session_that_is_rolled_back_leaves_the_old_one_as_it_was() -> None:
    desk, lease = leased()
    old, session = lease.session, Session(77, 1, worker="x")
    before = counts(desk.run)
    desk.broker.enter(session)
    desk.broker.resume(old, session, [held(lease, (0, 2))])
    desk.broker.rolled_back()
    assert (lease.session, session.leases, list(desk.broker.sessions)) == (old, {}, [old.id])
    assert counts(desk.run) == before
    assert desk.done(lease, 0, 4)


def test_a_new_session_has_no_neighbours_for_its_suspect_either() -> None:
    desk = Desk(losses=3)
    desk.submit(1)
    lost = desk.session()
    desk.lease(lost)
    desk.drop(lost)
    desk.commit()
    desk.submit(1)
    lease = desk.lease(desk.session(worker="x"))
    session = Session(77, 1, worker="x", wanted=9)
    desk.broker.enter(session)
    desk.broker.resume(lease.session, session, [held(lease)])
    desk.commit()
    assert desk.leases(session) == []
    desk.done(lease)
    desk.commit()
    assert desk.leases(session) == [[2]]

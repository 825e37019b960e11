"""Whole runs in the broker: they end, and are retried, cancelled, forgotten, pruned and changed."""

from __future__ import annotations

import pytest

from master.broker.runs.run import Run
from master.changes import QUEUE_RUN, CollectCursor
from queue_manager.errors import RefusedError
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.asked import run_of_key
from tests.unit.master.desk import NOW, WALL, Desk, counts


def ended(desk: Desk, dead: int = 0, done: int = 0, key: str | None = None) -> Run:
    """A run that has ended, with so many dead letters and results."""
    run = desk.new_run("ended", key, attempts=1)
    session = desk.session()
    desk.submit(dead + done, run)
    for number in range(dead + done):
        lease = desk.lease(session)
        (desk.fail if number < dead else desk.done)(lease)
    desk.broker.exhaust(run)
    desk.drop(session)
    desk.commit()
    assert not run.active
    return run


# --- the end ---


def test_a_run_ends_with_its_last_task_in_the_same_changes() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.broker.exhaust(desk.run)
    desk.commit()
    assert desk.run.active
    desk.done(desk.lease(session))
    desk.broker.finish_runs(WALL + 5)
    changes = desk.broker.changes
    assert changes.outcomes
    assert (changes.runs[1].state, changes.runs[1].ended_at) == ("done", WALL + 5)
    assert changes.counts[1].done == 1


def test_a_run_with_a_dead_letter_has_failed_and_one_without_tasks_is_done() -> None:
    desk = Desk()
    assert ended(desk, dead=1, done=1).state == "failed"
    assert ended(desk).state == "done"


def test_an_ended_run_takes_no_turns_and_is_not_read_after_a_restart() -> None:
    desk = Desk()
    run = ended(desk, done=1)
    assert run not in desk.broker.roster.rotation
    assert [r.id for r, _ in desk.restarted().broker.low_lanes()] == []
    assert desk.restarted().broker.runs[run.id].state == "done"


def test_the_queue_run_never_ends() -> None:
    desk = Desk()
    run = desk.broker.runs[QUEUE_RUN]
    desk.broker.exhaust(run)
    desk.commit()
    assert run.active
    for refused in (desk.broker.cancel, lambda run, wall: desk.broker.forget(run)):
        with pytest.raises(RefusedError):
            refused(run, WALL)


# --- cancel ---


def test_a_cancelled_run_ends_with_all_that_waits_and_all_its_leases() -> None:
    desk = Desk(attempts=2)
    one, two = desk.session(), desk.session()
    desk.submit(9)
    desk.submit(1, delay_s=60.0)
    desk.done(desk.lease(one))
    desk.run.size = 1
    desk.fail(desk.lease(one), reject=True)
    desk.fail(desk.lease(one), delay_s=0.0)
    desk.later(0.0)
    leases = [desk.lease(one), desk.lease(two), desk.lease(two)]
    other = desk.new_run("other")
    desk.submit(1, other)
    other_lease = desk.lease(one)
    while other_lease.run is not other:
        leases.append(other_lease)
        other_lease = desk.lease(one)
    desk.stage(2)
    ended = desk.broker.cancel(desk.run, WALL + 1)
    assert {number for numbers in ended.values() for number in numbers} == {
        lease.number for lease in leases
    }
    assert all(lease.number in ended[lease.session] for lease in leases)
    desk.commit()
    assert counts(desk.run) == {"tasks": 12, "done": 1, "dead": 1, "cancelled": 10}
    assert (desk.run.state, desk.run.ended_at) == ("cancelled", WALL + 1)
    assert desk.leases(one) == []
    assert not desk.done(leases[0], 0, 1)
    assert not desk.release(leases[1])
    desk.later(60.0)
    assert not desk.broker.any_ready
    assert counts(other) == {"tasks": 1, "leased": 1}
    after = desk.restarted()
    assert counts(after.run) == counts(desk.run)
    assert [after.lease(after.session()).run.id] == [other.id]
    assert not after.broker.any_ready


def test_what_ended_in_the_turn_of_the_cancel_counts_as_it_ended() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(4)
    desk.run.size = 1
    done, failed, back = (desk.lease(session) for _ in range(3))
    desk.done(done)
    desk.fail(failed)
    desk.release(back)
    desk.broker.cancel(desk.run, WALL)
    desk.commit()
    assert counts(desk.run) == {"tasks": 4, "done": 1, "cancelled": 3}
    assert desk.broker.next_due is None
    assert not desk.broker.any_ready


def test_a_cancel_that_is_rolled_back_was_none() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(4)
    lease = desk.lease(session)
    desk.broker.cancel(desk.run, WALL)
    desk.broker.rolled_back()
    assert counts(desk.run) == {"tasks": 4, "waiting": 3, "leased": 1}
    assert desk.done(lease)
    assert len(desk.leases(session)) == 1


def test_what_has_ended_is_not_cancelled() -> None:
    desk = Desk()
    with pytest.raises(RefusedError, match="done"):
        desk.broker.cancel(ended(desk, done=1), WALL)


# --- forget and prune ---


def test_a_forgotten_run_is_no_more_once_that_is_on_disk() -> None:
    desk = Desk()
    run = ended(desk, done=1, key="k")
    desk.broker.forget(run)
    assert run.id in desk.broker.runs
    desk.broker.rolled_back()
    assert run.id in desk.broker.runs
    desk.broker.forget(run)
    desk.commit()
    assert run.id not in desk.broker.runs
    assert run_of_key(desk.store, "k") is None
    after = desk.restarted()
    assert run.id not in after.broker.runs
    assert after.new_run().id > run.id


def test_a_run_that_has_not_ended_is_not_forgotten_or_pruned() -> None:
    desk = Desk()
    for refused in (desk.broker.forget, desk.broker.prune):
        with pytest.raises(RefusedError, match="has not ended"):
            refused(desk.run)


def test_progress_of_a_run_that_is_forgotten_does_not_bring_it_back() -> None:
    desk = Desk()
    run = ended(desk, done=1)
    desk.broker.collected(run, CollectCursor(1), 0)
    desk.broker.forget(run)
    assert run.id not in desk.commit().runs
    assert not desk.broker.progress
    assert run.id not in desk.restarted().broker.runs


def test_a_pruned_run_keeps_its_key_and_one_without_goes() -> None:
    desk = Desk()
    keyed, other = ended(desk, done=1, key="k"), ended(desk, done=1)
    desk.broker.prune(keyed)
    desk.broker.prune(other)
    desk.commit()
    assert (keyed.state, other.id in desk.broker.runs) == ("pruned", False)
    assert run_of_key(desk.store, "k") == keyed.id
    desk.broker.prune(keyed)
    assert not desk.broker.changes.must_commit
    assert desk.restarted().broker.runs[keyed.id].state == "pruned"


# --- the job's file changes ---


def test_a_changed_job_counts_for_what_is_tried_from_then_on() -> None:
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(2)
    desk.broker.set_code(desk.run, "v2", RunOptions(attempts=5))
    desk.commit()
    desk.fail(desk.lease(session), delay_s=0.0)
    assert desk.broker.changes.tracked[1, 1].state == "waiting"
    desk.commit()
    after = desk.restarted().run
    assert (after.version, after.options.attempts) == ("v2", 5)


def test_a_changed_limit_holds_at_once_for_groups_that_wait() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    session = desk.session()
    desk.submit(4, group="a")
    assert desk.leases(session) == [[1]]
    desk.broker.set_code(desk.run, "v2", RunOptions(per_group=GroupLimit(at_once=3)))
    assert desk.leases(session) == []
    desk.commit()
    assert desk.leases(session) == [[2], [3]]


def test_a_limit_that_is_taken_away_leaves_the_groups_without_one_also_after_a_restart() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.submit(3, group="a")
    desk.broker.set_code(desk.run, "v2", RunOptions())
    desk.commit()
    assert len(desk.leases(desk.session())) == 3
    after = desk.restarted()
    assert sorted(after.drain(after.session())) == [1, 2, 3]


def test_a_limit_that_comes_later_does_not_hide_what_was_stored_without_groups() -> None:
    desk = Desk()
    desk.submit(2, group="a")
    desk.broker.set_code(desk.run, "v2", RunOptions(per_group=GroupLimit(at_once=1)))
    desk.commit()
    desk.submit(1, group="a")
    after = desk.restarted()
    assert sorted(after.drain(after.session())) == [1, 2, 3]


# --- delays and the clock ---


@pytest.mark.parametrize(
    ("jump_s", "left_s"),
    [(0.0, 60.0), (-86_400.0, 60.0), (20.0, 40.0), (86_400.0, 0.0)],
    ids=["same", "back", "later", "forward"],
)
def test_a_delay_that_is_read_from_disk_is_never_longer_than_it_was(
    jump_s: float, left_s: float
) -> None:
    desk = Desk()
    desk.submit(1, delay_s=60.0)
    desk.wall += jump_s
    desk.store.cap_delays(desk.wall)
    after = desk.restarted()
    session = after.session()
    if left_s:
        assert after.broker.next_due == pytest.approx(NOW + left_s)
        assert counts(after.run) == {"tasks": 1, "delayed": 1}
        after.later(left_s)
    assert after.leases(session) == [[1]]


def test_a_run_that_is_just_being_forgotten_is_not_retried() -> None:
    """Both in one turn: its dead letters would be leased, and be of no run."""
    desk = Desk()
    run = ended(desk, dead=1)
    desk.broker.forget(run)
    with pytest.raises(RefusedError, match=f"run {run.id} was forgotten"):
        desk.broker.retry(run, WALL)
    desk.commit()
    assert run not in desk.broker.roster.rotation
    assert run.id not in desk.broker.runs


def test_a_retry_of_an_ended_run_keeps_the_pause_of_its_groups() -> None:
    desk = Desk(attempts=1, per_group=GroupLimit(every_s=10.0))
    session = desk.session()
    desk.submit(1, group="g")
    desk.broker.exhaust(desk.run)
    desk.fail(desk.lease(session))
    desk.commit()
    assert desk.run.state == "failed"
    desk.broker.retry(desk.run, WALL)
    desk.commit()
    assert desk.leases(session) == []
    desk.later(10.0)
    assert desk.leases(session) == [[1]]

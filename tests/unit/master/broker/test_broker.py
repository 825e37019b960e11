"""The broker: tasks are seen once they are on disk, settled once, retried, and never lost."""

from __future__ import annotations

import pytest

from master.broker.leases.lease import Session
from master.broker.tasks import FIRST_BACKOFF_S, LONGEST_BACKOFF_S
from master.changes import QUEUE_RUN, Changes, CollectCursor, Delivered
from queue_manager.job.raised import WORKER_DIED
from queue_manager.wire.records import GroupLimit, RunOptions
from tests.unit.master.desk import NOW, WALL, Desk, block, counts, tasks

# --- tasks come ---


def test_a_task_is_leased_only_after_its_commit() -> None:
    desk = Desk()
    session = desk.session()
    desk.stage(3)
    assert desk.leases(session) == []
    assert counts(desk.run) == {"tasks": 3, "staged": 3}
    desk.commit()
    assert counts(desk.run) == {"tasks": 3, "waiting": 3}
    assert tasks(desk.lease(session)) == [1]


@pytest.mark.usefixtures("apart")
def test_tasks_are_numbered_in_their_run_and_blocks_over_all_runs() -> None:
    desk = Desk()
    other = desk.new_run("other")
    for run, count in ((desk.run, 3), (other, 2), (desk.run, 4)):
        desk.stage(count, run)
    blocks = [(b.id, b.run, b.first, b.count) for b in desk.broker.changes.blocks]
    assert blocks == [(1, 1, 1, 3), (2, 2, 1, 2), (3, 1, 4, 4)]


def test_only_tasks_that_tasks_gave_without_a_key_count_as_accepted() -> None:
    desk = Desk()
    desk.stage(3)
    desk.stage(2, keys=["a", "b"])
    desk.broker.submit(desk.run, block(4), NOW, WALL, False)
    assert desk.run.accepted == 3
    assert desk.broker.changes.keys == {1: {"a", "b"}}


def test_a_group_is_stored_only_where_groups_are_limited() -> None:
    for limit, group in ((None, None), (GroupLimit(2), "a")):
        desk = Desk(per_group=limit)
        desk.stage(1, group="a")
        assert desk.broker.changes.blocks[0].group == group


def test_a_delayed_task_waits_for_its_time() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(2, delay_s=5.0, priority=3)
    assert counts(desk.run) == {"tasks": 2, "delayed": 2}
    record = desk.store.read_tracked(1, None, None, 9)[0][1]
    assert (record.task, record.delay_s, record.due_at, record.lease) == (2, 5.0, WALL + 5.0, 0)
    assert desk.broker.next_due == NOW + 5.0
    desk.later(4.9)
    assert desk.leases(session) == []
    desk.later(0.1)
    assert counts(desk.run) == {"tasks": 2, "waiting": 2}
    assert desk.leases(session) == [[1], [2]]
    assert desk.broker.next_due is None


# --- outcomes ---


def test_an_outcome_is_taken_once() -> None:
    desk = Desk()
    desk.submit(1)
    lease = desk.lease(desk.session())
    assert desk.done(lease, 0, 1)
    assert not desk.done(lease, 0, 1)
    assert not desk.fail(lease, 0)
    assert not desk.broker.release(lease.session, lease.number, 0, 1, "")
    assert desk.broker.refused == 3
    desk.commit()
    assert counts(desk.run) == {"tasks": 1, "done": 1}
    assert len(desk.store.read_outcomes(1, 0, 10**6)[0]) == 1


def test_an_outcome_of_another_sessions_lease_is_refused() -> None:
    desk = Desk()
    desk.submit(1)
    lease = desk.lease(desk.session())
    assert not desk.broker.done(desk.session(), lease.number, 0, 1, b"", 0.0)
    assert counts(desk.run) == {"tasks": 1, "leased": 1}


@pytest.mark.parametrize(
    ("start", "stop", "left"),
    [
        (0, 3, [(3, 4)]),
        (1, 1, [(0, 1), (2, 4)]),
        (2, 1, [(0, 1), (2, 4)]),
        (-1, 1, [(2, 4)]),
        (1, 9, [(0, 1)]),
        (-9, 99, []),
    ],
)
def test_an_outcome_outside_of_its_lease_is_refused_and_what_it_covers_goes_back(
    start: int, stop: int, left: list[tuple[int, int]]
) -> None:
    desk = Desk(attempts=1)
    desk.submit(8)
    desk.run.size = 4
    lease = desk.lease(desk.session())
    assert desk.done(lease, 1, 2)
    assert not desk.done(lease, start, stop)
    assert lease.open == left
    desk.commit()
    held = sum(high - low for low, high in left)
    assert counts(desk.run) == {"tasks": 8, "waiting": 7 - held, "done": 1} | (
        {"leased": held} if held else {}
    )
    assert desk.run.tracked == 0


def test_a_failed_task_is_retried_alone_after_a_delay_and_its_neighbours_are_not_charged() -> None:
    desk = Desk(attempts=3)
    session = desk.session()
    desk.submit(4)
    desk.run.size = 4
    lease = desk.lease(session)
    desk.fail(lease, 1)
    assert desk.done(lease, 0, 1)
    assert desk.done(lease, 2, 4)
    desk.commit()
    assert counts(desk.run) == {"tasks": 4, "done": 3, "delayed": 1}
    due = desk.broker.next_due
    assert due is not None
    assert NOW <= due <= NOW + FIRST_BACKOFF_S
    desk.later(due - NOW)
    again = desk.lease(session)
    assert tasks(again) == [2]
    assert again.tracked is not None
    assert again.tracked.attempts == 1


def test_back_off_is_a_random_time_below_a_ceiling_that_doubles_up_to_a_longest() -> None:
    longest: dict[int, float] = {}
    for seed in range(40):
        desk = Desk(attempts=14)
        desk.broker.tasks._rng.seed(seed)
        desk.submit(1)
        session = desk.session()
        for attempt in range(1, 13):
            desk.fail(desk.lease(session))
            delay_s = desk.broker.changes.tracked[1, 1].delay_s
            longest[attempt] = max(longest.get(attempt, 0.0), delay_s)
            desk.later(LONGEST_BACKOFF_S)
    ceilings = {n: min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (n - 1)) for n in longest}
    assert all(0.7 * ceilings[n] < most <= ceilings[n] for n, most in longest.items())
    assert ceilings[12] == LONGEST_BACKOFF_S


def test_a_task_is_a_dead_letter_after_its_last_attempt_and_at_once_when_rejected() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    session.name = "host/1"
    desk.submit(2)
    desk.fail(desk.lease(session), reject=True, evidence="why", printed="before", delay_s=9.0)
    record = desk.broker.changes.tracked[1, 1]
    assert (record.state, record.evidence, record.printed) == ("dead", "why", "before")
    assert (record.worker, record.attempts, record.error) == ("host/1", 1, "bad")
    for _ in range(2):
        lease = desk.lease(session)
        desk.fail(lease, delay_s=0.0)
        assert desk.broker.changes.tracked[1, 2].lease == lease.number
        desk.later(0.0)
    assert counts(desk.run) == {"tasks": 2, "dead": 2}
    assert desk.broker.next_due is None


def test_the_last_attempt_that_succeeds_is_a_result_and_not_a_tracked_task_any_more() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    desk.submit(1)
    desk.fail(desk.lease(session), delay_s=0.0)
    desk.later(0.0)
    desk.done(desk.lease(session))
    desk.commit()
    assert (counts(desk.run), desk.run.tracked) == ({"tasks": 1, "done": 1}, 0)
    assert desk.store.read_tracked(1, None, None, 9) == ([], None)
    assert counts(desk.restarted().run) == {"tasks": 1, "done": 1}


def test_staged_attempts_are_those_with_the_one_of_this_turn() -> None:
    desk = Desk(attempts=9)
    session = desk.session()
    desk.submit(1)
    for attempt in (1, 2):
        lease = desk.lease(session)
        assert desk.broker.staged_attempts(lease, 0) == 0
        desk.fail(lease, delay_s=0.0)
        assert desk.broker.staged_attempts(lease, 0) == attempt
        desk.later(0.0)


def test_a_result_without_a_lease_is_an_outcome_of_no_task_of_the_queue_run() -> None:
    desk = Desk()
    desk.broker.deliver(b"\x91\x01")
    (outcome,) = desk.commit().outcomes
    assert (outcome.run, outcome.block, outcome.stop) == (QUEUE_RUN, 0, 1)
    assert counts(desk.broker.runs[QUEUE_RUN]) == {}
    assert desk.broker.runs[QUEUE_RUN].last_seq == 1


# --- sessions end ---


def test_a_dropped_sessions_tasks_are_offered_at_once_alone_and_not_charged() -> None:
    desk = Desk(attempts=1)
    session, other = desk.session(), desk.session()
    session.name = "host/1"
    desk.submit(4)
    desk.run.size = 4
    lease = desk.lease(session)
    lost = tasks(lease)
    desk.drop(session)
    record = desk.broker.changes.tracked[1, 1]
    assert (record.attempts, record.losses, record.worker) == (0, 1, "host/1")
    desk.commit()
    assert desk.run.leased == 0
    assert desk.leases(other, len(lost)) == [[n] for n in lost]
    assert not desk.done(lease, 0, 1)


def test_a_session_is_dropped_once() -> None:
    desk = Desk()
    desk.submit(1)
    session = desk.session()
    desk.lease(session)
    desk.drop(session)
    desk.commit()
    desk.drop(session)
    assert not desk.broker.changes.must_commit


def test_the_last_loss_makes_a_dead_letter_that_says_so() -> None:
    desk = Desk(losses=2)
    desk.submit(1)
    for _ in range(2):
        session = desk.session()
        desk.lease(session)
        desk.drop(session)
        record = desk.broker.changes.tracked[1, 1]
        desk.commit()
    assert record.state == "dead"
    assert "2 times" in record.error
    assert record.raised == WORKER_DIED
    assert counts(desk.run) == {"tasks": 1, "dead": 1}


# --- the end of a turn ---


def test_a_roll_back_restores_counts_leases_runs_and_sessions() -> None:
    desk = Desk()
    session, dropped = desk.session(), desk.session(3, worker="x")
    desk.submit(16)
    desk.submit(1, delay_s=0.5)
    desk.later(0.5)
    desk.run.size = 4
    tracked, lease, lost = desk.lease(session), desk.lease(session), desk.lease(dropped)
    assert tracked.tracked is not None
    before = counts(desk.run), desk.run.tracked, desk.run.tracked_leased, set(desk.broker.sessions)
    slots = desk.broker.attendance._slots
    desk.done(lease, 0, 1)
    desk.fail(lease, 2)
    desk.broker.release(session, lease.number, 1, 2, "")
    desk.fail(tracked)
    desk.drop(dropped)
    desk.stage(2)
    desk.stage(2, delay_s=1.0)
    other = desk.broker.start_run("other", [], None, RunOptions(), WALL)
    desk.broker.exhaust(desk.run)
    newcomer = Session(99, 5, worker="y")
    desk.broker.enter(newcomer)
    desk.broker.set_code(desk.run, "new", RunOptions(attempts=9))
    desk.broker.cancel(desk.run, WALL)
    desk.broker.finish_runs(WALL)
    desk.broker.rolled_back()
    after = counts(desk.run), desk.run.tracked, desk.run.tracked_leased, set(desk.broker.sessions)
    assert after == before
    assert desk.broker.attendance._slots == slots
    assert other.id not in desk.broker.runs
    assert other not in desk.broker.roster.rotation
    assert (desk.run.exhausted, desk.run.version, desk.run.options.attempts) == (False, "", 3)
    assert (desk.run.state, desk.run.accepted) == ("active", 17)
    assert (tracked.tracked.attempts, tracked.tracked.due_at) == (0, WALL + 0.5)
    assert desk.broker.next_due is None
    assert desk.broker.changes == Changes()
    assert not desk.broker.progress
    assert desk.done(lease, 0, 4)
    assert desk.done(lost)
    assert desk.done(tracked)


def test_what_was_asked_for_after_the_commit_is_not_done_after_a_roll_back() -> None:
    broker = Desk().broker
    acts: list[str] = []
    broker.journal.when_committed(lambda: acts.append("rolled back"))
    broker.rolled_back()
    broker.journal.when_committed(lambda: acts.append("committed"))
    broker.committed()
    assert acts == ["committed"]


def test_progress_is_kept_until_it_was_written() -> None:
    desk = Desk()
    desk.broker.collected(desk.run, CollectCursor(7), 1)
    desk.broker.delivered(lambda: Delivered(3, 0))
    desk.broker.committed()  # a turn that had nothing to write
    assert not desk.broker.changes.must_commit
    desk.broker.add_progress()
    desk.broker.rolled_back()
    desk.broker.add_progress()
    assert desk.broker.changes.runs[desk.run.id].collect_cursor == CollectCursor(7)
    assert desk.broker.changes.delivered == Delivered(3, 0)
    desk.broker.committed()
    assert not desk.broker.progress


def test_counts_are_on_disk_as_they_are_after_each_turn() -> None:
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(8)
    desk.submit(2, delay_s=60.0)
    desk.run.size = 4
    lease = desk.lease(session)
    desk.done(lease, 0, 2)
    desk.fail(lease, 2)
    desk.commit()
    desk.drop(session)
    desk.commit()
    before = counts(desk.run)
    assert before == {"tasks": 10, "waiting": 5, "delayed": 2, "done": 2, "dead": 1}
    after = desk.restarted()
    assert counts(after.run) == before
    assert after.run.last_seq == desk.run.last_seq == 1

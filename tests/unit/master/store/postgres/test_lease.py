"""When a standby takes over, by what it sees."""

from __future__ import annotations

from datetime import UTC, datetime

from master.store.postgres.ownership.lease import Lease, Look, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
HELD = Look(7, 1, True, 100, START)


def judged(lease: Lease, look: Look, since: float, until: float) -> list[Verdict]:
    """What a standby decides that looks every quarter of a second."""
    steps = range(int((until - since) * 4) + 1)
    return [lease.judge(look, since + step / 4) for step in steps]


def test_a_master_whose_beats_go_on_is_left_alone() -> None:
    lease = Lease()
    for second in range(20):
        look = HELD._replace(beats=second)
        assert set(judged(lease, look, second, second + 0.75)) == {Verdict.WAIT}


def test_a_master_that_stands_still_for_three_seconds_is_ended() -> None:
    verdicts = judged(Lease(), HELD, 0.0, 3.0)
    assert set(verdicts[:-1]) == {Verdict.WAIT}
    assert verdicts[-1] is Verdict.END


def test_a_free_lock_is_taken_when_the_session_of_the_beats_is_gone() -> None:
    lease = Lease()
    assert lease.judge(HELD, 0.0) is Verdict.WAIT
    free = HELD._replace(holder=None, held_since=None)
    assert lease.judge(free, 0.25) is Verdict.WAIT  # it takes its lock again
    assert lease.judge(free._replace(watched=False), 0.5) is Verdict.TAKE


def test_a_master_that_never_takes_its_lock_again_is_replaced() -> None:
    free = HELD._replace(holder=None, held_since=None)
    verdicts = judged(Lease(), free, 0.0, 3.0)
    assert set(verdicts[:-1]) == {Verdict.WAIT}
    assert verdicts[-1] is Verdict.TAKE


def test_nobody_or_one_who_left_is_replaced_at_once() -> None:
    assert Lease().judge(Look(None, None, False, None, None), 0.0) is Verdict.TAKE
    assert Lease().judge(Look(7, None, False, None, None), 0.0) is Verdict.TAKE


def test_after_a_restart_of_the_server_the_active_master_comes_first() -> None:
    lease = Lease()
    lease.judge(HELD, 0.0)
    lease.reconnected(5.0)
    gone = Look(7, 1, False, None, None)
    assert lease.judge(gone, 5.0) is Verdict.WAIT
    assert lease.judge(gone, 5.9) is Verdict.WAIT
    assert lease.judge(gone, 6.1) is Verdict.TAKE


def test_a_standby_that_was_frozen_itself_counts_anew() -> None:
    lease = Lease()
    lease.judge(HELD, 0.0)
    assert lease.judge(HELD, 60.0) is Verdict.WAIT
    assert judged(lease, HELD, 60.25, 63.0)[-1] is Verdict.END


def test_a_candidate_that_froze_with_the_lock_is_ended_too() -> None:
    lease = Lease()
    judged(lease, HELD, 0.0, 2.0)
    other = HELD._replace(holder=200)
    verdicts = judged(lease, other, 2.25, 5.25)
    assert set(verdicts[:-1]) == {Verdict.WAIT}
    assert verdicts[-1] is Verdict.END

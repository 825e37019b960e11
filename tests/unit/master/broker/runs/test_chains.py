"""Runs that are after others: when they begin, and what may not go before."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.runs.chains import in_words
from master.broker.runs.run import Run
from queue_manager.errors import RefusedError
from queue_manager.wire.records import RunOptions

from ...desk import Desk


def behind(desk: Desk, *others: Run, **options: Any) -> Run:
    """A new run that is after others, on disk."""
    run = desk.broker.start_run("later", [], None, RunOptions(**options), desk.wall, after=others)
    desk.commit()
    return run


def end(desk: Desk, run: Run, dead: bool = False) -> set[int]:
    """A run ends, with one task; returns the runs that begin in that very commit."""
    desk.submit(1, run)
    session = desk.session()
    lease = desk.lease(session)
    if dead:
        desk.fail(lease, reject=True)
    else:
        desk.done(lease)
    desk.broker.exhaust(run)
    changes = desk.commit()
    assert changes.ended == {run.id}
    desk.drop(session)
    return changes.begun


def again(desk: Desk) -> Desk:
    """As after kill -9 of the master."""
    return desk.restarted()


def test_a_run_begins_in_the_commit_in_which_the_run_before_it_ends() -> None:
    desk = Desk()
    later = behind(desk, desk.run)
    assert later.pending
    assert end(desk, desk.run) == {later.id}
    assert not later.pending
    assert not again(desk).broker.runs[later.id].pending


def test_a_run_after_several_begins_with_the_end_of_the_last() -> None:
    desk = Desk()
    second = desk.new_run()
    later = behind(desk, desk.run, second)
    assert end(desk, second) == set()
    desk = again(desk)
    assert desk.broker.runs[later.id].waits_for == [desk.run.id]
    assert end(desk, desk.run) == {later.id}


def test_a_run_after_one_that_is_done_begins_at_once() -> None:
    desk = Desk()
    end(desk, desk.run)
    assert not behind(desk, desk.run).pending


def test_a_run_with_dead_letters_lets_nobody_begin_before_they_are_done() -> None:
    desk = Desk()
    later = behind(desk, desk.run)
    assert end(desk, desk.run, dead=True) == set()
    desk = again(desk)
    before, later = desk.broker.runs[1], desk.broker.runs[later.id]
    assert later.pending
    desk.broker.retry(before, desk.wall)
    desk.commit()
    desk.done(desk.lease(desk.session()))
    assert desk.commit().begun == {later.id}


def test_finish_is_a_part_of_the_run_before() -> None:
    desk = Desk(finish=True)
    later = behind(desk, desk.run)
    assert end(desk, desk.run) == set()
    desk.broker.finished(desk.run, desk.run.ended_at or 0.0, desk.wall)
    assert desk.commit().begun == {later.id}


def test_a_chain_begins_link_by_link() -> None:
    desk = Desk()
    second = behind(desk, desk.run)
    third = behind(desk, second)
    assert end(desk, desk.run) == {second.id}
    assert third.pending
    assert end(desk, second) == {third.id}


def test_a_turn_that_fails_begins_nothing() -> None:
    desk = Desk()
    later = behind(desk, desk.run)
    desk.broker.exhaust(desk.run)
    desk.broker.finish_runs(desk.wall)
    assert desk.broker.changes.begun == {later.id}
    desk.broker.rolled_back()
    assert later.pending
    desk.broker.exhaust(desk.run)
    assert desk.commit().begun == {later.id}


def test_a_start_that_fails_leaves_nobody_behind() -> None:
    desk = Desk()
    later = desk.broker.start_run("later", [], None, RunOptions(), 1.0, after=[desk.run])
    desk.broker.rolled_back()
    assert later.id not in desk.broker.runs
    assert not desk.broker.chains.needing(desk.run.id)
    assert not len(desk.broker.chains)


def test_a_pending_run_is_cancelled_and_forgotten_and_its_finish_never_called() -> None:
    desk = Desk()
    later = behind(desk, desk.run, finish=True)
    desk.broker.cancel(later, desk.wall)
    desk.commit()
    assert later.state == "cancelled"
    assert later.collect_cursor.closed
    assert end(desk, desk.run) == set()
    desk.broker.forget(later)
    desk.broker.forget(desk.run)
    desk.commit()


def test_a_pending_run_is_not_retried() -> None:
    desk = Desk()
    later = behind(desk, desk.run)
    with pytest.raises(RefusedError, match="run 2 has not begun: it waits for run 1"):
        desk.broker.retry(later, desk.wall)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_run_can_not_go_while_another_may_take_its_results(begun: bool, restart: bool) -> None:
    desk = Desk()
    if not begun:
        second = desk.new_run()
        later = behind(desk, desk.run, second)
    else:
        later = behind(desk, desk.run)
    end(desk, desk.run)
    assert later.pending is not begun
    if restart:
        desk = again(desk)
    before, later = desk.broker.runs[1], desk.broker.runs[later.id]
    with pytest.raises(RefusedError, match=f"run 1 can't go: its results are for run {later.id}"):
        desk.broker.forget(before)
    with pytest.raises(RefusedError, match="run 1 can't go"):
        desk.broker.prune(before)
    if begun:
        desk.broker.exhaust(later)
    else:
        desk.broker.cancel(later, desk.wall)
    desk.commit()
    desk.broker.forget(before)
    assert desk.commit().forgotten == {1}


def test_pending_runs_cost_a_turn_nothing() -> None:
    desk = Desk()
    for _ in range(50):
        behind(desk, desk.run, per_group=None)
    roster = desk.broker.roster
    assert not roster.limited
    assert set(roster.low) | set(roster.rotation) <= {desk.run}
    roster = again(desk).broker.roster
    assert {run.id for run in (*roster.low, *roster.rotation)} <= {0, 1}


def test_runs_in_words() -> None:
    assert in_words([3]) == "run 3"
    assert in_words([3, 4]) == "runs 3, 4"
    assert in_words(range(1, 2_000)) == "runs 1, 2, 3 and 1,996 more"

"""Marks tell of each block when it was accepted, in bounded memory, also over a restart."""

from __future__ import annotations

import random

from master.tally.accepted import MOST_MARKS, NOTE_S, AcceptedAt
from tests.unit.master.desk import NOW, WALL, Desk

MANY = 100
"""So many tasks are a block that no other one joins."""


def marked(*marks: tuple[int, float]) -> AcceptedAt:
    found = AcceptedAt()
    found.load([], 1, 0.0)
    for block, at in marks:
        found.note(block, at)
    return found


def test_blocks_between_two_marks_came_with_the_first() -> None:
    found = marked((5, 10.0), (8, 20.0))
    assert [found.of(block) for block in (1, 4, 5, 7, 8, 99)] == [0, 0, 10, 10, 20, 20]


def test_a_month_takes_bounded_memory_and_each_time_is_right_to_a_twentieth_of_its_age() -> None:
    pauses = random.Random(1)
    found, truth, now = marked(), {}, 0.0
    for block in range(1, 100_000):
        now += pauses.choice((0.001, 0.01, 1.0, 60.0))
        found.note(block, now)
        truth[block] = now
        assert len(found.marks()) <= MOST_MARKS
    assert now > 10 * 86_400
    for block, at in truth.items():
        assert 0 <= at - found.of(block) <= 0.05 * (now - found.of(block)) + 1e-6


def test_after_a_restart_blocks_are_as_old_as_before() -> None:
    before = marked((5, 10.0), (8, 20.0))
    after = AcceptedAt()
    after.load(before.marks(), 9, 100.0)
    assert [after.of(block) for block in (5, 8, 9)] == [10.0, 20.0, 100.0]


def test_without_marks_all_blocks_of_before_count_from_the_start() -> None:
    found = AcceptedAt()
    found.load([], 70, 100.0)
    assert [found.of(block) for block in (1, 69, 70)] == [100.0] * 3


def test_the_first_block_after_a_start_came_when_it_came() -> None:
    found = AcceptedAt()
    found.load([], 1, 100.0)
    found.note(1, 160.0)
    assert found.of(1) == 160.0


def test_no_mark_of_before_is_later_than_the_start() -> None:
    found = AcceptedAt()
    found.load([(5, 500.0)], 9, 100.0)
    assert found.of(5) == 100.0


def test_marks_go_to_disk_with_a_commit_that_takes_place_anyway_and_not_with_each() -> None:
    desk = Desk()
    assert desk.store.accepted_marks() == []
    assert desk.submit_changes(MANY).accepted == [(1, WALL)]
    desk.broker.wake(NOW + 1.0)
    assert desk.submit_changes(MANY).accepted is None
    desk.broker.wake(NOW + 1.0 + NOTE_S)
    changes = desk.submit_changes(MANY)
    assert changes.accepted == desk.store.accepted_marks()
    assert [at - WALL for _, at in changes.accepted or []] == [0.0, 1.0, NOTE_S + 1.0]


def test_a_commit_that_fails_leaves_the_marks_for_the_next() -> None:
    desk = Desk()
    desk.later(NOTE_S)
    desk.stage(MANY)
    desk.broker.add_progress()
    assert desk.broker.changes.accepted
    desk.broker.rolled_back()
    assert desk.submit_changes(MANY).accepted


def test_a_restarted_master_knows_since_when_tasks_wait() -> None:
    desk = Desk()
    desk.submit(MANY)
    desk.later(NOTE_S)
    desk.submit(MANY)
    desk.later(70.0)
    again = desk.restarted()
    accepted = again.broker.tally.accepted
    assert (accepted.of(1), accepted.of(2)) == (NOW, NOW + NOTE_S)


def test_a_block_that_could_not_be_written_came_when_it_was_written_in_the_end() -> None:
    desk = Desk()
    desk.submit(MANY)
    desk.stage(MANY)
    desk.broker.add_progress()
    desk.broker.rolled_back()
    desk.later(5.0)
    (written,) = desk.submit_changes(MANY).blocks
    assert desk.broker.tally.accepted.of(written.id) == NOW + 5.0

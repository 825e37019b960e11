"""Lists of tasks by how they stand, in each engine: pages by number, whatever the block."""

from __future__ import annotations

import pytest

from master.changes import CANCELLED, OutcomeRecord
from master.store.contract import Store
from master.task_lists import SHOWN_BATCH_BYTES, FoundTask, Stand, TasksSought
from queue_manager import codec
from tests.unit.master.store_records import block, commit, outcome, run_record, tracked

NOW = 1_000.0


def listed(
    store: Store, *stands: Stand, after: int = 0, limit: int = 99, **more: object
) -> list[FoundTask]:
    """All tasks behind one, put together of pages with so many tasks at most."""
    found: list[FoundTask] = []
    for _ in range(1_000):
        sought = TasksSought(1, frozenset(stands), after, limit, NOW, **more)  # type: ignore[arg-type]
        page = store.find_tasks(sought)
        assert len(page.tasks) <= limit
        found += page.tasks
        if page.complete:
            return found
        assert page.place > after, "a page goes on"
        after = page.place
    raise AssertionError("the pages have no end")


def numbers(store: Store, *stands: Stand, **how: object) -> list[int]:
    return [one.task for one in listed(store, *stands, **how)]  # type: ignore[arg-type]


@pytest.fixture
def filled(store: Store) -> Store:
    """Run 1 with tasks 1 to 30 in three blocks, the middle one of a group and more urgent.

    1-4 done, 5-6 cancelled, 7 dead, 8 delayed, 9 due, 10 waits; 11-20 wait; 21-29 wait, 30 done.
    """
    one, two, three = block(1, 1, 10), block(2, 11, 10, group="g", priority=9), block(3, 21, 10)
    other = block(4, 1, 5, run=2)
    commit(store, one, two, three, other, runs={1: run_record(), 2: run_record(2)})
    gone = OutcomeRecord(3, 1, 1, 1, 4, 6, CANCELLED)
    commit(store, outcomes=[outcome(1, one, 0, 3), outcome(2, one, 3, 4), gone])
    commit(store, outcomes=[outcome(4, three, 9, 10), outcome(5, other, 0, 2)])
    records = tracked(one, 6, "dead", attempts=3, error="bad", worker="w", due_at=5.0)
    records |= tracked(one, 7, attempts=1, due_at=NOW + 60, delay_s=60.0, error="once")
    records |= tracked(one, 8, attempts=2, due_at=NOW - 1)
    commit(store, tracked=records)
    return store


@pytest.mark.parametrize("limit", [1, 2, 7, 99])
@pytest.mark.parametrize(
    ("stand", "tasks"),
    [
        (Stand.DONE, [1, 2, 3, 4, 30]),
        (Stand.CANCELLED, [5, 6]),
        (Stand.DEAD, [7]),
        (Stand.DELAYED, [8]),
        (Stand.WAITING, [9, 10, *range(11, 30)]),
    ],
)
def test_each_task_is_in_the_list_of_its_state(
    filled: Store, stand: Stand, tasks: list[int], limit: int
) -> None:
    assert numbers(filled, stand, limit=limit) == tasks


@pytest.mark.parametrize("look", [1, 2, 5, 10_000])
def test_several_states_are_one_list_however_little_is_looked_at(filled: Store, look: int) -> None:
    over = (Stand.WAITING, Stand.DELAYED, Stand.CANCELLED)
    assert numbers(filled, *over, look=look) == [5, 6, *range(8, 30)]
    assert numbers(filled, *Stand, look=look, limit=3) == [*range(1, 31)]


@pytest.mark.parametrize("after", [0, 1, 4, 9, 10, 15, 20, 29, 30, 99])
def test_a_page_begins_behind_a_task(filled: Store, after: int) -> None:
    assert numbers(filled, *Stand, after=after) == [n for n in range(1, 31) if n > after]


def test_what_is_held_does_not_wait(filled: Store) -> None:
    held = {1: 1 << 8 | 1 << 9, 2: (1 << 10) - 1, 3: 0b101}
    assert numbers(filled, Stand.WAITING, held=held) == [22, *range(24, 30)]
    assert numbers(filled, Stand.DELAYED, held={1: 1 << 7}) == []
    assert numbers(filled, Stand.DONE, held={1: 0b1111}) == [1, 2, 3, 4, 30], "it has ended"


def test_a_tracked_task_comes_with_its_last_failure(filled: Store) -> None:
    (dead,) = listed(filled, Stand.DEAD)
    assert dead == FoundTask(7, 3, 5.0, 0.0, "w", "bad")
    (delayed,) = listed(filled, Stand.DELAYED)
    assert delayed == FoundTask(8, 1, NOW + 60, 60.0, "", "once")


def test_a_result_comes_with_its_batch_unless_that_is_large(filled: Store) -> None:
    first, *_ = listed(filled, Stand.DONE, limit=1)
    assert first.results is not None
    assert codec.decode_batch(first.results)[first.position] is not None
    four = block(5, 31, 2)
    commit(filled, four)
    large = codec.encode_batch([b"x" * SHOWN_BATCH_BYTES])
    commit(filled, outcomes=[OutcomeRecord(9, 1, 5, 31, 0, 1, large)])
    assert listed(filled, Stand.DONE, after=30) == [FoundTask(31)]


def test_blocks_that_have_ended_are_passed_over(store: Store) -> None:
    blocks = [block(n, 1 + 10 * (n - 1), 10) for n in range(1, 400)]
    commit(store, *blocks, runs={1: run_record()})
    done = [outcome(n, one, 0, 10) for n, one in enumerate(blocks[:-1], 1)]
    commit(store, outcomes=done)
    assert numbers(store, Stand.WAITING) == [*range(3_981, 3_991)]
    assert numbers(store, Stand.DONE, after=3_975) == [*range(3_976, 3_981)]
    assert numbers(store, Stand.DEAD) == []

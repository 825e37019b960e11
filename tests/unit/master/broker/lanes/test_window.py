"""A window: ready ranges in the order of their places, and where the disk goes on."""

from __future__ import annotations

import pytest

from master.broker.lanes.window import WINDOW_TASKS, Range, Window
from master.changes import Place, WaitingBlock
from queue_manager.ranges import both, without
from queue_manager.wire.records import BLOCK_TASKS


def one(block: int) -> Range:
    """A block of one task, which has its number."""
    return Range(block, block, 0, 1)


def blocks(window: Window) -> list[int]:
    """Take all, one task at a time."""
    found = []
    while window.loaded:
        found.append(window.take(1)[0].block)
    return found


def on_disk(*numbers: int, priority: int = 0) -> list[WaitingBlock]:
    return [WaitingBlock(n, n, priority, [(0, 1)]) for n in numbers]


# --- the order ---


def test_tasks_come_in_order_in_the_size_that_is_asked_for() -> None:
    window = Window()
    window.admit(0, Range(1, 1, 0, 5))
    window.admit(0, Range(2, 6, 0, 2))
    found = [window.take(3)[0] for _ in range(3)]
    assert found == [Range(1, 1, 0, 3), Range(1, 1, 3, 5), Range(2, 6, 0, 2)]
    assert window.loaded == 0


def test_the_highest_priority_comes_first_and_an_empty_one_is_forgotten() -> None:
    window = Window()
    for block, priority in enumerate([0, 7, -3, 7], 1):
        window.admit(priority, one(block))
    assert window.priority == 7
    assert [window.take(9) for _ in range(2)] == [(one(2), 7), (one(4), 7)]
    assert (window.priority, window.order, set(window.ready)) == (0, [-3, 0], {-3, 0})
    assert blocks(window) == [1, 3]
    assert not window.order
    assert not window.ready


def test_what_is_put_back_comes_first_of_its_priority() -> None:
    window = Window()
    window.admit(0, Range(1, 1, 0, 4))
    window.admit(3, one(2))
    taken, _ = window.take(1), window.take(2)
    window.put_back(0, Range(1, 1, 0, 2))
    window.put_back(3, taken[0])
    assert window.loaded == 5
    assert [window.take(9)[0] for _ in range(3)] == [one(2), Range(1, 1, 0, 2), Range(1, 1, 2, 4)]


# --- what stays on disk ---


def test_the_last_ranges_stay_on_disk_when_there_are_too_many_and_so_do_all_behind_them() -> None:
    window = Window(most=3)
    for block in range(1, 6):
        window.admit(0, one(block))
    assert (window.loaded, window.more_on_disk, window.disk_cursor) == (3, True, Place(0, 3))
    assert blocks(window) == [1, 2, 3]
    window.admit(0, one(6))
    assert window.loaded == 0


def test_a_new_block_of_a_higher_priority_enters_a_full_window_and_the_lowest_leaves_it() -> None:
    window = Window(most=3)
    for block in range(1, 5):
        window.admit(0, one(block))
    window.admit(5, one(9))
    window.admit(-1, one(10))
    assert window.disk_cursor == Place(0, 2)
    assert blocks(window) == [9, 1, 2]


def test_a_higher_priority_that_does_not_fit_moves_the_end_before_all_lower_ones() -> None:
    window = Window(most=2)
    for block in range(1, 5):
        window.admit(0, one(block))
    for block in range(5, 8):
        window.admit(5, one(block))
    assert window.disk_cursor == Place(5, 6)
    assert blocks(window) == [5, 6]
    window.admit(0, one(8))
    assert window.loaded == 0


def test_one_range_always_stays_however_long_it_is() -> None:
    window = Window(most=2)
    window.admit(0, Range(1, 1, 0, 100))
    assert (window.loaded, window.more_on_disk) == (100, False)
    window.admit(0, one(2))
    assert (window.loaded, window.disk_cursor) == (100, Place(0, 1))
    window.admit(1, one(3))
    assert (window.loaded, window.disk_cursor) == (1, Place(0, 0))


def test_what_is_put_back_into_a_full_window_drives_out_the_last() -> None:
    window = Window(most=2)
    window.admit(0, one(1))
    window.take(1)
    window.admit(0, one(2))
    window.admit(0, one(3))
    window.put_back(0, one(1))
    assert window.disk_cursor == Place(0, 2)
    assert blocks(window) == [1, 2]


def test_new_tasks_that_are_left_on_disk_are_found_there_later() -> None:
    window = Window()
    window.admit(0, one(1))
    window.leave(0, one(4))
    assert (window.more_on_disk, window.disk_cursor) == (True, Place(0, 3))
    window.leave(0, one(5))
    assert window.disk_cursor == Place(0, 3)


def test_what_is_left_on_disk_before_the_end_moves_it() -> None:
    """Else nobody would look there again."""
    window = Window()
    window.leave(0, one(4))
    window.leave(5, one(7))
    assert window.disk_cursor == Place(5, 6)


def test_nothing_enters_a_window_whose_disk_was_not_read_yet() -> None:
    window = Window(more_on_disk=True)
    window.admit(9, one(3))
    assert window.loaded == 0
    window.leave(9, one(3))
    assert window.disk_cursor is None


# --- reading ahead ---


def test_it_is_read_ahead_when_it_is_half_empty_and_disk_has_more() -> None:
    window = Window()
    window.admit(0, Range(1, 1, 0, WINDOW_TASKS))
    window.take(WINDOW_TASKS // 2 - 1)
    window.more_on_disk = True
    assert not window.low
    window.take(1)
    assert window.low
    window.more_on_disk = False
    assert not window.low


def test_reading_ahead_leaves_room_for_the_last_block_to_be_a_whole_one() -> None:
    window = Window(loaded=100)
    assert window.loaded + (window.room - 1) + BLOCK_TASKS <= WINDOW_TASKS


def test_a_small_window_is_filled_by_one_read() -> None:
    """It may hold one block more than that, as one range."""
    assert (Window(most=64, loaded=10).room, Window(most=64, loaded=64).room) == (54, 1)


def test_a_refill_takes_what_is_neither_leased_nor_here_and_remembers_where_it_ended() -> None:
    window = Window(more_on_disk=True)
    window.put_back(0, Range(2, 11, 4, 6))
    found = [WaitingBlock(2, 11, 0, [(0, 8)]), WaitingBlock(3, 21, 0, [(2, 4)])]
    window.refill(found, Place(0, 3), {2: [(6, 7)], 3: []})
    assert (window.loaded, window.more_on_disk, window.disk_cursor) == (
        2 + 5 + 2,
        True,
        Place(0, 3),
    )
    taken = [window.take(9)[0] for _ in range(4)]
    assert taken == [Range(2, 11, 4, 6), Range(2, 11, 0, 4), Range(2, 11, 7, 8), Range(3, 21, 2, 4)]


def test_a_refill_that_reaches_the_end_of_the_disk_says_so() -> None:
    window = Window(more_on_disk=True)
    window.refill(on_disk(1), None, {1: []})
    assert not window.more_on_disk
    window.admit(0, one(2))
    assert blocks(window) == [1, 2]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 50])
def test_every_task_comes_once_and_in_order_however_small_the_window_is(most: int) -> None:
    disk = {n: (n * 7) % 3 for n in range(1, 31)}
    window, found = Window(most), []
    for n, priority in disk.items():
        window.admit(priority, one(n))
    for _ in range(200):
        if window.low:
            behind = sorted(
                (Place(p, n) for n, p in disk.items() if n not in found),
                key=lambda place: (-place.priority, place.block),
            )
            behind = [
                p for p in behind if window.disk_cursor is None or window.disk_cursor.before(p)
            ]
            some = [WaitingBlock(p.block, p.block, p.priority, [(0, 1)]) for p in behind[:2]]
            last = behind[1] if len(behind) > 2 else None
            window.refill(some, last, {b.id: [] for b in some})
        if window.loaded:
            found.append(window.take(1)[0].block)
    assert found == sorted(disk, key=lambda n: (-disk[n], n))


# --- what leaves it ---


def test_tasks_of_a_block_are_taken_out_wherever_they_are() -> None:
    window = Window()
    window.admit(0, Range(1, 1, 0, 4))
    window.admit(0, Range(2, 5, 0, 6))
    window.admit(3, one(3))
    window.remove({2: [(0, 1), (2, 5)]})
    assert window.loaded == 4 + 2 + 1
    window.remove({3: [(0, 1)]})
    assert window.order == [0]
    assert [window.take(9)[0] for _ in range(3)] == [
        Range(1, 1, 0, 4),
        Range(2, 5, 1, 2),
        Range(2, 5, 5, 6),
    ]


def test_an_unloaded_window_is_read_from_its_first_place_on() -> None:
    window = Window()
    for block, priority in [(1, 0), (2, 4), (3, 4)]:
        window.admit(priority, one(block))
    window.unload()
    assert (window.loaded, window.order, window.more_on_disk, window.disk_cursor) == (
        0,
        [],
        True,
        Place(4, 1),
    )


def test_unloading_never_moves_the_end_forward() -> None:
    window = Window(more_on_disk=True)
    window.put_back(0, one(5))
    window.unload()
    assert window.disk_cursor is None
    window.disk_cursor = Place(0, 2)
    window.put_back(0, one(5))
    window.unload()
    assert window.disk_cursor == Place(0, 2)


def test_a_cleared_window_has_nothing_and_expects_nothing() -> None:
    window = Window(most=1)
    for block in (1, 2):
        window.admit(0, one(block))
    window.clear()
    assert (window.loaded, window.order, window.more_on_disk, window.disk_cursor) == (
        0,
        [],
        False,
        None,
    )


# --- ranges ---


def test_ranges_without_others_and_in_common_with_others() -> None:
    assert without([(0, 10)], [(2, 4), (6, 6), (8, 20)]) == [(0, 2), (4, 8)]
    assert without([(0, 2), (4, 6)], [(0, 2), (5, 9)]) == [(4, 5)]
    assert without([(0, 2)], []) == [(0, 2)]
    assert both([(0, 4), (6, 9)], [(2, 7), (8, 20)]) == [(2, 4), (6, 7), (8, 9)]
    assert both([(0, 2)], [(2, 4)]) == []

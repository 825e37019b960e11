"""Small blocks of one turn become one; what is to stay apart stays apart."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.growing import SMALL_TASKS, TAIL_BYTES
from queue_manager import codec
from queue_manager.wire.records import BLOCK_BYTES, BLOCK_TASKS, GroupLimit, NewBlock
from tests.unit.master.desk import NOW, WALL, Desk, block, tasks
from tests.unit.master.desk import counts as counts_of


def counts(desk: Desk) -> list[int]:
    """How many tasks each block has that was committed just now."""
    return [one.count for one in desk.commit().blocks]


def test_tasks_that_came_one_by_one_in_a_turn_are_leased_and_done_as_one_block() -> None:
    desk = Desk()
    for number in range(1, 6):
        desk.stage(1, first=number)
    (made,) = desk.commit().blocks
    assert (made.first, made.count, codec.decode_batch(made.body)) == (1, 5, [1, 2, 3, 4, 5])
    desk.run.size = 5
    lease = desk.lease(desk.session())
    assert tasks(lease) == [1, 2, 3, 4, 5]
    desk.done(lease)
    desk.commit()
    assert (desk.run.done, desk.run.waiting) == (5, 0)


def test_tasks_of_another_run_in_between_keep_nothing_apart() -> None:
    desk = Desk()
    other = desk.new_run("other")
    for run in (desk.run, other, desk.run, other):
        desk.stage(1, run)
    assert counts(desk) == [2, 2]


def grown(desk: Desk) -> list[tuple[int, int]]:
    """The blocks that have grown, with their tasks; none is new."""
    changes = desk.commit()
    assert changes.blocks == []
    return [(one.id, one.count) for one in changes.grown.values()]


def test_a_block_on_disk_grows_while_nothing_of_it_is_leased() -> None:
    desk = Desk()
    desk.submit(1, first=1)
    for number in (2, 3):
        desk.stage(1, first=number)
        assert grown(desk) == [(1, number)]
    assert codec.decode_batch(desk.store.read_body(1)) == [1, 2, 3]
    assert counts_of(desk.run) == {"tasks": 3, "waiting": 3}
    desk.run.size = 2
    session = desk.session()
    assert [tasks(desk.lease(session)) for _ in range(2)] == [[1, 2], [3]]
    desk.stage(1)
    assert counts(desk) == [1]


def test_a_block_that_grew_on_disk_alone_is_read_whole() -> None:
    desk = Desk()
    window = desk.run.lane.window
    window.most = 1
    for number in range(1, 4):
        desk.submit(1, priority=1, first=number)
    for number in range(4, 8):
        desk.submit(1, first=number)
    assert window.more_on_disk
    assert desk.drain(desk.session()) == [1, 2, 3, 4, 5, 6, 7]


def test_after_a_restart_no_block_grows_that_a_worker_may_hold() -> None:
    desk = Desk()
    desk.submit(1)
    again = desk.restarted()
    again.stage(1)
    assert counts(again) == [1]


def test_a_block_does_not_grow_behind_tasks_of_another_kind() -> None:
    desk = Desk()
    desk.submit(1)
    desk.submit(1, priority=3)
    desk.stage(1)
    assert counts(desk) == [1]


def test_a_growth_that_the_disk_did_not_take_leaves_the_block_as_it_was() -> None:
    desk = Desk()
    desk.submit(1, first=1)
    desk.stage(1, first=2)
    desk.broker.rolled_back()
    desk.stage(1, first=3)
    assert grown(desk) == [(1, 2)]
    assert codec.decode_batch(desk.store.read_body(1)) == [1, 3]


def test_a_block_on_disk_grows_up_to_a_bound_in_tasks_and_bytes() -> None:
    desk = Desk()
    for _ in range(SMALL_TASKS):
        desk.submit(1)
    desk.stage(1)
    assert counts(desk) == [1]
    body = codec.encode_batch(["x" * TAIL_BYTES])
    desk.broker.submit(desk.run, NewBlock(1, body), NOW, WALL, True)
    assert counts(desk) == [1]


def test_blocks_with_keys_do_not_grow_on_disk() -> None:
    desk = Desk()
    desk.submit(1, keys=["a"])
    desk.stage(1, keys=["b"])
    assert counts(desk) == [1]


def test_what_is_rolled_back_takes_nothing_of_a_later_turn_along() -> None:
    desk = Desk()
    desk.stage(2)
    desk.broker.rolled_back()
    desk.stage(1)
    assert counts(desk) == [1]
    assert (desk.run.tasks, desk.run.waiting) == (1, 1)


@pytest.mark.parametrize(
    "fields",
    [{"priority": 1}, {"keys": ["a"]}, {"delay_s": 9.0}, {"group": "b"}],
    ids=lambda fields: next(iter(fields)),
)
def test_tasks_of_another_kind_are_a_block_of_their_own(fields: dict[str, Any]) -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    desk.stage(1)
    desk.stage(1, **fields)
    desk.stage(1)
    assert counts(desk) == [1, 1, 1]


def test_a_follow_up_in_a_block_of_the_runner_does_not_count_as_accepted() -> None:
    desk = Desk()
    desk.stage(1)
    desk.broker.submit(desk.run, block(1), NOW, WALL, False)
    assert counts(desk) == [2]
    assert desk.run.accepted == 1


def test_keys_stay_with_their_tasks() -> None:
    desk = Desk()
    for key in "abc":
        desk.stage(1, keys=[key])
    (made,) = desk.commit().blocks
    assert made.keys == ["a", "b", "c"]


def test_a_block_has_no_more_tasks_than_any_other() -> None:
    desk = Desk()
    for _ in range(BLOCK_TASKS + 1):
        desk.stage(1)
    assert counts(desk) == [BLOCK_TASKS, 1]


def test_a_block_has_no_more_bytes_than_any_other() -> None:
    desk = Desk()
    body = codec.encode_batch(["x" * (BLOCK_BYTES // 2 - 100)])
    for _ in range(3):
        desk.broker.submit(desk.run, NewBlock(1, body), NOW, WALL, True)
    assert counts(desk) == [2, 1]


def test_large_blocks_are_not_copied() -> None:
    desk = Desk()
    for _ in range(2):
        desk.stage(SMALL_TASKS + 1)
    assert counts(desk) == [SMALL_TASKS + 1] * 2


@pytest.mark.parametrize("body", [b"L\x91", b"L\x91\x01\x02", b"S\x91\x01", b"L\x91\xc1"])
@pytest.mark.parametrize("place", [0, 1])
def test_payloads_that_are_not_what_they_say_stay_by_themselves(body: bytes, place: int) -> None:
    """Joined with others, they would shift the payloads behind them."""
    desk = Desk()
    bodies = [codec.encode_batch([1]), codec.encode_batch([2])]
    bodies.insert(place, body)
    for one in bodies:
        desk.broker.submit(desk.run, NewBlock(1, one), NOW, WALL, True)
    made = desk.commit().blocks
    (alone,) = (one for one in made if one.body == body)
    assert alone.count == 1
    rest = [value for one in made if one is not alone for value in codec.decode_batch(one.body)]
    assert rest == [1, 2]


def test_a_payload_that_cannot_be_decoded_spoils_no_other() -> None:
    desk = Desk()
    for body in (codec.encode_batch([1]), b"L\x91\x90", codec.encode_batch([2])):
        desk.broker.submit(desk.run, NewBlock(1, body), NOW, WALL, True)
    (made,) = desk.commit().blocks
    first, wrong, last = codec.decode_each(made.body, 0, 3)
    assert (first, last, type(wrong)) == (1, 2, codec.Undecodable)

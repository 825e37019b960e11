"""Payloads become blocks: full ones, of one kind, as they were when they were added."""

from __future__ import annotations

from typing import Any

import pytest

from queue_manager import codec
from queue_manager.errors import NotPlainDataError, TooLargeError
from queue_manager.job.batching import Batching, blocks_of
from queue_manager.job.contract import Quota, Task
from queue_manager.wire.records import BLOCK_BYTES, BLOCK_TASKS, NewBlock, RunQuota, encoded_bytes

MAX = 1024 * 1024


def payloads(block: NewBlock) -> list[Any]:
    values = codec.decode_batch(block.body)
    assert len(values) == block.count == codec.batch_length(block.body)
    return values


def test_all_payloads_come_in_order_in_blocks_of_at_most_1024() -> None:
    blocks = blocks_of(range(2_500), MAX)
    assert [block.count for block in blocks] == [BLOCK_TASKS, BLOCK_TASKS, 452]
    assert [value for block in blocks for value in payloads(block)] == list(range(2_500))


def test_a_block_has_at_most_64_kib_or_one_larger_task() -> None:
    blocks = blocks_of(["x" * 10_000] * 20, MAX)
    assert all(len(block.body) <= BLOCK_BYTES + 100 for block in blocks)
    assert sum(block.count for block in blocks) == 20
    assert len(blocks) == 4
    small, large, rest = blocks_of([1, b"x" * 200_000, 2], MAX)
    assert (payloads(small), large.count, payloads(rest)) == ([1], 1, [2])


@pytest.mark.parametrize(
    "other",
    [
        Task(2, group="g"),
        Task(2, priority=1),
        Task(2, delay_s=1.0),
        Task(2, key="k"),
    ],
    ids=["group", "priority", "delay", "key"],
)
def test_another_kind_of_task_begins_another_block(other: Task) -> None:
    first, second, third = blocks_of([1, other, 3], MAX)
    assert [payloads(block) for block in (first, second, third)] == [[1], [2], [3]]
    assert (second.group, second.priority, second.delay_s) == (
        other.group,
        other.priority,
        other.delay_s,
    )
    assert second.keys == (["k"] if other.key else None)
    assert (first.keys, first.group, first.priority, first.delay_s) == (None, None, 0, 0.0)


def test_a_task_with_nothing_but_a_payload_is_like_the_payload() -> None:
    (block,) = blocks_of([1, Task(2), 3], MAX)
    assert payloads(block) == [1, 2, 3]


def test_keys_stand_beside_their_payloads_also_in_full_blocks() -> None:
    blocks = blocks_of([Task(n, key=f"k{n}") for n in range(1_500)], MAX)
    assert [block.count for block in blocks] == [1_024, 476]
    for block in blocks:
        assert block.keys == [f"k{n}" for n in payloads(block)]


def test_tasks_of_another_quota_are_a_block_of_their_own() -> None:
    pages, images = Quota("pages", 5), Quota("images", 5)
    named = [pages, pages, images, None, Quota("pages", 6)]
    blocks = blocks_of([Task(n, quota=quota) for n, quota in enumerate(named)], MAX)
    assert [(b.count, b.quota) for b in blocks] == [
        (2, RunQuota("pages", 5)),
        (1, RunQuota("images", 5)),
        (1, None),
        (1, RunQuota("pages", 6)),
    ]
    assert codec.decode_batch(codec.pick(blocks[0].body, [1])) == [1]


def test_payloads_with_keys_can_be_picked_without_opening_them() -> None:
    (block,) = blocks_of([Task(n, key=str(n)) for n in (1, [2], "3")], MAX)
    assert codec.decode_batch(codec.pick(block.body, [1, 2])) == [[2], "3"]


def test_atoms_with_keys_are_one_array_as_those_without_are() -> None:
    """Encoding and decoding them one by one takes ten times as long."""
    (block,) = blocks_of([Task(n, key=f"{n}") for n in range(3)], MAX)
    assert block.body == codec.encode_batch([0, 1, 2])
    assert codec.decode_batch(codec.pick(block.body, [0, 2])) == [0, 2]


def test_what_its_owner_changes_later_stays_as_it_was() -> None:
    batching, row = Batching(MAX), [1]
    for n in range(3):
        row[0] = n
        batching.add(row)
    block = batching.flush()
    assert block is not None
    assert payloads(block) == [[0], [1], [2]]


def test_a_block_comes_out_when_it_is_full_and_the_rest_with_a_flush() -> None:
    batching = Batching(MAX)
    ended = [batching.add(n) for n in range(BLOCK_TASKS + 1)]
    assert [block is None for block in ended] == [True] * BLOCK_TASKS + [False]
    assert len(batching) == 1
    block = batching.flush()
    assert block is not None
    assert payloads(block) == [BLOCK_TASKS]
    assert batching.flush() is None
    assert len(batching) == 0


def test_a_payload_over_the_limit_is_refused_and_leaves_the_others_alone() -> None:
    for large in ("x" * 1_000, "痛" * 400, b"x" * 1_000, ["x" * 1_000], 2**9_000):
        batching = Batching(900)
        batching.add(1)
        with pytest.raises(TooLargeError, match="shared disk"):
            batching.add(large)
        batching.add(2)
        block = batching.flush()
        assert block is not None
        assert payloads(block) == [1, 2]


def test_a_payload_just_at_the_limit_is_taken() -> None:
    (block,) = blocks_of(["x" * 890], 900)
    assert payloads(block) == ["x" * 890]


@pytest.mark.parametrize("wrong", [object(), [print], Task(object())], ids=["atom", "list", "task"])
def test_what_is_not_plain_data_is_refused_when_it_is_added(wrong: Any) -> None:
    batching = Batching(MAX)
    with pytest.raises(NotPlainDataError):
        batching.add(wrong)
    assert batching.flush() is None


def test_integers_of_any_size_and_strange_texts_are_payloads() -> None:
    values = [2**64, -(2**200), "\ud800", None, 1.5, True, (1, {2})]
    assert [value for block in blocks_of(values, MAX) for value in payloads(block)] == values


def test_keys_count_for_the_size_of_a_block() -> None:
    blocks = blocks_of([Task(n, key=f"{n:01000}") for n in range(1_000)], 1_000)
    assert sum(block.count for block in blocks) == 1_000
    assert max(encoded_bytes(block) for block in blocks) < 1.2 * BLOCK_BYTES

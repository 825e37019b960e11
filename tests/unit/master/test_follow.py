"""New tasks with keys: which of them are new."""

from __future__ import annotations

import random
from typing import Any

import pytest

from master.broker import Broker
from master.broker.run import Run
from master.follow import FollowUps
from master.turn import Turn
from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.records import NewBlock, RunOptions
from tests.memory_store import MemoryStore


class Place:
    """A run that takes tasks; what was staged is on disk after `commit`."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.broker = Broker(self.store.epoch, "", random.Random(1))
        for found in self.store.load():
            self.broker.restore(found, 0.0)
        self.follow_ups = FollowUps(Turn(self.broker, self.store))
        self.run: Run = self.broker.start_run("job", [], None, RunOptions(), 1.0)

    def take(self, *blocks: NewBlock) -> list[Any]:
        """Stage what is new of these blocks: the keys and payloads of each that is left."""
        fresh = self.follow_ups.fresh(self.run, list(blocks))
        self.follow_ups.stage(self.run, fresh, 0.0, 1.0, from_tasks=True)
        return [(block.keys, codec.decode_batch(block.body)) for block in fresh]

    def commit(self) -> None:
        self.store.commit(self.broker.changes)
        self.broker.committed()


@pytest.fixture
def place() -> Place:
    return Place()


def keyed(keys: str, first: int = 0) -> NewBlock:
    items = [codec.encode(first + index) for index in range(len(keys))]
    return NewBlock(len(keys), codec.encode_items(items), list(keys), "g", 3)


def test_a_block_whose_keys_are_all_free_is_taken_as_it_came(place: Place) -> None:
    block = keyed("abc")
    (fresh,) = place.follow_ups.fresh(place.run, [block])
    assert fresh is block


def test_the_first_task_of_a_key_counts_and_the_others_are_dropped(place: Place) -> None:
    assert place.take(keyed("abac")) == [(["a", "b", "c"], [0, 1, 3])]


def test_blocks_of_one_message_share_no_key(place: Place) -> None:
    taken = place.take(keyed("ab"), keyed("cbd", 10), keyed("da", 20), keyed("e", 30))
    assert taken == [(["a", "b"], [0, 1]), (["c", "d"], [10, 12]), (["e"], [30])]


@pytest.mark.parametrize("committed", [False, True], ids=["staged", "committed"])
def test_keys_of_messages_before_are_taken(place: Place, committed: bool) -> None:
    place.take(keyed("ab"))
    if committed:
        place.commit()
    assert place.take(keyed("bc", 10)) == [(["c"], [11])]
    assert place.take(keyed("abc", 20)) == []


def test_what_is_left_of_a_block_keeps_its_group_and_priority(place: Place) -> None:
    place.take(keyed("a"))
    (left,) = place.follow_ups.fresh(place.run, [keyed("ab")])
    assert (left.count, left.group, left.priority) == (1, "g", 3)


def test_tasks_without_keys_are_all_new(place: Place) -> None:
    block = NewBlock(2, codec.encode_batch([7, 7]))
    assert place.take(block, block) == [(None, [7, 7]), (None, [7, 7])]


def test_a_block_that_is_not_what_it_says_is_refused_before_a_lookup(place: Place) -> None:
    with pytest.raises(ProtocolError, match="2 tasks has 1 keys"):
        place.take(keyed("a"), NewBlock(2, codec.encode_batch([1, 2]), ["b"]))
    assert place.take(keyed("a")) == [(["a"], [0])]

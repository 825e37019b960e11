"""New tasks with keys: which of them are new."""

from __future__ import annotations

import random
from typing import Any

import pytest

from master.broker import Broker
from master.broker.runs.run import Run
from master.reads import ReadRequest
from master.server.runs.admission import Admission, Admitted, check
from master.turn.turn import Turn
from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.wire.records import NewBlock, RunOptions, RunQuota
from tests.asked import quota_of
from tests.memory_store import MemoryStore


class Place:
    """A run that takes tasks; what was staged is on disk after `commit`."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.broker = Broker(self.store.epoch, "", random.Random(1))
        for found in self.store.load():
            self.broker.restore(found, 0.0, 1.0)
        self.turn = Turn(self.broker, self.store)
        self.admission = Admission(self.turn)
        self.run: Run = self.broker.start_run("job", [], None, RunOptions(), 1.0)

    def take(self, *blocks: NewBlock) -> list[Any]:
        """Stage what is new of these blocks: the keys and payloads of each that is left."""
        admitted = self.admit(*blocks)
        self.admission.stage(self.run, admitted, 0.0, 1.0, from_tasks=True)
        return [(block.keys, codec.decode_batch(block.body)) for block in admitted.blocks]

    def admit(self, *blocks: NewBlock) -> Admitted:
        """What is new of these blocks, after what must be known was read."""
        request = ReadRequest()
        self.admission.needs(request, self.run.id, list(blocks))
        self.turn.known.add(self.store.read(request))
        return self.admission.admit(self.run, list(blocks))

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
    (new,) = place.admit(block).blocks
    assert new is block


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
    (left,) = place.admit(keyed("ab")).blocks
    assert (left.count, left.group, left.priority) == (1, "g", 3)


def test_tasks_without_keys_are_all_new(place: Place) -> None:
    block = NewBlock(2, codec.encode_batch([7, 7]))
    assert place.take(block, block) == [(None, [7, 7]), (None, [7, 7])]


def test_a_block_that_is_not_what_it_says_is_refused() -> None:
    with pytest.raises(ProtocolError, match="2 tasks has 1 keys"):
        check(NewBlock(2, codec.encode_batch([1, 2]), ["b"]))


# --- quotas ---


def within(most: int, count: int = 0, keys: str = "", name: str = "q", first: int = 0) -> NewBlock:
    values = list(range(first, first + (count or len(keys))))
    body = codec.encode_batch(values)
    return NewBlock(len(values), body, list(keys) if keys else None, quota=RunQuota(name, most))


def counts(place: Place, name: str = "q") -> tuple[int, int]:
    found = quota_of(place.store, place.run.id, name)
    return found.accepted, found.dropped


@pytest.mark.parametrize("committed", [False, True], ids=["staged", "committed"])
def test_what_is_above_a_quota_is_dropped_and_counted(place: Place, committed: bool) -> None:
    assert place.take(within(5, 3)) == [(None, [0, 1, 2])]
    if committed:
        place.commit()
    assert place.take(within(5, 2, first=3), within(5, 2, first=5)) == [(None, [3, 4])]
    assert place.take(within(5, 1), within(5, 1, name="other")) == [(None, [0])]
    place.commit()
    assert (counts(place), counts(place, "other")) == ((5, 3), (1, 0))


def test_a_block_is_cut_where_its_quota_is_reached(place: Place) -> None:
    assert place.take(within(2, 3)) == [(None, [0, 1])]


def test_each_block_says_how_many_tasks_its_quota_has(place: Place) -> None:
    place.take(within(2, 3))
    assert place.take(within(3, 2)) == [(None, [0])]
    assert place.take(within(1, 2)) == []


def test_keys_that_are_taken_do_not_count_against_a_quota(place: Place) -> None:
    place.take(keyed("ab"))
    assert place.take(within(2, keys="abacdde")) == [(["c", "d"], [3, 4])]
    place.commit()
    assert counts(place) == (2, 1), "only e was dropped by the quota"


@pytest.mark.parametrize("committed", [False, True], ids=["staged", "committed"])
def test_the_key_of_a_task_above_a_quota_stays_free(place: Place, committed: bool) -> None:
    assert place.take(within(1, keys="abb"), keyed("b", 7)) == [(["a"], [0]), (["b"], [7])]
    place.take(within(1, keys="c"))
    if committed:
        place.commit()
    assert place.take(keyed("abc", 10)) == [(["c"], [12])]


def test_tasks_above_a_quota_count_as_given_by_tasks_unless_they_have_keys(place: Place) -> None:
    place.take(within(2, 5), within(2, 1), within(2, keys="a"))
    assert (place.run.accepted, place.run.tasks) == (6, 2)
    place.commit()
    admitted = place.admit(within(2, 3))
    place.admission.stage(place.run, admitted, 0.0, 1.0, from_tasks=False)
    assert place.run.accepted == 6, "what follows a result was given by no tasks()"


def test_what_a_quota_dropped_is_on_disk_though_no_task_is_new(place: Place) -> None:
    place.take(within(1, 1))
    place.commit()
    place.take(within(1, 4))
    assert place.broker.changes.must_commit
    place.broker.finish_runs(1.0)
    place.commit()
    (_, loaded) = place.store.load()
    assert (loaded.counts.accepted, counts(place)) == (5, (1, 4))


def test_a_commit_that_fails_counts_nothing(place: Place) -> None:
    place.commit()
    place.take(within(3, 5))
    place.broker.rolled_back()
    assert place.run.accepted == 0
    assert place.take(within(3, 4)) == [(None, [0, 1, 2])]
    place.commit()
    assert counts(place) == (3, 1)


def test_quotas_of_two_runs_count_by_themselves(place: Place) -> None:
    place.take(within(2, 2))
    place.run = place.broker.start_run("job", [], None, RunOptions(), 1.0)
    assert place.take(within(2, 3)) == [(None, [0, 1])]


@pytest.mark.parametrize("quota", [RunQuota("q", -1), RunQuota("q", 2**31)])
def test_a_quota_of_no_possible_number_is_refused(quota: RunQuota) -> None:
    with pytest.raises(ProtocolError, match="a quota of"):
        check(NewBlock(1, codec.encode_batch([1]), quota=quota))

"""What an outcome takes of a message, as its sender and its reader count it."""

from __future__ import annotations

from typing import Any

import pytest

from queue_manager import Quota, Task
from queue_manager.job.batching import blocks_of
from queue_manager.wire.limits import FRAME_BYTES, PART_BYTES
from queue_manager.wire.measuring import measure
from queue_manager.wire.messages import Exchange, decode_request, encode
from queue_manager.wire.records import Done, Failed, GroupLimit, Released
from queue_manager.wire.weight import Weight, cannot_travel, weigh


def branch(tasks: list[Any], limits: dict[str, GroupLimit] | None = None) -> Done:
    return Done(1, 0, 1, b"L\x91\x00", 0.5, blocks_of(tasks, 1 << 20), limits or {})


QUOTA = Quota("pages", 10**6)
OUTCOMES = {
    "plain": Done(1, 0, 3, b"L\x93\x01\x02\x03", 0.5),
    "failed": Failed(1, 0, "é" * 9_000, "\U0001f600" * 9_000, printed="x" * 9_000),
    "released": Released(1, 0, 9, "lacks" * 1_000),
    "short keys": branch([Task(0, key="a") for _ in range(30_000)]),
    "keys": branch([Task(n, key=f"{n:04}") for n in range(30_000)]),
    "keys beyond ASCII": branch([Task(n, key=f"\U0001f600{n}") for n in range(30_000)]),
    "blocks": branch([Task(n, priority=n * 2**40, group=f"{n}") for n in range(9_000)]),
    "quotas": branch([Task(n, key="k", quota=QUOTA, delay_s=n / 7) for n in range(9_000)]),
    "limits": branch([], {f"g{n}": GroupLimit(2**40, n / 7) for n in range(16_000)}),
    "payloads": branch([b"x" * 1_000] * 3_000),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_sender_counts_no_less_than_a_reader(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what the sender lets through, the reader takes."""
    outcome, weight = OUTCOMES[name], weigh(OUTCOMES[name])
    body = encode(outcome)
    assert len(body) <= weight.size_bytes <= len(body) + 64
    monkeypatch.setattr("queue_manager.wire.measuring.SMALL_MESSAGE_BYTES", 0)
    monkeypatch.setattr("queue_manager.wire.measuring.MESSAGE_PARTS", weight.parts + 1)
    monkeypatch.setattr("queue_manager.wire.measuring.VALUE_FACTOR", 0)
    monkeypatch.setattr("queue_manager.wire.measuring.VALUE_FREE_BYTES", weight.memory_bytes)
    measure(body)


@pytest.mark.parametrize("key", ["a", "ab", "abcd"])
def test_no_number_of_follow_ups_is_too_many_for_the_reader_alone(key: str) -> None:
    """Found by halving: the most that the sender lets through, the reader takes."""
    few, many = 0, 2**20
    while many - few > 4_096:
        count = (few + many) // 2
        outcome = branch([Task(0, key=key)] * count)
        few, many = (few, count) if cannot_travel(outcome) else (count, many)
    assert few > 190_000
    message = encode(Exchange(1, [branch([Task(0, key=key)] * few)]))
    assert len(message) <= FRAME_BYTES
    assert decode_request(message)


def test_what_fits_is_a_matter_of_bytes_parts_and_memory() -> None:
    assert Weight().fits()
    assert not Weight(PART_BYTES + 1, 1, 1).fits(PART_BYTES)
    assert not Weight(10, 500_000, 1).fits()
    assert not Weight(10, 1, 9_000_000).fits()
    assert Weight(1, 2, 3).with_(Weight(4, 5, 6)) == (5, 7, 9)

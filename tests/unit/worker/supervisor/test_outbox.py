"""Outcomes until they are acknowledged: their order over sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from queue_manager import Task
from queue_manager.job.batching import blocks_of
from queue_manager.wire.limits import EXCHANGE_BYTES, RAISED_BYTES, TEXT_CHARS
from queue_manager.wire.messages import Exchange, decode_request, encode
from queue_manager.wire.records import Done, Failed, GroupLimit, NewBlock, Released
from worker.supervisor.outbox import FULL_BYTES, Outbox


def test_what_has_no_answer_is_sent_again_before_what_waits(jobs: Any) -> None:
    """In the order in which it was sent first; what was acknowledged is not sent again."""
    outbox, lease = Outbox(), jobs.lease([0])
    for n in range(3):
        outbox.add(lease, Failed(lease.number, n, "error"))
        entries = outbox.take()
        outbox.sent(n, entries)
    outbox.add(lease, Failed(lease.number, 3, "error"))
    outbox.acknowledged(1)
    outbox.recall()
    entries = outbox.take()
    assert [entry.range[0] for entry in entries] == [0, 2, 3]
    assert outbox.empty


def test_an_exchange_is_cut_by_bytes(jobs: Any) -> None:
    """A frame holds 8 MiB, so outcomes of more are several exchanges, in their order."""
    outbox, lease = Outbox(), jobs.lease([0] * 4)
    large = Done(lease.number, 0, 1, b"x" * (EXCHANGE_BYTES * 2 // 3), 0.0)
    small = Released(lease.number, 1, 2)
    failed = Failed(lease.number, 3, "error", raised=b"", printed="x" * TEXT_CHARS)
    for outcome in (large, small, large, failed):
        outbox.add(lease, outcome)
    cut = [[entry.outcome for entry in some] for some in iter(outbox.take, [])]
    assert cut == [[large, small], [large, failed]]
    assert outbox.empty


def test_an_outbox_is_full_while_much_waits_to_be_sent(jobs: Any) -> None:
    """What is sent counts no more, and counts again when its session ends without an answer."""
    outbox, lease = Outbox(), jobs.lease([0] * 4)
    for at in range(4):
        assert not outbox.full
        outbox.add(lease, Done(lease.number, at, at + 1, b"x" * (FULL_BYTES // 3 - 1_000), 0.0))
    assert outbox.full
    outbox.sent(1, outbox.take())
    assert not outbox.full
    outbox.recall()
    assert outbox.full


def follow_ups(count: int, key_chars: int) -> list[NewBlock]:
    """One block of a thousand over and over: it is their size that matters."""
    tasks = [Task(n, key=f"{n:0{key_chars}}") for n in range(1_000)]
    return blocks_of(tasks, 1_000) * (count // 1_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"follow": follow_ups(30_000, 300)},
        {"follow": [NewBlock(1, b"L\x91\x00")] * 17_000},
        {"results": b"x" * 9_000_000},
        {"follow": follow_ups(600_000, 6)},
        {"limits": {f"g{n}": GroupLimit(1) for n in range(16_385)}},
    ],
    ids=["keys", "blocks", "results", "many short keys", "limits"],
)
def test_an_outcome_that_cannot_travel_is_a_failed_try_that_says_so(
    jobs: Any, fields: dict[str, Any]
) -> None:
    """Sent, it would end the session, be sent again in the next one, and so on for ever."""
    outbox, lease = Outbox(), jobs.lease([0])
    done = Done(lease.number, 0, 1, **({"results": b"L\x91\x00"} | fields), took_s=1.5)
    outbox.add(lease, done)
    (entry,) = outbox.take()
    assert isinstance(entry.outcome, Failed)
    assert re.search(r"and may (take|limit)? ?[\d,]+|too many for one", entry.outcome.error)
    assert decode_request(encode(Exchange(1, [entry.outcome])))


def test_outcomes_that_can_travel_alone_and_not_together_are_several_exchanges(jobs: Any) -> None:
    outbox, lease = Outbox(), jobs.lease([0] * 5)
    follow = follow_ups(150_000, 6)
    for position in range(5):
        outbox.add(lease, Done(lease.number, position, position + 1, b"L\x91\x00", 0.0, follow))
    taken = list(iter(outbox.take, []))
    assert len(taken) > 1
    assert [entry.outcome.start for entries in taken for entry in entries] == list(range(5))
    for entries in taken:
        assert all(isinstance(entry.outcome, Done) for entry in entries)
        assert decode_request(encode(Exchange(1, [entry.outcome for entry in entries])))


def test_texts_are_cut_to_what_the_master_takes(jobs: Any) -> None:
    outbox, lease = Outbox(), jobs.lease([0])
    outbox.add(lease, Failed(lease.number, 0, "x" * 10**6, "y" * 10**6, printed="z" * 10**6))
    outbox.release(lease, [(0, 1)], "w" * 10**6)
    entries = outbox.take()
    assert decode_request(encode(Exchange(1, [entry.outcome for entry in entries])))


def test_a_flood_of_small_outcomes_is_many_exchanges(jobs: Any) -> None:
    outbox, lease = Outbox(), jobs.lease([0])
    for n in range(5_000):
        outbox.release(lease, [(n, n + 1)])
    taken = list(iter(outbox.take, []))
    assert sum(map(len, taken)) == 5_000
    for entries in taken:
        assert decode_request(encode(Exchange(1, [entry.outcome for entry in entries])))


def test_what_a_slot_says_was_raised_is_bounded(jobs: Any) -> None:
    """A job may write to its pipe. The master would end the session of a worker that sends it."""
    outbox, lease = Outbox(), jobs.lease([0])
    for size in (RAISED_BYTES, RAISED_BYTES + 1):
        outbox.add(lease, Failed(lease.number, 0, "error", raised=b"x" * size))
    entries = outbox.take()
    raised = [entry.outcome.raised for entry in entries if isinstance(entry.outcome, Failed)]
    assert raised == [b"x" * RAISED_BYTES, b""]

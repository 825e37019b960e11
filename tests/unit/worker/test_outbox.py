"""Outcomes until they are acknowledged: their order over sessions."""

from __future__ import annotations

from typing import Any

from queue_manager.records import Failed
from worker.outbox import Outbox


def test_what_has_no_answer_is_sent_again_before_what_waits(jobs: Any) -> None:
    """In the order in which it was sent first; what was acknowledged is not sent again."""
    outbox, lease = Outbox(), jobs.lease([0])
    for n in range(3):
        outbox.add(lease, Failed(lease.number, n, "error"))
        (entries,) = outbox.take()
        outbox.sent(n, entries)
    outbox.add(lease, Failed(lease.number, 3, "error"))
    outbox.acknowledged(1)
    outbox.recall()
    (entries,) = outbox.take()
    assert [entry.range[0] for entry in entries] == [0, 2, 3]
    assert outbox.empty

"""The innermost loop of a slot. It calls a plain `work` with one payload after the other.

This module owns the order of shared page, work and clock for each task. Every line in this loop
runs a million times, so code that not every task needs is elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from queue_manager import Result, codec
from queue_manager.errors import ProtocolError, QueueError
from queue_manager.wire.records import Lease

from ..ipc.pipe import STRAY
from ..ipc.shared_page import LIMIT, POSITION, STARTED, Row
from .reporter import FLUSH_S, Reporter

_SMALL = frozenset({int, float, bool, type(None)})
_TEXT = frozenset({str, bytes})

copies: list[int] = []
"""It is not empty in a process that a task has forked. Such a copy must not run the lease."""

os.register_at_fork(after_in_child=lambda: copies.append(1))


def payloads_of(lease: Lease) -> tuple[Sequence[Any], bool]:
    """The payloads of a lease, and whether all of them could be decoded.

    The master does not decode payloads, so those of a stranger come here unchecked.
    """
    start, stop = lease.start, lease.stop
    try:
        return codec.decode_batch(lease.body, start, stop), True
    except ProtocolError:
        return codec.decode_each(lease.body, start, stop), False


def careful(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a `work` that raises for payloads that could not be decoded."""

    def run(payload: Any) -> Any:
        if type(payload) is codec.Undecodable:
            raise payload.told("the input", "worker")
        return work(payload)

    return run


def run_lease(
    lease: Lease,
    payloads: Sequence[Any],
    work: Callable[[Any], Any],
    row: Row,
    reporter: Reporter,
    flush_s: float = FLUSH_S,
) -> None:
    """Run a lease up to its end, or up to the limit on its row.

    flush_s: how many seconds results may wait for further ones.
    """
    numbers, times, clock = row.numbers, row.times, time.monotonic
    append, small = reporter.results.append, _SMALL
    position = lease.start
    now = clock()
    reporter.begin(now)
    due = now + flush_s
    for payload in payloads:
        times[STARTED] = now
        numbers[POSITION] = position  # before the limit is read: see `shared_page`
        if position >= numbers[LIMIT]:
            break
        try:
            result = work(payload)
        except BaseException as error:  # SystemExit, too: `work` does not end the slot
            started, now = now, clock()
            reporter.failed(error, started, now)
            due = now + flush_s
        else:
            if copies:  # the shared page belongs to the parent
                os._exit(STRAY)
            if type(result) in small:
                append(result)
                now = clock()
            else:
                now = _add(reporter, result, now)
            if now >= due:
                reporter.flush(now)
                due = now + flush_s
        position += 1
    row.close(position)
    reporter.finish(now)


def _add(reporter: Reporter, result: Any, started: float) -> float:
    """Add a result that is no small atom. Returns the time when it was ready."""
    if isinstance(result, Result):
        now = time.monotonic()
        reporter.branch(result, started, now)
        return now
    try:
        frozen = codec.freeze(result)
    except QueueError as error:
        now = time.monotonic()
        reporter.failed(error, started, now)
        return now
    size_bytes = len(frozen) if type(frozen) in _TEXT else len(frozen.data)
    reporter.add_large(frozen, size_bytes)
    return time.monotonic()

"""Collects the results of a lease and sends them in time.

This module owns when outcomes leave the slot: after 20 ms of work, before a failure, and at the end
of the lease. If a long task holds up finished results, a thread sends them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from queue_manager import Result
from queue_manager.wire.limits import TEXT_CHARS
from queue_manager.wire.records import Failed, Outcome, Released, encoded_bytes

from ..ipc import outcomes
from ..ipc.pipe import Give, Report
from ..ipc.shared_page import PREPARING, Row
from .stdio import Stdio

FLUSH_S = 0.02
FLUSH_BYTES = 256 * 1024
WATCH_S = 0.04


class Reporter:
    """The outcomes of one lease in a plain slot.

    The work loop appends to `results` without a lock. Appending is atomic, and a flush takes only
    the results that it has counted, under the lock.
    """

    def __init__(
        self, give: Give, row: Row, send: Callable[[Report], None], printed: Stdio
    ) -> None:
        self.results: list[Any] = []
        self.max_bytes = give.max_bytes
        self._lease, self._row, self._send, self._stdio = give.lease, row, send, printed
        self._next = give.lease.start
        self._since = time.monotonic()
        self._branches: list[Outcome] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def begin(self, now: float) -> None:
        """The first task starts now. The time of import and setup does not count for it."""
        self._since = now

    def add_large(self, value: Any, size_bytes: int) -> None:
        """Add a result that takes some memory. Many of them are sent soon."""
        self.results.append(value)
        self._bytes += size_bytes
        if self._bytes >= FLUSH_BYTES:
            self.flush(time.monotonic())

    def flush(self, now: float) -> None:
        """Send the finished results. The last task ended at `now`."""
        with self._lock:
            self._send_all(self._take(now))

    def failed(self, error: BaseException, started: float, now: float) -> None:
        """Send the results so far, then the failure of the next task."""
        with self._lock:
            records = self._take(started)
            position, printed = self._next, self._stdio.of(self._next)
            number, took_s = self._lease.number, now - started
            records.append(outcomes.failed(number, position, error, took_s, printed))
            self._step(records, now)

    def branch(self, result: Result, started: float, now: float) -> None:
        """Add the next task with its follow-ups. They wait as results do."""
        with self._lock:
            waiting_bytes = self._bytes
            records = self._take(started)
            number, took_s = self._lease.number, now - started
            record = outcomes.branch(number, self._next, result, took_s, self.max_bytes)
            records.append(record)
            size_bytes = waiting_bytes + encoded_bytes(record)
            if isinstance(record, Failed) or size_bytes >= FLUSH_BYTES:
                self._step(records, now)
            else:
                self._branches, self._bytes = records, size_bytes
                self._step([], now)

    def finish(self, now: float) -> None:
        """Send the last results, and that the lease is finished."""
        with self._lock:
            self._send(Report(self._lease.number, self._take(now), finished=True))

    def release(self, lacks: str = "") -> None:
        """Give the whole lease back. lacks: why the job can't run here. With it the slot ends."""
        lease = self._lease
        self._row.close(lease.start)
        back: list[Outcome] = [Released(lease.number, lease.start, lease.stop, lacks[:TEXT_CHARS])]
        self._send(Report(lease.number, back, finished=True, leaving=bool(lacks)))

    def watch(self) -> None:
        """Send results that a long task holds up. Another thread calls this."""
        row = self._row.look()
        if row.position != PREPARING and time.monotonic() - row.since > FLUSH_S:
            self.flush(row.since)

    def _take(self, now: float) -> list[Outcome]:
        records, self._branches, self._bytes = self._branches, [], 0
        count = len(self.results)
        if not count:
            return records
        values = self.results[:count]
        del self.results[:count]
        first, self._next = self._next, self._next + count
        took_s, self._since = max(0.0, now - self._since), now
        return records + outcomes.done(self._lease.number, first, values, took_s, self.max_bytes)

    def _step(self, records: list[Outcome], now: float) -> None:
        self._next += 1
        self._since = now
        self._send_all(records)

    def _send_all(self, records: list[Outcome]) -> None:
        if records:
            self._send(Report(self._lease.number, records))


class Watch:
    """A thread that has results sent in time, and ends the slot if its supervisor has ended."""

    def __init__(self, orphaned: Callable[[], bool], leave: Callable[[], None]) -> None:
        self.reporter: Reporter | None = None
        self._orphaned, self._leave = orphaned, leave

    def start(self) -> None:
        """Run for as long as the process does."""
        threading.Thread(target=self._run, name="quartermaster-watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(WATCH_S)
            if self._orphaned():
                self._leave()
            reporter = self.reporter
            if reporter is not None:
                reporter.watch()

"""What a run has brought, on its way to `collect()`: one result at a time, in their order."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from queue_manager import codec
from queue_manager.messages import Collect, Collected, Page
from queue_manager.records import Ended

from .runs import NOBODY_COLLECTS
from .wire import Wire

log = logging.getLogger("quartermaster.runner")

SHOWN_FAILURES = 3
TELL_S = 0.04
"""With as long again until the master has saved it: after a crash at most 0.1 s repeat."""


class Collector:
    """Gives every outcome to `collect()`, one at a time, in order of completion.

    Args:
        after: the sequence number up to which all was collected before.
        into: how many results of the outcome behind that were, too.
    """

    def __init__(
        self, wire: Wire, run: int, collect: Callable[[Any, Any], Any], after: int, into: int
    ) -> None:
        self._wire = wire
        self._run = run
        self._collect = collect
        self._after, self._into = after, into
        self._told = (after, into)
        self._due = 0.0
        self._errors = self._failed = 0

    def collect_all(self) -> None:
        """Until the run has ended and everything was collected."""
        page = self._ask(self._after).result()
        while True:
            # The next page comes while this one is collected.
            following = None if page.over else self._ask(page.last)
            for ended in page.outcomes:
                self._collect_range(ended, page.bodies[ended.first])
            self._tell()
            if following is None:
                break
            page = following.result()
        self._ask(NOBODY_COLLECTS).result()  # behind the last word of how far it has come

    def _ask(self, after: int) -> Future[Page]:
        return self._wire.request(lambda seq: Collect(seq, self._run, after), Page)

    def _collect_range(self, ended: Ended, body: bytes) -> None:
        skip, collect, clock = self._into, self._collect, time.monotonic
        payloads = codec.decode_batch(body, ended.start + skip, ended.stop)
        results = codec.decode_batch(ended.results, skip)
        for payload, result in zip(payloads, results, strict=True):
            try:
                collect(payload, result)
            except Exception:
                self._note_failure()
            self._into += 1
            if clock() >= self._due:
                self._tell()
        self._after, self._into = ended.seq, 0

    def _tell(self) -> None:
        """Say how far it is; after a crash what was not said is collected again."""
        self._due = time.monotonic() + TELL_S
        reached = (self._after, self._into)
        if reached != self._told or self._errors:
            self._wire.send(Collected(self._run, *reached, self._errors))
            self._told, self._errors = reached, 0

    def _note_failure(self) -> None:
        self._errors += 1
        self._failed += 1
        if self._failed <= SHOWN_FAILURES:
            log.warning("collect() failed:\n%s", traceback.format_exc())
